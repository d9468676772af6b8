"""Repeats requests to AWS that fail for a passing reason.

botocore repeats a request a few times by itself, but not one that breaks off while its answer is read, and not for long
enough where AWS is overloaded, which lasts up to minutes.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.storage.s3_errors import is_out_of_reach, is_transient

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is tried, and the pauses between, in seconds.

    attempts_to_connect: where no connection was ever made; a wrong endpoint stays wrong. The pause doubles each time.
    """

    attempts: int
    attempts_to_connect: int
    first_pause: float
    longest_pause: float

    def pause(self, number: int) -> float:
        """Seconds after attempt ``number``, counted from 1: random, so that threads don't all return at once."""
        return random.uniform(0.5, 1) * min(self.longest_pause, self.first_pause * 2.0 ** (number - 1))


TRANSFERS = RetryPolicy(attempts=7, attempts_to_connect=3, first_pause=0.5, longest_pause=20)
JOBS = RetryPolicy(attempts=12, attempts_to_connect=12, first_pause=2, longest_pause=60)
"""Jobs take hours, in which a network fails for a while and AWS throttles."""
ONCE = RetryPolicy(attempts=1, attempts_to_connect=1, first_pause=0, longest_pause=0)


class DamagedDownload(Exception):
    """The bytes that arrived are not those that were asked for. The message says how."""


class Stopped(Exception):
    """Another thread has cancelled the request."""


def retry(
    attempt: Callable[[], Answer],
    translate: Callable[[Exception], UserError | None],
    policy: RetryPolicy | None = None,
    stop: threading.Event | None = None,
) -> Answer:
    """Return what ``attempt`` returns, and repeat it while its error is a passing one.

    Args:
        attempt: Makes the request once.
        translate: Turns an exception into an error for people, or None if it doesn't know it.
        policy: ``TRANSFERS`` if None.
        stop: Ends a pause with ``Stopped`` when another thread sets it.

    Raises:
        UserError: What ``translate`` makes of the last error. The cause is not chained: botocore's messages may quote
            credentials.
        Stopped: ``stop`` was set.
    """
    policy = policy or TRANSFERS
    number = 0
    while True:
        number += 1
        try:
            return attempt()
        except UserError:
            raise
        except Exception as error:
            most = policy.attempts_to_connect if is_out_of_reach(error) else policy.attempts
            if number >= most or not (is_transient(error) or isinstance(error, DamagedDownload)):
                if (translated := translate(error)) is None:
                    raise
                raise translated from None
        if stop is None:
            time.sleep(policy.pause(number))
        elif stop.wait(policy.pause(number)):
            raise Stopped
