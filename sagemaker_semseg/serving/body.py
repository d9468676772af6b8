"""A request's body as it comes: the server's ``receive`` comes in, bytes go out in the pieces in which they arrived.

Nothing is read before it is asked for, so that a request can be refused for its header alone. Called by ``invocations``
for what is to be read, by ``app`` for what is left over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import Receive

from sagemaker_semseg.serving.http_errors import BadRequest, PayloadTooLarge, RequestTimeout
from sagemaker_semseg.serving.limits import MEGABYTE, Limits


class ClientDisconnected(Exception):
    """The client has closed the connection: nobody is there to be answered."""


class Body:
    def __init__(self, receive: Receive, headers: Headers, limits: Limits):
        self._receive, self._limits = receive, limits
        chunked = "transfer-encoding" in headers
        # that it is a number, the HTTP library has seen to
        self._declared = 0 if chunked else int(headers.get("content-length", 0))
        self.received = 0
        self.complete = not chunked and not self._declared
        self.ambiguous = chunked and "content-length" in headers
        """Two lengths: where one ends and the next request begins, a proxy may see in another way."""
        self.held_back = not self.complete and headers.get("expect", "").lower() == "100-continue"
        """The client waits to be asked for the body. If it isn't, it may send it or not."""

    def check_declared(self) -> None:
        """Raises ``PayloadTooLarge`` if the header announces too much, ``BadRequest`` if it contradicts itself."""
        if self.ambiguous:
            raise BadRequest("The request has both Content-Length and Transfer-Encoding.", "send one of them")
        self._check(self._declared)

    async def read(self, hold: Callable[[int], None]) -> list[bytes]:
        """All of it. hold: called with the size of each piece.

        Raises ``PayloadTooLarge``, ``RequestTimeout`` and ``HungUp``.
        """
        limits, begun, pieces = self._limits, time.monotonic(), []
        while not self.complete:
            left = begun + limits.grace_seconds + self.received / limits.body_rate - time.monotonic()
            try:
                piece = await self._next(min(left, limits.stall_seconds))
            except asyncio.TimeoutError:
                raise RequestTimeout(f"The body came too slowly: {self.received} bytes so far.") from None
            self._check(self.received)
            hold(len(piece))
            pieces.append(piece)
        return pieces

    async def discard(self) -> None:
        """Reads what is left, within bounds of time and size."""
        until = time.monotonic() + self._limits.discard_seconds
        try:
            while not self.complete and self.received < 4 * self._limits.body_bytes:
                await self._next(until - time.monotonic())
        except (ClientDisconnected, asyncio.TimeoutError):
            pass

    async def hang_up(self) -> None:
        """Returns when the client has closed the connection. Call it when the body is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self, seconds: float) -> bytes:
        self.held_back = False  # ``receive`` asks for it
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
