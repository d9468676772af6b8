"""Many requests at once: a function and its arguments come in, results go out as they arrive. ``mirror`` calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

from sagemaker_semseg.errors import DataError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_WAITING = 4
"""Arguments taken for each thread ahead of time: a million of them are not held as a million tasks."""


def in_parallel(
    work: Callable[[Argument, threading.Event], Result], arguments: Iterable[Argument], threads: int
) -> Iterator[tuple[Argument, Result | DataError]]:
    """Each argument with what ``work`` gave for it, in no order. A ``DataError`` is about its argument, and given too.

    Any other error ends it all: it is raised when the calls that are under way have ended. ``work`` is also given an
    event that is set when nobody waits any longer, because of such an error, of Ctrl-C or since the caller has left.
    """
    stop = threading.Event()
    ahead = iter(arguments)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="s3")
    running: dict[Future[Result], Argument] = {}
    ended: SimpleQueue[Future[Result]] = SimpleQueue()  # futures.wait would look at all that run, each time
    try:
        while True:
            for argument in islice(ahead, threads * _WAITING - len(running)):
                future = pool.submit(work, argument, stop)
                running[future] = argument
                future.add_done_callback(ended.put)
            if not running:
                return
            future = ended.get()
            argument = running.pop(future)
            try:
                yield argument, future.result()
            except DataError as error:
                yield argument, error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
