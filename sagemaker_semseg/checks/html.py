"""The smallest pieces of the doctor's page: foreign text and numbers in, HTML that can't be broken out of goes out.

Called by ``page`` and its sections; whatever a file's name or a class's name holds goes through ``text``.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from sagemaker_semseg.data.images import palette

__all__ = ["bar", "colour", "count", "gigabytes", "key", "sentence", "share", "stack", "table", "text"]

LONGEST: Final = 300
"""Characters of a foreign text that are shown; names are shorter, and a page of them stays small."""


def text(value: object) -> str:
    """A text of whatever origin as HTML: escaped, cut, without characters that would turn or hide what follows."""
    shown = str(value).encode("utf-8", "replace").decode()
    if len(shown) > LONGEST:
        shown = shown[: LONGEST - 30] + " ... " + shown[-25:]
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)
    return html.escape(printable, quote=True)


def sentence(value: str) -> str:
    """``text`` with a capital where it begins with a plain word; a file's or a setting's name stays as it is."""
    shown = text(value)
    first = shown.split(" ", 1)[0]
    return shown[:1].upper() + shown[1:] if first.isalpha() and first.islower() else shown


def count(number: int, one: str = "", many: str = "") -> str:
    """``1 234``, or with its noun ``1 image``, ``2 images``."""
    digits = f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if not one:
        return digits
    return f"{digits} {one if number == 1 else many or one + 's'}"


def share(part: float, whole: float) -> str:
    """A percentage that says less than it knows, but never 0 where there is something."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.2f} %" if percent < 1 else f"{percent:.1f} %"


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 50e6 else "< 0.1 GB"


def bar(part: float, whole: float, kind: str) -> str:
    """A bar filled to part / whole; the number beside it says the same to whoever doesn't see it."""
    filled = min(100 * part / whole, 100) if whole else 0
    filled = max(filled, 0.6) if part else 0
    return f'<svg class="bar" aria-hidden="true"><rect class="{kind}" width="{filled:.1f}%" height="100%"/></svg>'


def stack(parts: Iterable[tuple[str, float]], whole: float) -> str:
    """A bar of several kinds, one after the other."""
    pieces, start = [], 0.0
    for kind, size in parts:
        width = 100 * size / whole if whole else 0
        pieces.append(f'<rect class="{kind}" x="{start:.1f}%" width="{width:.1f}%" height="100%"/>')
        start += width
    return f'<svg class="bar" aria-hidden="true">{"".join(pieces)}</svg>'


def colour(label: int) -> str:
    """A patch of the label's colour, that of masks and overlays; an empty one for what is ignored."""
    red, green, blue = (int(channel) for channel in palette()[label])
    fill = "none" if label == 255 else f"#{red:02x}{green:02x}{blue:02x}"
    return f'<svg class="swatch" aria-hidden="true"><rect width="100%" height="100%" fill="{fill}"/></svg>'


def key(entries: Iterable[tuple[str, str]]) -> str:
    """Patches with their names; both are HTML."""
    return f'<ul class="key">{"".join(f"<li>{patch}{name}</li>" for patch, name in entries)}</ul>'


def table(caption: str, head: Sequence[str], rows: Iterable[str], kind: str = "") -> str:
    """rows: whole ``<tr>`` elements. The caption is for whoever doesn't see the heading above the table."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(rows)
    return (
        f'<table class="{kind}"><caption class="unseen">{caption}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )
