"""Color masks of SageMaker Ground Truth: decodes a PNG by the color map of its line."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.color_map import ColorMap
from sagemaker_semseg.data.image_headers import EncodedImage, ImageError
from sagemaker_semseg.data.images import Pixels, decode_colors
from sagemaker_semseg.data.labels import IGNORE, count_values

_LISTED: Final = 5
_MOST_UNKNOWN: Final = 10_000
_ROWS: Final = 256  # at once, to bound memory


class ColorMask(NamedTuple):
    """A mask that was decoded by its colors.

    Attributes:
        labels: (H, W) uint8, 255 = ignore.
        numbering: what the numbers of a palette mask are to the map: "labels", "key", "key + 1" or "neither"; empty
            for a mask without a palette.
    """

    labels: Pixels
    numbering: str


def decode_color_mask(source: EncodedImage | bytes, color_map: ColorMap, where: str = "mask") -> ColorMask:
    """Decodes a palette, RGB or RGBA PNG whose colors stand for classes; fully transparent pixels are background.

    Raises:
        ImageError: if it can't be decoded, or has a color that the map doesn't have.
    """
    where = source.where if isinstance(source, EncodedImage) else where
    pixels, table = decode_colors(source, where)
    return _by_color(pixels, color_map, where) if table is None else _by_index(pixels, table, color_map, where)


def pack_rgb(colors: Pixels) -> npt.NDArray[np.uint32]:
    """(..., 3 or 4) RGB(A) -> (...) 0xRRGGBB."""
    packed = np.zeros(colors.shape[:-1], np.uint32)
    for channel in range(3):
        packed = packed << np.uint32(8) | colors[..., channel]
    return packed


def _by_index(pixels: Pixels, table: Pixels, color_map: ColorMap, where: str) -> ColorMask:
    used = count_values(pixels)
    lookup = np.full(256, IGNORE, np.uint8)
    unknown: Counter[str] = Counter()
    keys: dict[int, int] = {}
    for index in np.flatnonzero(used).tolist():
        color = int(pack_rgb(table[index])) if index < len(table) else None
        if color is None or color not in color_map.labels:
            unknown["beyond the palette" if color is None else f"#{color:06x}"] += int(used[index])
        else:
            lookup[index] = color_map.labels[color]
            if color in color_map.keys:
                keys[index] = color_map.keys[color]
    if unknown:
        raise _unknown_colors_error(unknown, where)
    return ColorMask(lookup[pixels], _numbering(keys, lookup))


def _numbering(keys: dict[int, int], lookup: Pixels) -> str:
    """keys: the map's keys by palette index."""
    if all(lookup[index] == index for index in keys):
        return "labels"
    if all(key == index for index, key in keys.items()):
        return "key"
    return "key + 1" if all(key + 1 == index for index, key in keys.items()) else "neither"


def _by_color(pixels: Pixels, color_map: ColorMap, where: str) -> ColorMask:
    labels = np.full(pixels.shape[:2], IGNORE, np.uint8)
    unknown: Counter[str] = Counter()
    for start in range(0, len(pixels), _ROWS):
        rows, found = pixels[start : start + _ROWS], labels[start : start + _ROWS]
        packed = pack_rgb(rows)
        clear = rows[..., 3] == 0 if rows.shape[2] == 4 else np.zeros(packed.shape, np.bool_)
        solid = rows[..., 3] == 255 if rows.shape[2] == 4 else ~clear
        known = clear.copy()
        found[clear] = color_map.background
        for color, label in color_map.labels.items():
            here = solid & (packed == color)
            found[here] = label
            known |= here
        if known.all():
            continue
        for suffix, group in (("", solid), (" half transparent", ~solid)):
            values, counts = np.unique(packed[group & ~known], return_counts=True)
            named = (f"#{value:06x}{suffix}" for value in values.tolist())
            unknown.update(dict(zip(named, counts.tolist(), strict=True)))
        if len(unknown) > _MOST_UNKNOWN:
            break
    if unknown:
        raise _unknown_colors_error(unknown, where)
    return ColorMask(labels, "")


def _unknown_colors_error(unknown: Counter[str], where: str) -> ImageError:
    listed = ", ".join(f"{name} ({count} pixels)" for name, count in unknown.most_common(_LISTED))
    more = f" and {len(unknown) - _LISTED} more, {unknown.total()} pixels in all" if len(unknown) > _LISTED else ""
    what = f"a colour that the internal-color-map of its line doesn't have: {listed}{more}"
    remedy = "save the mask without smoothing or scaling it, or complete the map; with a label map the numbers count"
    return ImageError(where, what, remedy, "unknown colour")
