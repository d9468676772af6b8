"""Charts as SVG: lines over epochs, and a confusion matrix.

Their colors come from the page's style, so that they follow dark mode and print, which an image of a plotting library
doesn't; a chart of lines needs no more than this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from sagemaker_semseg.pages import clean

__all__ = ["Line", "confusion_chart", "line_chart", "ticks"]

WIDTH: Final = 420
HEIGHT: Final = 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 10, 24
_MOST_DOTS: Final = 60

MOST_CLASSES: Final = 40
"""A confusion matrix of more classes isn't drawn."""

_NUMBERED: Final = 12  # classes up to which each cell has a number
_NAME: Final = 16  # characters of a class name beside the matrix


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: For the legend.
        kind: A class of the style: ``train`` or ``validation``.
        values: One for each epoch; what isn't finite is left out.
    """

    name: str
    kind: str
    values: Sequence[float]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers whose first and last enclose low and high.

    Example:
        >>> ticks(0.1, 0.72)
        [0.0, 0.2, 0.4, 0.6, 0.8]
    """
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * most >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, max(last, first + 1) + 1)]


def line_chart(title: str, lines: Sequence[Line], *, best_epoch: int | None = None) -> Markup | None:
    """Draw lines over epochs, from 1 on; None if there is no value.

    Args:
        title: What a screen reader says.
        lines: At least one.
        best_epoch: From 0; marked by a vertical line.
    """
    values = [value for line in lines for value in line.values if math.isfinite(value)]
    if not values:
        return None
    marks = ticks(min(values), max(values))
    epochs = max(len(line.values) for line in lines)

    def x(epoch: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (epoch / (epochs - 1) if epochs > 1 else 0.5)

    def y(value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (marks[-1] - value) / (marks[-1] - marks[0])

    grid = Markup('<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>')
    parts = [grid.format(_LEFT, WIDTH - _RIGHT, y=_n(y(mark))) for mark in marks]
    parts += [_text(_LEFT - 6, y(mark) + 4, f"{mark:g}", "end") for mark in marks]
    for mark in sorted({int(m) for m in ticks(1, epochs, 6) if 1 <= m <= epochs and m == int(m)} | {1}):
        parts.append(_text(x(mark - 1), HEIGHT - 6, str(mark), "middle"))
    if best_epoch is not None and best_epoch < epochs:
        parts.append(
            Markup('<line class="best" x1="{x}" x2="{x}" y1="{}" y2="{}"><title>best epoch: {}</title></line>').format(
                _TOP, HEIGHT - _BOTTOM, best_epoch + 1, x=_n(x(best_epoch))
            )
        )
    for line in lines:
        points = [(x(epoch), y(v), epoch, v) for epoch, v in enumerate(line.values) if math.isfinite(v)]
        path = " ".join(f"{_n(left)},{_n(top)}" for left, top, _, _ in points)
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(line.kind, path))
        for left, top, epoch, value in points if epochs <= _MOST_DOTS else ():
            dot = '<circle class="{}" cx="{}" cy="{}" r="2.5"><title>epoch {}: {} {:.4g}</title></circle>'
            parts.append(Markup(dot).format(line.kind, _n(left), _n(top), epoch + 1, line.name, value))
    return _svg(title, WIDTH, HEIGHT, parts)


def confusion_chart(confusion: np.ndarray, names: Sequence[str]) -> Markup | None:
    """Draw what share of each class's pixels (row) is predicted as each class (column); None for too many classes.

    Args:
        confusion: (C, C) counts of pixels: rows are labels, columns predictions.
        names: Of the C classes.
    """
    count = len(confusion)
    if count > MOST_CLASSES:
        return None
    shares = confusion / np.maximum(confusion.sum(1), 1)[:, None]
    cell = 38 if count <= _NUMBERED else 16
    longest = max(min(len(name), _NAME) for name in names)
    left, top = 14 + 7 * longest, 14 + 6 * longest
    parts: list[Markup] = []
    for row, name in enumerate(names):
        middle = (row + 0.5) * cell + 4
        parts.append(_text(left - 8, top + middle, _cut(name), "end"))
        turned = '<text class="tick" transform="translate({},{}) rotate(-50)">{}</text>'
        parts.append(Markup(turned).format(_n(left + middle), top - 6, _cut(name)))
        for column, other in enumerate(names):
            place = {"x": left + column * cell, "y": top + row * cell}
            part = float(shares[row, column])
            box = '<rect class="cell" x="{x}" y="{y}" width="{size}" height="{size}" fill-opacity="{:.3f}">'
            box += "<title>{} predicted as {}: {:.1%}</title></rect>"
            parts.append(
                Markup(box).format(0.04 + 0.96 * part, clean(name), clean(other), part, size=cell - 2, **place)
            )
            if count <= _NUMBERED and part >= 0.005:
                kind = "value strong" if part > 0.5 else "value"
                at = (place["x"] + cell / 2 - 1, place["y"] + cell / 2 + 3)
                parts.append(_text(*at, f"{100 * part:.0f}", "middle", kind))
    right = left + count * cell + 5 * longest  # the last turned name
    return _svg("Share of each class's pixels by predicted class", right, top + count * cell, parts)


def _svg(title: str, width: float, height: float, parts: Iterable[Markup]) -> Markup:
    head = Markup('<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">')
    return (
        head.format(title, _n(width), _n(height), _n(width), _n(height)) + Markup("\n").join(parts) + Markup("</svg>")
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, _n(x), _n(y), anchor, text)


def _cut(name: str) -> str:
    text = str(clean(name))
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
