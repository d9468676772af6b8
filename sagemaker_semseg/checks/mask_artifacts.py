"""Finds masks whose values were blended by anti-aliasing, by smooth resizing or by JPEG compression.

A class covers areas; a blended value occurs only along borders. A value counts as thin where nearly none of its pixels
belongs to a 2 x 2 square of that value. Resizing leaves thin values that lie between the values of two opposite
neighbours. JPEG scatters thin values inside its blocks of 8 x 8, so that fewer blocks hold several values on its grid
than on a grid shifted by 4 pixels.

Real masks have a few thin values too (poles, distant objects), hence the bounds, which were chosen on masks of road
scenes. Clean masks, also scaled down to a sixteenth, have at most 6 thin values, of which 1 is in between. Blended
masks of 0 and 255 have more than 7, nearly all of them in between. Compressed masks have more than 9, and 0.38 to
0.69 times as many mixed blocks on the grid as beside it; resized ones have 0.75 to 1.2. Blending between neighbouring
numbers (1 and 2) leaves no trace.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

_THIN_SHARE: Final = 0.8  # of a value's pixels
_BETWEEN_SHARE: Final = 0.9
_FEWEST_PIXELS: Final = 3  # of a value; fewer are noise
_FEWEST_BETWEEN: Final = 3  # values
_FEWEST_SCATTERED: Final = 8  # values
_SCATTERED_SHARE: Final = 0.002  # of the mask's pixels
_MOSTLY_BETWEEN: Final = 0.8
_BLOCK: Final = 8  # pixels: a side of JPEG's blocks
_ON_THE_GRID: Final = 0.72
_OPPOSITE: Final = ((0, 1), (1, 0), (1, 1), (1, -1))


def find_artifacts(
    mask: Pixels, values: Counts
) -> tuple[Literal["anti-aliased mask", "JPEG-compressed mask"], int] | None:
    """Find what blended a mask.

    Args:
        mask: (H, W) uint8.
        values: (256,) pixels of each value.

    Returns:
        The kind of finding and the number of blended values, or None for a clean mask.
    """
    if np.count_nonzero(values) < 2 + _FEWEST_BETWEEN:
        return None
    thin = _thin(mask)
    thin_counts = np.bincount(mask[thin], minlength=256)
    suspects = (values >= _FEWEST_PIXELS) & (thin_counts >= _THIN_SHARE * values)
    count = int(np.count_nonzero(suspects))
    if count < _FEWEST_BETWEEN:
        return None
    between_counts = np.bincount(mask[thin & _between(mask)], minlength=256)
    between = np.count_nonzero(suspects & (between_counts >= _BETWEEN_SHARE * values))
    pixels = values[suspects].sum()
    scattered = between_counts[suspects].sum() < _MOSTLY_BETWEEN * pixels
    many = count >= _FEWEST_SCATTERED and pixels >= _SCATTERED_SHARE * mask.size
    if scattered and many and _mixed_blocks(mask, 0) < _ON_THE_GRID * _mixed_blocks(mask, _BLOCK // 2):
        return "JPEG-compressed mask", count
    return ("anti-aliased mask", count) if between >= _FEWEST_BETWEEN else None


def _thin(mask: Pixels) -> npt.NDArray[np.bool_]:
    """Return where a pixel belongs to no 2 x 2 square of one value."""
    beside, below = mask[:, :-1] == mask[:, 1:], mask[:-1] == mask[1:]
    square = beside[:-1] & beside[1:] & below[:, :-1]
    inside = np.zeros(mask.shape, np.bool_)
    for corner in (inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]):
        corner |= square
    return ~inside


def _between(mask: Pixels) -> npt.NDArray[np.bool_]:
    """Return where one of two opposite neighbours has a lower and the other a higher value."""
    height, width = mask.shape
    padded = np.pad(mask, 1, mode="edge")
    found = np.zeros(mask.shape, np.bool_)
    for down, right in _OPPOSITE:
        one = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        other = padded[1 - down : 1 - down + height, 1 - right : 1 - right + width]
        found |= ((one < mask) & (mask < other)) | ((one > mask) & (mask > other))
    return found


def _mixed_blocks(mask: Pixels, shift: int) -> float:
    """Return the share of 8 x 8 blocks that hold several values, on a grid shifted by some pixels."""
    rows, columns = ((length - shift) // _BLOCK for length in mask.shape)
    if rows < 1 or columns < 1:
        return 0.0
    inside = mask[shift : shift + rows * _BLOCK, shift : shift + columns * _BLOCK]
    blocks = inside.reshape(rows, _BLOCK, columns, _BLOCK)
    return float((blocks.max((1, 3)) != blocks.min((1, 3))).mean())
