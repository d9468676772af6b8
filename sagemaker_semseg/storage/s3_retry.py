"""Asking S3 until it answers: a request comes in as a function, its answer goes out. ``s3_objects`` calls it.

botocore tries a request again a few times by itself, but not what breaks off while it is read, and not for long enough
where S3 is overloaded, which lasts up to minutes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from sagemaker_semseg.storage.filesystem import unreadable
from sagemaker_semseg.storage.s3_errors import is_out_of_reach, passes, translate_error

ATTEMPTS = 7
ATTEMPTS_TO_REACH = 3
"""Where no connection was ever made: a wrong endpoint doesn't mend itself."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
"""Seconds. It doubles each time; what is waited is drawn between 0 and it, lest all threads come back at once."""

Answer = TypeVar("Answer")


class Damaged(Exception):
    """What arrived is not what was asked for. The message says so in words."""


class Stopped(Exception):
    """Nobody waits for the answer any longer."""


def retry(attempt: Callable[[], Answer], where: str, stop: threading.Event | None = None) -> Answer:
    """The answer. where: what is asked for, in messages. stop: set by another thread, it ends pauses with ``Stopped``.

    Raises ``DataError`` if something is wrong with one object, and ``UserError`` if with all of them: at once if it
    would be wrong the next time too. The cause is not chained, since botocore's messages may quote credentials.
    """
    stop = stop or threading.Event()
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except Exception as error:
            most = ATTEMPTS_TO_REACH if is_out_of_reach(error) else ATTEMPTS
            again = passes(error) or isinstance(error, Damaged)
            if not again or number >= most:
                told = translate_error(error, where)
                if told is None and again:
                    what = str(error) if isinstance(error, Damaged) else type(error).__name__
                    told = unreadable(where, f"doesn't arrive whole ({what})", "run the command again")
                if told is None:
                    raise
                raise told from None
        if stop.wait(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (number - 1)))):
            raise Stopped
    raise AssertionError  # the last attempt returns or raises
