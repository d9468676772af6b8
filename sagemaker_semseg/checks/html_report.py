"""The report as one HTML page, which loads nothing, runs no script and stays below 3 MB."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup, escape

from sagemaker_semseg import __version__, pages
from sagemaker_semseg.checks.previews import MAX_PREVIEWS, Thumbnails, make_thumbnails
from sagemaker_semseg.checks.report import Finding, Preview, Report
from sagemaker_semseg.data.images import palette
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.hyperparameters import TABLE
from sagemaker_semseg.memory import ERROR_BAND
from sagemaker_semseg.pages.formatting import count

__all__ = ["render"]

UNFOLDED: Final = 3  # findings of a kind that are seen at once, if the rest is worth folding away
WORTH_FOLDING: Final = 3
MOST_OF_A_KIND: Final = 100
MOST_FINDINGS: Final = 700_000  # characters, all together
MOST_SIZES: Final = 8
_HEADS: Final = {"where": "Where", "what": "What", "why": "Why it matters", "remedy": "Remedy"}
_MEMORY_PARTS: Final = {
    "program": "program",
    "parameters": "weights and optimizer",
    "activations": "activations",
    "logits": "logits",
    "working": "working space",
}


def render(report: Report) -> str:
    """Return the page as HTML; long lists are cut, and names from the files are shown as text."""
    splits = report.splits
    sizes: Counter[tuple[int, int]] = Counter()
    for split in splits:
        sizes.update(split.sizes)
    labelled = [split for split in splits if split.pixel_counts.any()]
    ignored = sum(split.ignored_pixels for split in splits)
    groups, missing_groups = _group_findings(report)
    return pages.render_report(
        __package__,
        "check.html",
        report=report,
        version=__version__,
        groups=groups,
        missing_groups=missing_groups,
        used_classes=sum(any(split.image_counts[label] for split in splits) for label in range(report.num_classes)),
        ignored=ignored,
        pixels=ignored + sum(int(split.pixel_counts.sum()) for split in splits),
        samples=list(_samples(report)),
        labelled=labelled,
        class_heads=["Class", *(head for s in labelled for head in (f"{s.channel.capitalize()}, pixels", "images"))],
        most_share=max((float(s.pixel_counts.max() / s.pixel_counts.sum()) for s in labelled), default=0),
        sizes=sorted(sizes),
        sides=[side for size in sizes for side in size],
        size_heads=["Width × height", *(f"{split.channel.capitalize()}, images" for split in splits)],
        size_rows=list(_size_rows(report, sizes)),
        most_images=max(sizes.values(), default=0),
        command=_command(report),
        memory_parts=_MEMORY_PARTS,
        most_memory=max((estimate.total for estimate in report.estimates.values()), default=0),
        error_band=f"{ERROR_BAND:.0%}",
        class_name=lambda label: _class_name(report, label),
        color=_color,
    )


def _color(label: int) -> str:
    red, green, blue = (int(channel) for channel in palette()[label])
    return "none" if label == IGNORE else f"#{red:02x}{green:02x}{blue:02x}"


def _class_name(report: Report, label: int) -> str:
    if label == IGNORE:
        return "ignored"
    return report.class_names[label] if label < len(report.class_names) else f"class {label}"


def _group_findings(report: Report) -> tuple[list[dict[str, Any]], int]:
    """Return the findings by kind, errors first, up to a bound of characters, and the number of kinds beyond it."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(report.findings, key=lambda finding: finding.level != "error"):
        kinds.setdefault((finding.level, finding.kind), []).append(finding)
    left = MOST_FINDINGS
    groups: list[dict[str, Any]] = []
    for findings in kinds.values():
        if len(groups) >= MOST_OF_A_KIND or left <= 0:
            break
        columns = ["where", "what"]  # and why and remedy where they differ; else they are said once
        columns += [name for name in ("why", "remedy") if len({getattr(finding, name) for finding in findings}) > 1]
        rows: list[list[Markup]] = []
        for finding in findings[:MOST_OF_A_KIND]:
            if left <= 0:
                break
            rows.append([escape(pages.clean(getattr(finding, name))) for name in columns])
            left -= sum(map(len, rows[-1])) + 40 * len(columns)  # with the elements
        groups.append(
            {
                "first": findings[0],
                "why": "" if "why" in columns else findings[0].why,
                "remedy": "" if "remedy" in columns else findings[0].remedy,
                "heads": [_HEADS[name] for name in columns],
                "rows": rows,
                "unfolded": UNFOLDED if len(rows) >= UNFOLDED + WORTH_FOLDING else len(rows),
                "count": len(findings),
            }
        )
    return groups, len(kinds) - len(groups)


def _samples(report: Report) -> Iterator[tuple[str, Preview, Thumbnails | str]]:
    each = MAX_PREVIEWS // max(1, sum(bool(split.previews) for split in report.splits))
    for split in report.splits:
        for preview in split.previews[:each]:
            yield split.channel, preview, make_thumbnails(preview, report.num_classes, split.lookup)


def _size_rows(report: Report, totals: Mapping[tuple[int, int], int]) -> Iterator[tuple[str, list[int]]]:
    """Yield a size, or the number of all further ones, and the images that have it in each split."""
    order = sorted(totals, key=lambda size: (-totals[size], size))
    for height, width in order[:MOST_SIZES]:
        yield f"{width} × {height}", [split.sizes.get((height, width), 0) for split in report.splits]
    if others := order[MOST_SIZES:]:
        images = [sum(split.sizes.get(size, 0) for size in others) for split in report.splits]
        yield count(len(others), "other size"), images


def _command(report: Report) -> Markup:
    """Return the shell command of a training with the recommended settings and all others that were given."""
    values = {row.name: report.settings[row.name] for row in TABLE if report.settings.get(row.name) is not None}
    values |= {"num_classes": report.num_classes} | {item.name: item.value for item in report.recommendations}
    words = ["sagemaker-semseg train", f"--data {_quote(report.settings.get('data') or 'DIR')}", "--output out"]
    for row in TABLE:
        value = values.get(row.name)
        if value is not None and value != () and str(value) != str(row.default):
            words.append(f"{row.flag} {_quote(value)}")
    return escape(" \\\n  ".join(words))  # as markup nothing of it is cut


def _quote(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return shlex.quote("".join(letter if letter.isprintable() else "?" for letter in text))
