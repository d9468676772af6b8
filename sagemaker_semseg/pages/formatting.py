"""Numbers and sentences as the reports write them."""

from __future__ import annotations

from markupsafe import Markup

__all__ = ["count", "gigabytes", "sentence", "share"]


def sentence(text: str) -> str:
    """Begin with a capital if the first word is a plain one; the name of a file or a setting stays as it is."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text


def count(number: int, one: str = "", many: str = "") -> Markup:
    """Format as ``1 234``, or with a noun as ``1 image``, ``2 images``."""
    digits = f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")  # as a text, the space would be replaced
    return Markup(f"{digits} {one if number == 1 else many or one + 's'}" if one else digits)


def share(part: float, whole: float) -> str:
    """Format as a rounded percentage, which isn't 0 where there is something."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.2f} %" if percent < 1 else f"{percent:.1f} %"


def gigabytes(size: int) -> str:
    """Format bytes as ``1.2 GB``."""
    return f"{size / 1e9:.1f} GB" if size >= 50e6 else "< 0.1 GB"
