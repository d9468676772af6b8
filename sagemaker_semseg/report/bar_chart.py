"""A bar chart as an SVG file of its own: rows of names, and a panel of bars for each figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from sagemaker_semseg.pages import clean, read_asset

__all__ = ["Panel", "bar_chart"]

_ROW: Final = 26
_BAR: Final = 130
_NUMBER: Final = 62  # room for a number behind the longest bar
_EDGE: Final = 20
_TOP: Final = 74
_LETTER: Final = 8.0  # width of one in bold type, and more than most have

_STYLE: Final = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--ink); }
.quiet { fill: var(--quiet); }
.title, .marked text { font-weight: 650; }
.ground { fill: var(--raised); }
.bar { fill: var(--edge); }
.marked .bar { fill: var(--accent); }
"""


@dataclass(frozen=True)
class Panel:
    """A column of bars. values: one for each row, at least 0; what isn't known is NaN."""

    title: str
    values: Sequence[float]
    digits: int = 0


def bar_chart(title: str, names: Sequence[str], panels: Sequence[Panel], marked: int, note: str) -> str:
    """Draw horizontal bars, each panel on a scale of its own that begins at 0.

    Args:
        title: Above the chart.
        names: Of the rows, from the top.
        panels: From left to right.
        marked: The row that stands out.
        note: Below the chart.
    """
    left = _EDGE + _LETTER * max(map(len, names)) + 12
    step = _BAR + _NUMBER + 12
    width = max(left + step * len(panels), _EDGE + _LETTER * max(len(title), len(note))) + _EDGE
    height = _TOP + _ROW * len(names) + 44
    parts = [Markup('<rect class="ground" width="{}" height="{}"/>').format(round(width), height)]
    parts += [_text("title", _EDGE, 30, title), _text("quiet", _EDGE, height - 18, note)]
    for number, panel in enumerate(panels):
        parts.append(_text("quiet", left + step * number, _TOP - 14, panel.title))
    for row, name in enumerate(names):
        parts.append(Markup("<g{}>").format(Markup(' class="marked"') if row == marked else ""))
        parts.append(_text("", _EDGE, _TOP + _ROW * row + 16, name))
        for number, panel in enumerate(panels):
            parts += _bar(panel, row, left + step * number)
        parts.append(Markup("</g>"))
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{}" viewBox="0 0 {w} {h}" width="{w}" '
        'height="{h}">\n<style>{}</style>\n'
    )
    style = read_asset("sagemaker_semseg.pages", "colors.css") + Markup(_STYLE)  # ours: nothing to escape
    return head.format(clean(title), style, w=round(width), h=height) + Markup("\n").join(parts) + Markup("\n</svg>\n")


def _bar(panel: Panel, row: int, left: float) -> list[Markup]:
    value, most = panel.values[row], max((v for v in panel.values if math.isfinite(v)), default=0.0) or 1.0
    if not math.isfinite(value):
        return [_text("quiet", left, _TOP + _ROW * row + 16, "not known")]
    bar = Markup('<rect class="bar" x="{:.1f}" y="{}" width="{:.1f}" height="14" rx="2"/>')
    length = _BAR * value / most
    number = _text("", left + length + 6, _TOP + _ROW * row + 16, f"{value:.{panel.digits}f}")
    return [bar.format(left, _TOP + _ROW * row + 5, length), number]


def _text(kind: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{}">{}</text>').format(kind, x, y, clean(text))
