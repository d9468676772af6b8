"""The result of the checks as values, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.errors import printable
from sagemaker_semseg.memory import Estimate

Level = Literal["error", "warning"]
Counts = npt.NDArray[np.int64]

JSON_FORMAT: Final = 1
"""Changes when a key of the JSON changes its meaning."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or doubtful with a data set.

    Attributes:
        level: "error" where a training would stop, "warning" where it would run.
        kind: A few words that all findings of this kind share, a key of ``rules.RULES``.
        where: A file, with its line or channel.
        what: What was found and what was expected.
        why: Why it matters.
        remedy: How to fix it.
    """

    level: Level
    kind: str
    where: str
    what: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Preview:
    """One pair that the report shows; height and width in pixels, as displayed."""

    pair: ImageMaskPair
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class SplitFacts:
    """What one split holds.

    Attributes:
        channel: "train" or "validation".
        pairs: Pairs of image and mask that could be read.
        sizes: (height, width) as displayed -> number of images.
        pixel_counts: (num_classes,) pixels of each label.
        image_counts: (num_classes,) images in which each label occurs.
        image_pixel_counts: (num_classes,) labelled pixels of the images in which each label occurs.
        ignored_pixels: Pixels that count in no loss.
        value_counts: (256,) pixels of each mask value, before the label map.
        previews: A few pairs to show; together they show every class where that is possible.
        lookup: (256,) uint8, the label of each mask value, 255 for ignored ones; None where they are the same.
    """

    channel: str
    pairs: int
    sizes: dict[tuple[int, int], int]
    pixel_counts: Counts
    image_counts: Counts
    image_pixel_counts: Counts
    ignored_pixels: int
    value_counts: Counts
    previews: tuple[Preview, ...] = ()
    lookup: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Recommendation:
    """A proposed value for one hyperparameter, as it would be given, and the reason."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the checks found in a data set.

    Attributes:
        findings: What is wrong or doubtful, errors first.
        splits: What train and validation hold.
        num_classes: The number of classes, as given or as the masks need.
        class_names: Names from label 0 on, or none.
        settings: What the data set was checked for: hyperparameters by name, and ``data``, the folder or manifest.
        label_maps: Proposed label maps by split, in the form of their files; the figures of ``splits`` are with them.
        recommendations: Proposed hyperparameters (``recommendations.add_recommendations``).
        estimates: Memory, by what needs it (``recommendations.add_recommendations``).
    """

    findings: Sequence[Finding]
    splits: Sequence[SplitFacts]
    num_classes: int
    class_names: Sequence[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    label_maps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recommendations: Sequence[Recommendation] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """The findings on which a training would stop."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings with which a training would run."""
        return [finding for finding in self.findings if finding.level == "warning"]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as dicts and lists of plain values."""
        return {
            "format": JSON_FORMAT,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "settings": self.settings,
            "label_maps": {split: dict(content) for split, content in self.label_maps.items()},
            "splits": {split.channel: _split_to_dict(split) for split in self.splits},
            "recommendations": [dataclasses.asdict(item) for item in self.recommendations],
            "memory": {
                name: {"bytes": estimate.total, "parts": dict(estimate.parts)}
                for name, estimate in self.estimates.items()
            },
        }


def _split_to_dict(split: SplitFacts) -> dict[str, Any]:
    return {
        "pairs": split.pairs,
        "sizes": [
            {"height": height, "width": width, "images": images} for (height, width), images in split.sizes.items()
        ],
        "pixels_of_class": split.pixel_counts.tolist(),
        "images_with_class": split.image_counts.tolist(),
        "ignored_pixels": split.ignored_pixels,
        "pixels_of_value": {int(value): int(split.value_counts[value]) for value in np.flatnonzero(split.value_counts)},
        "previews": [printable(preview.pair.name) for preview in split.previews],
    }
