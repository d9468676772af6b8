"""Decodes and encodes run lengths in COCO's two forms.

A run is a number of pixels, counted down the columns from the left; runs outside and inside the shape alternate, the
first is outside. Input isn't trusted: numbers that don't add up to the image never become an array's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Runs = npt.NDArray[np.int64]

_REMEDY = "export the annotation again, or remove it"


class ShapeError(Exception):
    """A shape can't be drawn; the reader, which knows its place, makes a ``Fault`` of it."""

    def __init__(self, what: str, remedy: str = ""):
        super().__init__(what)
        self.what, self.remedy = what, remedy


def decode_runs(counts: bytes | str | Sequence[Any]) -> Runs:
    """Decode a list of integers or COCO's compressed string; their sum is not checked here."""
    if isinstance(counts, str | bytes):
        return _decompress(counts)
    if not all(type(count) is int and 0 <= count < 1 << 40 for count in counts):
        raise ShapeError("counts that aren't all whole numbers from 0 on", _REMEDY)
    return np.array(counts, np.int64)


def _decompress(counts: bytes | str) -> Runs:
    """Decode COCO's string (``maskApi.c``, rleFrString): five bits a character, lowest first, a sixth for more.

    A number's highest bit is its sign. From the fourth number on, it is the difference from the one two before it.
    """
    data = counts.encode("utf-8", "replace") if isinstance(counts, str) else counts
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() > 63:
        raise ShapeError("counts that are no compressed run lengths", _REMEDY)
    last = codes < 32
    if not last[-1]:
        raise ShapeError("compressed run lengths that are cut short", _REMEDY)
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise ShapeError("a compressed run length of more than 32 bits", _REMEDY)
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values


def check_runs(runs: Runs, height: int, width: int) -> Runs:
    """Return the runs. Raises ``ShapeError`` unless they cover every pixel of the image once."""
    if runs.size and runs.min() < 0:
        raise ShapeError(f"a run of {runs.min()} pixels", _REMEDY)
    # each first: the sum of too large numbers might overflow to the right one
    if (runs > height * width).any() or runs.sum() != height * width:
        what = f"runs that don't add up to {height} x {width} = {height * width} pixels"
        raise ShapeError(what, _REMEDY)
    return runs


def decode_columns(runs: Runs, height: int) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return the first column that the shape touches, and (height, columns) bool, True inside the shape."""
    runs = runs[: runs.size // 2 * 2]  # without the run after the last one inside
    if not runs.size:
        return 0, np.zeros((height, 0), np.bool_)
    left = int(runs[0]) // height
    columns = -(-int(runs.sum()) // height) - left
    pixels = np.zeros(columns * height, np.bool_)
    runs = np.concatenate([[runs[0] - left * height], runs[1:]])
    pixels[: runs.sum()] = np.repeat(np.arange(runs.size) % 2 == 1, runs)
    return left, pixels.reshape(columns, height).T


def encode_bitmap(pixels: npt.NDArray[np.bool_], top: int, left: int, height: int, width: int) -> Runs:
    """Encode a bitmap that lies inside the image, with its upper left pixel at row ``top`` and column ``left``."""
    columns = np.zeros((pixels.shape[1], height), np.bool_)
    columns[:, top : top + pixels.shape[0]] = pixels.T
    flat = np.concatenate([[False], columns.ravel(), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + left * height
    return np.diff(changes, prepend=0, append=height * width)
