"""Catches SIGTERM and Ctrl-C: records which signal came and restores the old handlers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Sequence


class StopSignal(threading.Event):
    """Is set once a signal has come. ``signal`` is the number of the last one, None if none has come."""

    signal: int | None = None

    def record(self, number: int) -> None:
        """Set the event for a signal."""
        self.signal = number
        self.set()


@contextlib.contextmanager
def catch_signals(
    numbers: Sequence[int] = (signal.SIGTERM, signal.SIGINT),
    callback: Callable[[int], object] | None = None,
    *,
    threaded: bool = False,
) -> Iterator[StopSignal]:
    """Handle signals within a ``with`` block, and restore the old handlers after it.

    Outside the main thread, where Python can't set handlers, the event is never set.

    Args:
        numbers: The signals.
        callback: Is called with the number of each signal in the main thread, between two steps of Python. What it
            raises interrupts the block.
        threaded: Set the event from another thread. Python runs handlers in the main thread, which may spend a long
            time in a library's C code, such as TensorFlow's; the thread sees the signal at once.

    Yields:
        The event. ``with catch_signals(): ...`` alone ignores the signals.
    """
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: object) -> None:
        stop.record(number)
        if callback:
            callback(number)

    with contextlib.ExitStack() as restored:
        if threaded:
            restored.enter_context(_listener(numbers, stop))
        for number in numbers:
            restored.callback(signal.signal, number, signal.signal(number, handle) or signal.SIG_DFL)
        yield stop


@contextlib.contextmanager
def _listener(numbers: Sequence[int], stop: StopSignal) -> Iterator[None]:
    """A thread that reads the numbers of signals from Python's wakeup descriptor."""

    def listen() -> None:
        while received := read_end.recv(64):
            for number in received:
                if number in numbers:
                    stop.record(number)

    read_end, write_end = socket.socketpair()
    with read_end, write_end:
        write_end.setblocking(False)
        thread = threading.Thread(target=listen, name="signals", daemon=True)
        thread.start()
        previous = signal.set_wakeup_fd(write_end.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
            write_end.close()
            thread.join()


def terminate() -> None:
    """Send this process SIGTERM."""
    os.kill(os.getpid(), signal.SIGTERM)


def watch_parent(callback: Callable[[], None] = terminate) -> None:
    """Call ``callback`` in a thread when the parent ends, however it ends and on any system.

    The parent has made a pipe that this process reads as standard input and that is never written to. Without such a
    pipe nothing happens.
    """
    try:
        if not stat.S_ISFIFO(os.fstat(0).st_mode):
            return
    except OSError:  # there is no standard input
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        callback()

    threading.Thread(target=wait, name="parent", daemon=True).start()
