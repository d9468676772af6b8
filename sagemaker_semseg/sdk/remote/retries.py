"""Asking AWS again and again: a question comes in as a function, its answers go out, with the pauses between them.

Jobs take hours, in which a network goes away for a while and AWS finds that it is asked too often. ``jobs``,
``endpoints`` and ``tuning`` ask through here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from sagemaker_semseg.storage.s3_errors import passes

POLL_SECONDS = 10.0
"""Between two looks at a job. SageMaker's own counters move no faster."""

PATIENCE = 12
"""Answers in a row that may fail to come, from a network or a throttled AWS: some ten minutes."""

_LONGEST_PAUSE = 60.0

Answer = TypeVar("Answer")


def retry_throttled(ask: Callable[[], Answer]) -> Answer:
    """The answer. Raises botocore's exception, at once if it would be the same the next time."""
    for number in range(1, PATIENCE + 1):
        try:
            return ask()
        except Exception as error:
            if not passes(error) or number == PATIENCE:
                raise
        time.sleep(random.uniform(0.5, 1) * min(_LONGEST_PAUSE, 2.0**number))
    raise AssertionError  # the last try returns or raises


def answers(ask: Callable[[], Answer]) -> Iterator[Answer]:
    """One answer after the other, as long as somebody takes them."""
    while True:
        yield retry_throttled(ask)
        time.sleep(POLL_SECONDS)
