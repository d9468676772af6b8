"""An iterator that is gone through by one thread while others work on what it gave.

In: items, in their order. Out: a ``tf.data.Dataset`` of numbers that draws one item each, and the items by number.
Called by ``pipeline`` for FIFOs, which can be read by one at a time only. No thread of its own: tf.data's draws an item
when a worker has room for one, so no more items are held than there are workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
import tensorflow as tf

from sagemaker_semseg.training.shutdown import track_calls

Item = TypeVar("Item")


class SequentialSource(Generic[Item]):
    """Goes through ``items`` once."""

    def __init__(self, items: Iterator[Item]):
        self._items = items
        self._drawn: dict[int, Item] = {}
        self._last: int | None = None

    def numbers(self, numbers: tf.data.Dataset) -> tf.data.Dataset:
        """The same numbers, one after the other, each with its item drawn; fewer if the items come to an end."""

        def draw(number: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(tf.numpy_function(track_calls(self._draw), [number], tf.int64), ())

        return numbers.map(draw).take_while(lambda number: number >= 0)

    def take(self, number: int) -> Item:
        """The item of a number, once."""
        return self._drawn.pop(number)

    def _draw(self, number: np.int64) -> np.int64:
        if self._last is not None and number != self._last + 1:
            raise RuntimeError("a stream can be gone through once; make a new dataset of a new one")
        self._last = int(number)
        for item in self._items:
            self._drawn[self._last] = item
            return number
        return np.int64(-1)
