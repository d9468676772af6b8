"""An image as the network is to see it: scaled and mirrored, whole or in tiles. Called by ``segmenter``.

Everything is counted in cells: 8 x 8 pixels, the grid on which the network answers. The cell in row i and column j
looks at the surroundings of the pixel (8 i, 8 j); tiles that begin at whole cells give the cells of the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

STRIDE = 8
"""Pixels a side of a cell: the output stride of the networks."""

OVERLAP = 32
"""Cells that neighbouring tiles share at least, if they are four times as large."""

Pixels = npt.NDArray[np.uint8]
Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Interval:
    """Cells from ``first`` up to, not including, ``last`` along one side; ``share``: the tile's share of each."""

    first: int
    last: int
    share: Weights


class AugmentedView:
    """An image (H, W, 3) uint8, scaled by ``scale`` and mirrored left to right if ``flip``."""

    def __init__(self, image: Pixels, scale: float = 1.0, flip: bool = False):
        self.image, self.flip = image, flip
        self.height, self.width = (max(1, round(length * scale)) for length in image.shape[:2])
        self.rows, self.columns = -(-self.height // STRIDE), -(-self.width // STRIDE)

    def tile(self, rows: Interval, columns: Interval) -> Pixels:
        """The pixels (h, w, 3) of some cells."""
        top, bottom = rows.first * STRIDE, min(rows.last * STRIDE, self.height)
        left, right = columns.first * STRIDE, min(columns.last * STRIDE, self.width)
        if self.flip:
            left, right = self.width - right, self.width - left
        height, width = self.image.shape[:2]
        if (self.height, self.width) == (height, width):
            pixels = self.image[top:bottom, left:right]
        else:
            y, x = height / self.height, width / self.width
            box = (left * x, top * y, min(right * x, width), min(bottom * y, height))
            # Pillow reaches over the box's border into the image, so tiles fit together
            scaled = Image.fromarray(self.image).resize((right - left, bottom - top), Image.Resampling.BILINEAR, box)
            pixels = np.asarray(scaled)
        return np.ascontiguousarray(pixels[:, ::-1] if self.flip else pixels)


def tiles(rows: int, columns: int, max_cells: int) -> tuple[list[Interval], list[Interval]]:
    """How a view of so many cells is cut into tiles of at most ``max_cells``: as square as the view lets them be."""
    height = _even(rows, min(rows, max(math.isqrt(max_cells), max_cells // columns)))
    width = _even(columns, min(columns, max_cells // height))
    return _intervals(rows, height), _intervals(columns, width)


def _even(cells: int, size: int) -> int:
    """The least size of as many tiles as ``size`` needs: 188 cells are two tiles of 110, not two of 181."""
    count = _count(cells, size)
    return math.ceil((cells + (count - 1) * _overlap(size)) / count)


def _overlap(size: int) -> int:
    return min(OVERLAP, size // 4)


def _count(cells: int, size: int) -> int:
    return max(1, math.ceil((cells - _overlap(size)) / (size - _overlap(size))))


def _intervals(cells: int, size: int) -> list[Interval]:
    """Intervals of ``size`` that cover ``cells``, spread evenly; the shares of every cell sum to 1."""
    count = _count(cells, size)
    firsts = [round(i * (cells - size) / max(1, count - 1)) for i in range(count)]
    weights = np.zeros((count, cells))
    for i, first in enumerate(firsts):
        left = firsts[i - 1] + size - first if i else 0  # cells shared with the tile before
        right = first + size - firsts[i + 1] if i + 1 < count else 0
        weights[i, first : first + size] = np.minimum(_rise(left, size), _rise(right, size)[::-1])
    weights /= weights.sum(axis=0)
    shares = weights.astype(np.float32)
    return [Interval(f, f + size, shares[i, f : f + size]) for i, f in enumerate(firsts)]


def _rise(overlap: int, size: int) -> npt.NDArray[np.float64]:
    """A tile's weights over the cells that it shares with the one before, and 1 for the others.

    Nothing for the outer quarter, which sees the tile's border of zeros best; then linear.
    """
    if not overlap:
        return np.ones(size)
    outer = overlap // 4
    return np.clip((np.arange(size) + 1 - outer) / (overlap + 1 - 2 * outer), 0, 1)
