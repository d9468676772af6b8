"""Coarse logits of a view, computed in overlapping tiles and blended.

All positions are counted in cells, the grid on which the network predicts: squares of ``stride`` pixels a side, its
output stride, which is 8 unless another was chosen. The cell in row i and column j belongs to the surroundings of the
pixel (8 i, 8 j), so tiles that begin at whole cells have the whole view's cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.architectures import STRIDE
from sagemaker_semseg.inference.test_time_augmentation import AugmentedView, Pixels

OVERLAP = 32
"""Cells that adjacent tiles share at least, if they are four times as large."""

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Interval:
    """Cells ``first`` to ``last`` (exclusive) of a tile along one axis, and its blending weight in each of them."""

    first: int
    last: int
    weights: npt.NDArray[np.float32]


class LogitRows:
    """Coarse logits of a view, (C, rows, columns) float32, computed from the top down when they are read.

    Only the rows from the last one read to the end of the current tiles are kept, so memory grows with the view's
    width and not with its area.
    """

    def __init__(self, view: AugmentedView, run: Callable[[Pixels], Logits], max_cells: int, stride: int = STRIDE):
        self.view, self.stride, self._run = view, stride, run
        self.rows, self.columns = -(-view.height // stride), -(-view.width // stride)
        self._tile_rows, self._tile_columns = split_into_tiles(self.rows, self.columns, max_cells)
        self._first = 0  # the row of the view that is the first in ``_kept``
        self._kept: Logits | None = None
        self._computed = 0  # rows of tiles

    def read_rows(self, first: int, last: int) -> Logits:
        """Returns the rows ``first`` to ``last`` (exclusive) and forgets those before."""
        while self._complete_rows < last:
            self._add_tiles()
        assert self._kept is not None
        self._kept = self._kept[:, first - self._first :]
        self._first = first
        return self._kept[:, : last - first]

    @property
    def _complete_rows(self) -> int:
        """The number of rows to which no further tile contributes."""
        if self._computed == len(self._tile_rows):
            return self.rows
        return self._tile_rows[self._computed].first if self._kept is not None else 0

    def _add_tiles(self) -> None:
        """Runs the next row of tiles."""
        rows = self._tile_rows[self._computed]
        self._computed += 1
        for columns in self._tile_columns:
            sides = (self.stride * cell for cell in (rows.first, rows.last, columns.first, columns.last))
            logits = self._run(self.view.crop(*sides))
            if len(self._tile_rows) == len(self._tile_columns) == 1:
                self._kept = logits
                return
            kept = self._extended(len(logits), rows.last)
            kept = kept[:, rows.first - self._first :, columns.first : columns.last]
            kept += logits * rows.weights[:, None] * columns.weights

    def _extended(self, classes: int, last: int) -> Logits:
        """``_kept`` with zeros up to the row ``last``."""
        kept = self._kept if self._kept is not None else np.zeros((classes, 0, self.columns), np.float32)
        missing = last - self._first - kept.shape[1]
        if missing > 0:
            kept = np.concatenate([kept, np.zeros((classes, missing, self.columns), np.float32)], axis=1)
        self._kept = kept
        return kept


def split_into_tiles(rows: int, columns: int, max_cells: int) -> tuple[list[Interval], list[Interval]]:
    """Splits a view into tiles of at most ``max_cells``, as square as its shape allows; returns both axes."""
    height = _even(rows, min(rows, max(math.isqrt(max_cells), max_cells // columns)))
    width = _even(columns, min(columns, max_cells // height))
    return _intervals(rows, height), _intervals(columns, width)


def _even(cells: int, size: int) -> int:
    """The smallest size of as many tiles as ``size`` needs: 188 cells are two tiles of 110, not two of 181."""
    count = _count(cells, size)
    return math.ceil((cells + (count - 1) * _overlap(size)) / count)


def _overlap(size: int) -> int:
    return min(OVERLAP, size // 4)


def _count(cells: int, size: int) -> int:
    return max(1, math.ceil((cells - _overlap(size)) / (size - _overlap(size))))


def _intervals(cells: int, size: int) -> list[Interval]:
    """Intervals of ``size`` that cover ``cells``, spread evenly; the weights of every cell sum to 1."""
    count = _count(cells, size)
    firsts = [round(i * (cells - size) / max(1, count - 1)) for i in range(count)]
    weights = np.zeros((count, cells))
    for i, first in enumerate(firsts):
        left = firsts[i - 1] + size - first if i else 0  # cells shared with the tile before
        right = first + size - firsts[i + 1] if i + 1 < count else 0
        weights[i, first : first + size] = np.minimum(_ramp(left, size), _ramp(right, size)[::-1])
    weights /= weights.sum(axis=0)
    narrow = weights.astype(np.float32)
    return [Interval(f, f + size, narrow[i, f : f + size]) for i, f in enumerate(firsts)]


def _ramp(overlap: int, size: int) -> npt.NDArray[np.float64]:
    """A tile's weights: rising over the cells that it shares with the one before, then 1.

    Zero in the outer quarter, where the zero padding at the tile's border distorts the logits most; then linear.
    """
    if not overlap:
        return np.ones(size)
    outer = overlap // 4
    return np.clip((np.arange(size) + 1 - outer) / (overlap + 1 - 2 * outer), 0, 1)
