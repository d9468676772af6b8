"""A report as JSON: the values of ``report`` come in, dicts and lists of plain values go out. The command ``check``
writes them; nothing is left out, so that a script can act on each finding.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sagemaker_semseg.checks.report import Report, SplitFacts
from sagemaker_semseg.data.channels import shown

FORMAT = 1
"""Changes when a key changes its meaning."""


def to_dict(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
        "num_classes": report.num_classes,
        "class_names": list(report.class_names),
        "settings": report.settings,
        "splits": {split.channel: _split(split) for split in report.splits},
        "advice": [dataclasses.asdict(advice) for advice in report.advice],
        "memory": {
            name: {"bytes": estimate.total, "parts": dict(estimate.parts)}
            for name, estimate in report.estimates.items()
        },
    }


def _split(split: SplitFacts) -> dict[str, Any]:
    return {
        "pairs": split.pairs,
        "sizes": [
            {"height": height, "width": width, "images": images} for (height, width), images in split.sizes.items()
        ],
        "pixels_of_class": split.pixel_counts.tolist(),
        "images_with_class": split.image_counts.tolist(),
        "ignored_pixels": split.ignored_pixels,
        "pixels_of_value": {int(value): int(split.value_counts[value]) for value in np.flatnonzero(split.value_counts)},
        "specimens": [shown(specimen.name) for specimen in split.specimens],
    }
