"""The network's answer for one view, from the top down: rows of coarse logits, made when they are asked for.

Only the rows between the one that was asked for last and the end of the tiles in hand are held, so that memory grows
with an image's width and not with its area. Called by ``segmenter`` and ``finish``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.inference.test_time_augmentation import AugmentedView, tiles

Logits = npt.NDArray[np.float32]


class LogitRows:
    """Coarse logits of a view, (C, rows, columns) float32. ``run`` takes the pixels of a tile to its logits."""

    def __init__(self, view: AugmentedView, run: Callable[[npt.NDArray[np.uint8]], Logits], max_cells: int):
        self.view, self._run = view, run
        self._tile_rows, self._columns = tiles(view.rows, view.columns, max_cells)
        self._first = 0  # the row of the view that is the first in ``_held``
        self._held: Logits | None = None
        self._done = 0  # rows of tiles

    def take(self, first: int, last: int) -> Logits:
        """The rows from ``first`` up to, not including, ``last``. Those before ``first`` are forgotten."""
        while self._ready < last:
            self._add_tiles()
        assert self._held is not None
        self._held = self._held[:, first - self._first :]
        self._first = first
        return self._held[:, : last - first]

    @property
    def _ready(self) -> int:
        """Rows to which no tile adds any more."""
        if self._done == len(self._tile_rows):
            return self.view.rows
        return self._tile_rows[self._done].first if self._held is not None else 0

    def _add_tiles(self) -> None:
        """Run the next row of tiles."""
        rows = self._tile_rows[self._done]
        self._done += 1
        for columns in self._columns:
            logits = self._run(self.view.tile(rows, columns))
            if len(self._tile_rows) == len(self._columns) == 1:
                self._held = logits
                return
            held = self._extended(len(logits), rows.last)
            held = held[:, rows.first - self._first :, columns.first : columns.last]
            held += logits * rows.share[:, None] * columns.share

    def _extended(self, classes: int, last: int) -> Logits:
        """``_held`` with zeros up to the row ``last``."""
        held = self._held if self._held is not None else np.zeros((classes, 0, self.view.columns), np.float32)
        missing = last - self._first - held.shape[1]
        if missing > 0:
            held = np.concatenate([held, np.zeros((classes, missing, self.view.columns), np.float32)], axis=1)
        self._held = held
        return held
