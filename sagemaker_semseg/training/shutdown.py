"""Lets Python end while tf.data still reads ahead.

In: a function that tf.data calls from threads of its own. Out: the same, watched. Called by ``pipeline``.

When Python shuts down, a thread that asks for the interpreter never gets it again, and TensorFlow, which then takes
down what is left of its iterators, waits for that thread: the program hangs. An endless dataset that is still referred
to at the end, by a variable of a script or a notebook, brings this about nearly every time. So before the shutdown the
reading is awaited: it comes to rest by itself, since what is read ahead is bounded and nobody takes it.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Final, TypeVar

_QUIET: Final = 0.05  # seconds without a call: no further one will come
_PATIENCE: Final = 30.0

Number = TypeVar("Number")
Result = TypeVar("Result")


class _Calls:
    """How many calls are under way, and when the last one began or ended (0: never)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.active = 0
        self.last = 0.0

    def count(self, change: int) -> None:
        with self.lock:
            self.active += change
            self.last = time.monotonic()

    def await_rest(self) -> None:
        """Returns when no call is under way and none has come for a moment, ``_PATIENCE`` seconds later at the most."""
        end = time.monotonic() + _PATIENCE
        while (now := time.monotonic()) < end and (self.active or now - self.last < _QUIET):
            time.sleep(0.01)


_calls = _Calls()
atexit.register(_calls.await_rest)


def track_calls(function: Callable[[Number], Result]) -> Callable[[Number], Result]:
    """``function``, so that the program's end waits for its calls."""

    @wraps(function)
    def call(number: Number) -> Result:
        _calls.count(+1)
        try:
            return function(number)
        finally:
            _calls.count(-1)

    return call
