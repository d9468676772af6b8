"""Labels and probabilities at an image's size, from coarse logits.

Logits are resized bilinearly with aligned corners, as in the networks: output pixel i lies at the position
i * (cells - 1) / (pixels - 1). The resizing is a product with a sparse matrix for each axis, computed in blocks. The
probabilities of several views are averaged. For labels of one view, only classes that can be one are resized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.inference.tiling import LogitRows

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

_BAND_BYTES = 16 * 2**20
# rows and columns of one product: larger ones multiply with more zeros, smaller ones start more often
_ROWS, _COLUMNS = 64, 128
_PROBABILITIES_BLOCK = 256  # of both; other sizes or another order would round sums, and so replies, in another way
_ROUNDING = np.float32(2**-19)  # of an interpolated logit, relative: 32 times that of one operation


@dataclass(frozen=True)
class Block:
    """Interpolation weights of the output columns ``first`` to ``last`` from the cells beginning at ``cell``."""

    first: int
    last: int
    cell: int
    matrix: Floats  # (cells, columns)


def to_labels(views: Sequence[LogitRows], height: int, width: int, num_classes: int, check: Callable[[], None]) -> Any:
    """Returns the class with the largest logit, or with the largest mean probability of several views.

    Args:
        views: The coarse logits of each view.
        height: Rows of the image.
        width: Columns of the image.
        num_classes: Classes C of the logits.
        check: Called for each band of rows and view; raises an exception to cancel the work.

    Returns:
        (height, width) uint8.
    """
    out = np.empty((height, width), np.uint8)
    if len(views) == 1:
        _label(views[0], out, num_classes, check)
    else:
        for first, last, total in _bands(views, height, width, num_classes, check):
            _argmax(total, range(num_classes), out[first:last])
    return out


def to_probabilities(
    views: Sequence[LogitRows], height: int, width: int, num_classes: int, dtype: Any, check: Callable[[], None]
) -> npt.NDArray[Any]:
    """Returns the mean softmax over the views, (num_classes, height, width) of ``dtype``; see ``to_labels``."""
    out = np.empty((num_classes, height, width), dtype)
    for first, last, scores in _bands(views, height, width, num_classes, check):
        np.multiply(scores, np.float32(1 / len(views)), out=out[:, first:last], casting="same_kind")
    return out


def _label(logits: LogitRows, out: Labels, num_classes: int, check: Callable[[], None]) -> None:
    """Writes the labels of one view."""
    height, width = out.shape
    columns = _blocks(logits.columns, width, logits.view.flip, _COLUMNS)
    rows = _band_rows(_ROWS, num_classes, width)
    for first in range(0, height, rows):
        check()
        last = min(first + rows, height)
        cell, matrix = _interpolation(first, last, logits.rows, height)
        coarse = logits.read_rows(cell, cell + len(matrix))
        labels = _possible_labels(coarse)
        # the large product has whole rows
        scores = np.matmul(matrix.T, _widened(coarse[labels], width, columns))
        _argmax(scores, labels, out[first:last])


def _possible_labels(coarse: Floats) -> npt.NDArray[np.intp]:
    """Returns the classes of (C, rows, columns) logits that can be the largest somewhere between the cells.

    A logit between four cells is not above the largest of the four, nor below the smallest. So a class whose largest is
    below another's smallest isn't a label there. Of many classes few are left.
    """
    floor = _of_neighbors(np.minimum, coarse).max(axis=0)
    floor -= _ROUNDING * np.abs(floor)
    is_below = _of_neighbors(np.maximum, coarse) < floor  # which NaN never is
    return np.flatnonzero(~is_below.all(axis=(1, 2)))


def _of_neighbors(function: np.ufunc, cells: Floats) -> Floats:
    """Returns the minimum or maximum of each four cells that are neighbors; of two in a single row or column."""
    if cells.shape[2] > 1:
        cells = function(cells[:, :, :-1], cells[:, :, 1:])
    return function(cells[:, :-1], cells[:, 1:]) if cells.shape[1] > 1 else cells


def _bands(
    views: Sequence[LogitRows], height: int, width: int, num_classes: int, check: Callable[[], None]
) -> Iterator[tuple[int, int, Floats]]:
    """(first row, last row, (C, rows, width) sum of all views' probabilities)."""
    size = _PROBABILITIES_BLOCK
    blocks = [_blocks(logits.columns, width, logits.view.flip, size) for logits in views]
    rows = _band_rows(size, num_classes, width)
    for first in range(0, height, rows):
        last = min(first + rows, height)
        total: Floats | None = None
        for logits, columns in zip(views, blocks, strict=True):
            check()
            cell, matrix = _interpolation(first, last, logits.rows, height)
            coarse = logits.read_rows(cell, cell + len(matrix))
            scores = _widened(np.matmul(matrix.T, coarse), width, columns)
            _softmax(scores)
            total = scores if total is None else np.add(total, scores, out=total)
        assert total is not None
        yield first, last, total


def _band_rows(largest: int, num_classes: int, width: int) -> int:
    return min(largest, max(1, _BAND_BYTES // (4 * num_classes * width)))


def _widened(logits: Floats, width: int, columns: Sequence[Block]) -> Floats:
    """Resizes the columns of (C, rows, cells) logits to the image's: (C, rows, width)."""
    out = np.empty((*logits.shape[:2], width), np.float32)
    for block in columns:
        source = logits[:, :, block.cell : block.cell + len(block.matrix)]
        np.matmul(source, block.matrix, out=out[:, :, block.first : block.last])
    return out


def _blocks(cells: int, width: int, flip: bool, size: int) -> list[Block]:
    blocks = []
    for first in range(0, width, size):
        last = min(first + size, width)
        cell, matrix = _interpolation(first, last, cells, width)
        if flip:
            first, last, matrix = width - last, width - first, np.ascontiguousarray(matrix[:, ::-1])
        blocks.append(Block(first, last, cell, matrix))
    return blocks


def _interpolation(first: int, last: int, cells: int, pixels: int) -> tuple[int, Floats]:
    """The first cell, and weights (cells, last - first), for some of ``pixels`` pixels out of ``cells`` cells."""
    position = np.arange(first, last) * ((cells - 1) / max(pixels - 1, 1))
    # rounding must not reach past the last cell
    begin, end = int(position[0]), min(int(position[-1]) + 2, cells)
    distance = np.abs(position[None, :] - np.arange(begin, end)[:, None])
    return begin, np.maximum(1 - distance, 0).astype(np.float32)


def _softmax(scores: Floats) -> None:
    """Over the first axis, in place."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)


def _argmax(scores: Floats, labels: Sequence[int] | npt.NDArray[np.intp], out: Labels) -> None:
    """Writes the label with the largest of the (C, rows, columns) scores; the first of equal ones. ``labels`` grow.

    Faster than ``numpy.argmax``, which goes pixel by pixel. Since labels grow, the largest one that was better than all
    before is the answer. Products and maxima of bytes take a third of the time of ``numpy.copyto`` with a mask.
    """
    best = scores[0].copy()
    better, candidate = np.empty(best.shape, bool), np.empty(best.shape, np.uint8)
    out[:] = labels[0]
    for label, score in zip(labels[1:], scores[1:], strict=True):
        np.greater(score, best, out=better)
        np.maximum(best, score, out=best)
        np.multiply(better.view(np.uint8), np.uint8(label), out=candidate)
        np.maximum(out, candidate, out=out)
