"""SIGTERM and Ctrl-C as events: signals come in, a training that is asked to stop goes out. Called by ``trainer``."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any


class Stop(threading.Event):
    """signal: the number of the one that has set it."""

    signal: int | None = None


@contextlib.contextmanager
def stop_signals(halt: threading.Event) -> Iterator[Stop]:
    """An event that SIGTERM and the first Ctrl-C set; a second Ctrl-C interrupts as usual.

    halt: is set with it, and at once. Python runs its handlers between two of the main thread's own steps, which don't
    come while that waits for a batch; a thread of its own hears of the signal before.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.signal = number
        stop.set()

    def listen() -> None:
        while heard := ear.recv(64):
            if {signal.SIGINT, signal.SIGTERM} & set(heard):
                halt.set()

    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    woken = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        mouth.close()
        listener.join()
        ear.close()
