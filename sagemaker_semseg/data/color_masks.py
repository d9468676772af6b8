"""Masks of colours: the bytes of a PNG and its line's map of colours come in, labels go out. ``files`` calls it when
the data are checked, the training pipeline when they are read.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.color_map import Colours
from sagemaker_semseg.data.image_headers import Refusal, refusal
from sagemaker_semseg.data.images import Pixels, decode_colours
from sagemaker_semseg.data.labels import IGNORE

_SHOWN: Final = 5
_MOST_UNKNOWN: Final = 10_000
_ROWS: Final = 256  # at once, to bound memory


class Read(NamedTuple):
    """A mask that was read by its colours.

    labels: (H, W) uint8, 255 = ignore. indices: how the numbers of a palette mask stand to the map: "labels", "key",
    "key + 1" or "neither"; empty for a mask without a palette.
    """

    labels: Pixels
    indices: str


def read_labels(data: bytes, colours: Colours, where: str = "mask") -> Read:
    """The labels of a PNG of colours: palette, RGB or RGBA, of which fully transparent pixels are background.

    Raises ``DataError`` if there is a colour that the map doesn't have.
    """
    pixels, table = decode_colours(data, where)
    return _by_colour(pixels, colours, where) if table is None else _by_index(pixels, table, colours, where)


def _by_index(pixels: Pixels, table: Pixels, colours: Colours, where: str) -> Read:
    used = np.zeros(256, np.int64)
    for start in range(0, len(pixels), _ROWS):
        used += np.bincount(pixels[start : start + _ROWS].ravel(), minlength=256)
    lookup = np.full(256, IGNORE, np.uint8)
    unknown: Counter[str] = Counter()
    keys: dict[int, int] = {}
    for index in np.flatnonzero(used).tolist():
        colour = int(_packed(table[index])) if index < len(table) else None
        if colour is None or colour not in colours.labels:
            unknown["beyond the palette" if colour is None else f"#{colour:06x}"] += int(used[index])
        else:
            lookup[index] = colours.labels[colour]
            if colour in colours.keys:
                keys[index] = colours.keys[colour]
    if unknown:
        raise _unmatched(unknown, where)
    return Read(lookup[pixels], _relation(keys, lookup))


def _relation(keys: dict[int, int], lookup: Pixels) -> str:
    """keys: by index of the palette."""
    if all(lookup[index] == index for index in keys):
        return "labels"
    if all(key == index for index, key in keys.items()):
        return "key"
    return "key + 1" if all(key + 1 == index for index, key in keys.items()) else "neither"


def _by_colour(pixels: Pixels, colours: Colours, where: str) -> Read:
    labels = np.full(pixels.shape[:2], IGNORE, np.uint8)
    unknown: Counter[str] = Counter()
    for start in range(0, len(pixels), _ROWS):
        rows, found = pixels[start : start + _ROWS], labels[start : start + _ROWS]
        packed = _packed(rows)
        clear = rows[..., 3] == 0 if rows.shape[2] == 4 else np.zeros(packed.shape, np.bool_)
        solid = rows[..., 3] == 255 if rows.shape[2] == 4 else ~clear
        known = clear.copy()
        found[clear] = colours.background
        for colour, label in colours.labels.items():
            here = solid & (packed == colour)
            found[here] = label
            known |= here
        if not known.all():
            for sort, of in (("", solid), (" half transparent", ~solid)):
                values, counts = np.unique(packed[~known & of], return_counts=True)
                unknown.update(
                    {
                        f"#{value:06x}{sort}": count
                        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
                    }
                )
            if len(unknown) > _MOST_UNKNOWN:
                break
    if unknown:
        raise _unmatched(unknown, where)
    return Read(labels, "")


def _packed(colours: Pixels) -> npt.NDArray[np.uint32]:
    """(..., 3 or 4) RGB(A) -> (...) 0xRRGGBB."""
    packed = np.zeros(colours.shape[:-1], np.uint32)
    for channel in range(3):
        packed = packed << np.uint32(8) | colours[..., channel]
    return packed


def _unmatched(unknown: Counter[str], where: str) -> Refusal:
    listed = ", ".join(f"{name} ({count} pixels)" for name, count in unknown.most_common(_SHOWN))
    more = f" and {len(unknown) - _SHOWN} more, {unknown.total()} pixels in all" if len(unknown) > _SHOWN else ""
    what = f"a colour that the internal-color-map of its line doesn't have: {listed}{more}"
    remedy = "save the mask without smoothing or scaling it, or complete the map; with a label map the numbers count"
    return refusal(where, what, remedy, "unknown colour")
