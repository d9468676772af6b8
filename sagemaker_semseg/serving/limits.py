"""Limits of the HTTP server: sizes, times and counts."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 2**20

MAX_HEADER_BYTES = 32 * 1024


@dataclass(frozen=True)
class Limits:
    """Bytes, seconds and counts.

    Attributes:
        body_bytes: Of one request's body.
        held_bytes: Of all request and response bodies in memory; above it new requests are refused.
        invocations: In flight.
        connections: Above it, the connection that has waited for its client longest is closed, so that health checks
            get through.
        header_seconds: From a request's first byte to the end of its header.
        idle_seconds: Between requests.
        stall_seconds: Without a byte of an incomplete body.
        grace_seconds: For a whole body, plus a second for each ``body_rate`` bytes received.
        body_rate: Bytes per second.
        write_seconds: For a client to take a piece (256 kB) of its response.
        discard_seconds: After an early response, for the rest of a body that isn't read.
        finish_seconds: After SIGTERM, for the invocations in flight; SageMaker kills the container after 30.
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
