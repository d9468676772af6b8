"""A named pipe that somebody else writes, read without ever being stuck in it.

In: a path at which a FIFO is, or will be. Out: a binary file. Called by ``stream``. Opening and reading wait for the
sender, but not for ever, and end at once when they are told to: a thread that is blocked in the system's ``open``
could neither be stopped nor awaited.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sagemaker_semseg.errors import DataError, Fault

PATIENCE: Final = 1800.0
"""Seconds without a byte after which the sender is given up."""

_SLICE: Final = 0.05  # seconds between two looks at whether to go on waiting
_TELL_AFTER: Final = 30.0
_CAPACITY: Final = 1 << 20  # bytes between sender and reader, where the system allows it
_BUFFER: Final = 1 << 18

_log = logging.getLogger(__name__)


class Cancelled(Exception):
    """Reading was told to end. Nothing is wrong."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class PollConfig:
    """What is looked at while there is nothing to read.

    halt: once it is set, ``Halted`` is raised. watch: called again and again; raises if the sender has failed.
    patience: seconds, then ``DataError`` is raised.
    """

    halt: threading.Event = field(default_factory=threading.Event)
    watch: Callable[[], None] = _nothing
    patience: float = PATIENCE

    def until(self, ready: Callable[[float], object], path: Path, what: str) -> None:
        """Returns when ``ready``, which may take the seconds it is given, says so."""
        start, told = time.monotonic(), False
        while not ready(_SLICE):
            if self.halt.is_set():
                raise Cancelled
            self.watch()
            waited = time.monotonic() - start
            if waited > self.patience:
                remedy = "check whoever writes the channel, and that it writes one FIFO for each pass over the data"
                raise DataError("a stream has dried up", [Fault(str(path), f"{what} for {waited:.0f} s", remedy)])
            if waited > _TELL_AFTER and not told:
                _log.warning("%s: %s for %.0f s; waiting for %.0f", path, what, waited, self.patience)
                told = True


def open_fifo(path: Path, waiting: PollConfig) -> io.BufferedReader:
    """The FIFO at ``path``, for reading; it may appear later. Raises as ``Waiting`` does, and ``OSError``."""

    def there(seconds: float) -> bool:
        if path.exists():
            return True
        time.sleep(seconds)
        return False

    waiting.until(there, path, "no such FIFO")
    return io.BufferedReader(_Fifo(path, waiting), _BUFFER)


class _Fifo(io.RawIOBase):
    def __init__(self, path: Path, waiting: PollConfig):
        self._path, self._waiting = path, waiting
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._ready = False
        with contextlib.suppress(OSError, AttributeError, ImportError):  # no FIFO, too much for the user, not Linux
            import fcntl

            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _CAPACITY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._waiting.halt.is_set():
            raise Cancelled
        while True:
            # Before a sender has opened it, reading gives what it gives at the end: nothing. Polling tells them apart.
            if not self._ready:
                self._waiting.until(lambda seconds: self._poll.poll(seconds * 1000), self._path, "nothing came")
                self._ready = True
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                self._ready = False

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
