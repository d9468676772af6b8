"""Python functions in tf.data's threads: what they raise, one iterator for all of them, the wait at exit."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Final, Generic, TypeVar

import numpy as np
import tensorflow as tf

_QUIET_SECONDS: Final = 0.05  # without a call: none will follow
_EXIT_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)

Number = TypeVar("Number", bound=np.int64)
Result = TypeVar("Result")
Item = TypeVar("Item")


class _Activity:
    """The calls in progress, and when the last one began or ended (0: never)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0
        self._last = 0.0
        self.stops: weakref.WeakSet[threading.Event] = weakref.WeakSet()

    def count(self, change: int) -> None:
        with self._lock:
            self._active += change
            self._last = time.monotonic()

    def wait_until_idle(self) -> None:
        """Stop the readers and wait for the last call, ``_EXIT_SECONDS`` at most.

        While Python shuts down, a thread that asks for the interpreter never gets it, and TensorFlow, which then
        deletes its iterators, waits for that thread: the program hangs. An endless dataset that a variable of a script
        or notebook still refers to causes this nearly every time. Reading ends by itself, since tf.data reads only so
        far ahead; readers of FIFOs, which may wait for a sender, are stopped.
        """
        for stop in list(self.stops):
            stop.set()
        end = time.monotonic() + _EXIT_SECONDS
        while (now := time.monotonic()) < end and (self._active or now - self._last < _QUIET_SECONDS):
            time.sleep(0.01)
        if self._active:
            _log.warning("the program ends while data is still being read; it may hang")


_activity = _Activity()
atexit.register(_activity.wait_until_idle)


def stop_at_exit(stop: threading.Event) -> None:
    """Set an event when the program ends, before it waits for the calls of tf.data."""
    _activity.stops.add(stop)


class ReadErrors:
    """What the functions of one pipeline raised, by the number of the element."""

    def __init__(self) -> None:
        self._errors: dict[int, Exception] = {}

    def track_calls(self, function: Callable[[Number], Result]) -> Callable[[Number], Result]:
        """Wrap a function for tf.data: keep what it raises, and let the program's exit wait for it."""

        @wraps(function)
        def call(number: Number) -> Result:
            _activity.count(+1)
            try:
                return function(number)
            except Exception as error:
                self._errors.setdefault(int(number), error)
                raise
            finally:
                _activity.count(-1)

        return call

    def original(self, error: Exception) -> Exception:
        """Return what made TensorFlow raise ``error``: that of the first element, as they are in order."""
        return self._errors[min(self._errors)] if self._errors else error

    def clear(self) -> None:
        """Forget the errors of an earlier iteration."""
        self._errors.clear()


class SequentialSource(Generic[Item]):
    """Reads one iterator from several threads, one item at a time, in order.

    For FIFOs. tf.data's thread draws an item when a worker has room for it, so there are no more items in memory than
    workers.
    """

    def __init__(self, items: Iterator[Item], errors: ReadErrors):
        self._items, self._errors = items, errors
        self._drawn: dict[int, Item] = {}
        self._last: int | None = None

    def numbers(self, numbers: tf.data.Dataset) -> tf.data.Dataset:
        """The same consecutive numbers, each once its item is drawn; fewer if there are fewer items."""

        def draw(number: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(tf.numpy_function(self._errors.track_calls(self._draw), [number], tf.int64), ())

        return numbers.map(draw).take_while(lambda number: number >= 0)

    def take(self, number: int) -> Item:
        """Return the item of a number, once."""
        return self._drawn.pop(number)

    def _draw(self, number: np.int64) -> np.int64:
        if self._last is not None and number != self._last + 1:
            raise RuntimeError("a stream can be read once; make a new dataset of a new one")
        self._last = int(number)
        for item in self._items:
            self._drawn[self._last] = item
            return number
        return np.int64(-1)
