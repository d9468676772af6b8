"""What the server does without: how large, how slow and how many requests may be. ``server`` makes one ``Limits`` of
its settings; ``body``, ``invocations`` and ``connection`` keep to it.
"""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 2**20

MAX_HEADER_BYTES = 32 * 1024


@dataclass(frozen=True)
class Limits:
    """Bytes, seconds and counts.

    body_bytes: of one request. held_bytes: of all requests and replies in memory at once; above it new ones are
    refused. invocations: begun and not yet answered. connections: above it, the one that has been waited for longest is
    closed in favour of a new one, so that health checks get through.

    header_seconds: from a request's first byte to the end of its header. idle_seconds: between requests.
    stall_seconds: without a byte of a body that isn't complete. A body as a whole has ``grace_seconds`` and a second
    more for each ``body_rate`` bytes that have come. write_seconds: for a client to take a piece (256 kB) of its reply.
    discard_seconds: after an early reply, for the rest of a body that nobody reads.

    finish_seconds: after SIGTERM, for the invocations in hand; SageMaker kills after 30.
    """

    body_bytes: int = 100 * MEGABYTE
    held_bytes: int = 512 * MEGABYTE
    invocations: int = 256
    connections: int = 1024
    header_seconds: float = 15.0
    idle_seconds: float = 75.0
    stall_seconds: float = 20.0
    grace_seconds: float = 30.0
    body_rate: float = 32 * 1024
    write_seconds: float = 30.0
    discard_seconds: float = 10.0
    finish_seconds: float = 20.0
