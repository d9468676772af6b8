"""Reads masks that are PNG files already, by their numbers or by their colors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sagemaker_semseg.convert.annotations import LabelMask
from sagemaker_semseg.data.files import read_file
from sagemaker_semseg.data.image_headers import EncodedImage, ImageError
from sagemaker_semseg.data.images import decode_colors, decode_image, decode_mask
from sagemaker_semseg.data.labels import count_values
from sagemaker_semseg.errors import printable

Color = tuple[int, int, int]

_SHOWN = 5
_AT_ONCE = 1 << 20  # pixels, at 16 bytes each


def by_number(path: Path, labels: Mapping[int, int], remedy: str) -> LabelMask:
    """Return the mask with its numbers translated. Raises ``DataError`` for one that isn't in ``labels``."""
    mask = read_file(path, lambda _, encoded: decode_mask(encoded))
    table = np.zeros(256, np.uint8)
    known = np.zeros(256, np.bool_)
    table[list(labels)], known[list(labels)] = list(labels.values()), True
    unknown = np.flatnonzero((count_values(mask) > 0) & ~known)
    if unknown.size:
        listed = ", ".join(map(str, unknown[:_SHOWN])) + (", ..." if unknown.size > _SHOWN else "")
        raise ImageError(printable(path), f"the numbers {listed} stand for no class", remedy)
    return table[mask]


def by_color(path: Path, labels: Mapping[Color, int], remedy: str) -> LabelMask:
    """Return the mask with its colors translated. Raises ``DataError`` for one that isn't in ``labels``."""
    pixels = read_file(path, lambda _, encoded: decode_image(encoded))
    codes_of = {red << 16 | green << 8 | blue: label for (red, green, blue), label in labels.items()}
    known = np.array(sorted(codes_of), np.uint32)
    table = np.array([codes_of[int(code)] for code in known], np.uint8)
    mask = np.empty(pixels.shape[:2], np.uint8)
    count, unknown_codes = 0, np.empty(0, np.uint32)
    rows = max(1, _AT_ONCE // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        red, green, blue = np.moveaxis(pixels[top : top + rows].astype(np.uint32), 2, 0)
        codes = red << 16 | green << 8 | blue
        place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        mask[top : top + rows] = table[place]
        unknown = codes[known[place] != codes]
        if unknown.size:
            count, unknown_codes = count + unknown.size, np.union1d(unknown_codes, unknown)[: _SHOWN + 1]
    if count:
        listed = [f"({code >> 16}, {code >> 8 & 255}, {code & 255})" for code in unknown_codes[:_SHOWN]]
        what = f"{count} pixels of colours that stand for no class, as {', '.join(listed)}"
        raise ImageError(printable(path), what, remedy)
    return mask


def palette_of(path: Path) -> list[Color] | None:
    """Return the colors of a mask's palette; an empty list for gray, None for colors without a palette."""

    def read(_: bytes, encoded: EncodedImage) -> list[Color] | None:
        header = encoded.header
        colors = decode_colors(encoded)[1] if header.palette else None
        if colors is None:
            return None if header.channels > 2 else []
        return [(int(red), int(green), int(blue)) for red, green, blue in colors]

    return read_file(path, read)
