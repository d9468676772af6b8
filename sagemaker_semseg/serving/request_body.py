"""Reads a request's body piece by piece, within limits of size and rate.

Nothing is read before it is needed, so that a request can be refused for its header alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import Receive

from sagemaker_semseg.serving.http_errors import BadRequest, PayloadTooLarge, RequestTimeout
from sagemaker_semseg.serving.limits import MEGABYTE, Limits


class ClientDisconnected(Exception):
    """The client has closed the connection, so no response can be sent."""


class RequestBody:
    """The body of one request; ``receive`` is ASGI's."""

    def __init__(self, receive: Receive, headers: Headers, limits: Limits):
        self._receive, self._limits = receive, limits
        chunked = "transfer-encoding" in headers
        # the HTTP library has checked that it is a number
        self._declared = 0 if chunked else int(headers.get("content-length", 0))
        self.received = 0
        self.complete = not chunked and not self._declared
        self.ambiguous = chunked and "content-length" in headers
        """Two lengths: a proxy may disagree about where the body ends and the next request begins."""
        self.awaits_continue = not self.complete and headers.get("expect", "").lower() == "100-continue"
        """The client waits for "100 Continue". Without it, the client may send the body or not."""

    def check_declared_length(self) -> None:
        """Raises ``PayloadTooLarge`` for too large a Content-Length, ``BadRequest`` for two lengths."""
        if self.ambiguous:
            raise BadRequest("The request has both Content-Length and Transfer-Encoding.", "send one of them")
        self._check(self._declared)

    async def read(self, reserve: Callable[[int], None]) -> list[bytes]:
        """Reads all of it; ``reserve`` is called with the size of each piece.

        Raises ``PayloadTooLarge``, ``RequestTimeout`` and ``ClientDisconnected``.
        """
        clock, limits, pieces = asyncio.get_running_loop().time, self._limits, []
        started = clock()
        while not self.complete:
            left = started + limits.grace_seconds + self.received / limits.body_rate - clock()
            try:
                piece = await self._next(min(left, limits.stall_seconds))
            except asyncio.TimeoutError:
                raise RequestTimeout(f"The body came too slowly: {self.received} bytes so far.") from None
            self._check(self.received)
            reserve(len(piece))
            pieces.append(piece)
        return pieces

    async def discard(self) -> None:
        """Reads the rest and drops it, within limits of time and size."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._limits.discard_seconds
        try:
            while not self.complete and self.received < 4 * self._limits.body_bytes:
                await self._next(until - clock())
        except (ClientDisconnected, asyncio.TimeoutError):
            pass

    async def wait_for_disconnect(self) -> None:
        """Returns when the client has closed the connection; for a body that is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self, seconds: float) -> bytes:
        self.awaits_continue = False  # ``receive`` sends "100 Continue"
        message = await asyncio.wait_for(self._receive(), max(seconds, 0))
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        piece: bytes = message.get("body", b"")
        self.received += len(piece)
        self.complete = not message.get("more_body", False)
        return piece

    def _check(self, size: int) -> None:
        if size > self._limits.body_bytes:
            most = f"{self._limits.body_bytes / MEGABYTE:g} MB"
            raise PayloadTooLarge(f"A body of {size} bytes or more came; at most {most} are taken.")
