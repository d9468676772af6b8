"""The page's table of classes: how many pixels and images of each split have each of them. Called by ``page``."""

from __future__ import annotations

from collections.abc import Iterator

from sagemaker_semseg.checks.html import bar, colour, count, share, table, text
from sagemaker_semseg.checks.report import Report, SplitFacts
from sagemaker_semseg.data.labels import IGNORE

__all__ = ["name", "section"]


def name(report: Report, label: int) -> str:
    """A label's name as HTML."""
    if label == IGNORE:
        return "ignored"
    return text(report.class_names[label]) if label < len(report.class_names) else f"class {label}"


def section(report: Report) -> Iterator[str]:
    """Nothing where no split has a labelled pixel."""
    splits = [split for split in report.splits if split.pixel_counts.any()]
    if not splits:
        return
    most = max(float((split.pixel_counts / split.pixel_counts.sum()).max()) for split in splits)
    rows = (_row(report, label, splits, most) for label in range(report.num_classes))
    heads = ["Class"]
    for split in splits:
        heads += [f"{text(split.channel).capitalize()}, pixels", "images"]
    yield (
        '<section aria-labelledby="classes"><h2 id="classes">Classes</h2>'
        '<p class="quiet">The share of each class in the labelled pixels, and the images in which it occurs. The bars '
        "for pixels have one scale, those for images end at all images of their split.</p>"
        f'<div class="card">{table("Pixels and images of each class", heads, rows, "wide")}</div></section>'
    )


def _row(report: Report, label: int, splits: list[SplitFacts], most: float) -> str:
    number = f'<span class="label">{label}</span>' if label < len(report.class_names) else ""
    cells = [f'<tr><th scope="row">{colour(label)}{number}{name(report, label)}</th>']
    for split in splits:
        pixels, images = int(split.pixel_counts[label]), int(split.image_counts[label])
        total = int(split.pixel_counts.sum())
        kind = "validation" if split.channel == "validation" else "train"
        never = "" if pixels else " none"
        amount = f"{share(pixels, total)}{bar(pixels / total, most, kind)}"
        cells.append(
            f'<td class="number{never}" data-head="{text(split.channel)}">{amount}</td>'
            f'<td class="number{never}" data-head="images">{count(images)}{bar(images, split.pairs, kind)}</td>'
        )
    return "".join(cells) + "</tr>"
