"""Runs many requests in parallel and yields results as they arrive."""

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
"""Arguments submitted ahead for each thread, so that a million arguments aren't a million tasks."""


def in_parallel(
    work: Callable[[Argument, threading.Event], Result], arguments: Iterable[Argument], threads: int
) -> Iterator[tuple[Argument, Result | DataError]]:
    """Yield each argument with the result of ``work`` or with its ``DataError``, in any order.

    Any other error is raised when the running calls have ended. ``work`` also gets an event that is set
    after such an error, after Ctrl-C, or when the caller has stopped iterating.
    """
    stop = threading.Event()
    ahead = iter(arguments)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="s3")
    running: dict[Future[Result], Argument] = {}
    ended: SimpleQueue[Future[Result]] = SimpleQueue()  # futures.wait would scan all running ones each time
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
