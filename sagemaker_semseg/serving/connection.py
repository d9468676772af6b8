"""An HTTP connection: uvicorn's protocol with limits on how long a client may take.

uvicorn waits without limit for the end of a header, for a client that doesn't read, and for the rest of a body after an
early response. Every connection is checked once a second, and closed when it has been in one of these phases for
too long; ``request_body`` limits the rate of a body. Invalid HTTP is answered in JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sagemaker_semseg.serving.http_errors import BadRequest, error_body
from sagemaker_semseg.serving.limits import MAX_HEADER_BYTES, Limits

LINGERING_CLOSE_SECONDS = 2.0
"""After the response to invalid HTTP, while what the client still sends is dropped."""


class Connection(H11Protocol):
    """Closes itself when its client takes too long, and answers invalid HTTP in JSON."""

    limits = Limits()  # each server makes a subclass with its own

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._last_phase, self._since = "header", time.monotonic()
        self._invalid = False

    @property
    def _phase(self) -> str:
        """What the server waits for; empty while the application processes a request."""
        answered = self.cycle is None or self.cycle.response_complete
        if self._invalid:
            return "lingering_close"
        if self.transport.get_write_buffer_size() and (answered or self.flow.write_paused):
            return "write"
        if not answered:
            return ""
        return "header" if self.cycle is None or self.conn.trailing_data[0] else "idle"

    def close_idle(self, now: float) -> None:
        """Closes the connection if it has been in its phase for too long. now: of ``time.monotonic``."""
        phase, limits = self._phase, self.limits
        if phase != self._last_phase:
            self._last_phase, self._since = phase, now
            return
        seconds = {
            "header": limits.header_seconds,
            "idle": limits.idle_seconds,
            "write": limits.write_seconds,
            "lingering_close": LINGERING_CLOSE_SECONDS,
        }
        if phase and now - self._since > seconds[phase]:
            self._abort()

    # ---- asyncio's callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._evict()

    def data_received(self, data: bytes) -> None:
        if not self._invalid:
            super().data_received(data)

    def eof_received(self) -> None:
        """The client sends no more. In the middle of a body that is an error, whose reply it may still read."""
        if self.conn.their_state is h11.SEND_BODY and not self._invalid:
            self.conn.receive_data(b"")
            self.handle_events()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._since = time.monotonic()  # the client has read a piece

    # ---- uvicorn's callbacks

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:  # the application has stopped discarding the body
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Called while the error that h11 has raised is handled."""
        self._invalid = True
        if self.cycle is not None:  # for the application, the client has disconnected
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # another response was sent already
            self.transport.close()
            return
        raised = sys.exc_info()[1]
        error = BadRequest(f"This is not a valid HTTP/1.1 request: {raised}")
        error.http_status = getattr(raised, "error_status_hint", error.http_status)
        body = error_body(error)
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        reason = HTTPStatus(error.http_status).phrase
        start = h11.Response(status_code=error.http_status, headers=headers, reason=reason)
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.write_eof()

    # ----

    def _abort(self) -> None:
        """Closes the connection and drops everything unsent, in the system's buffers too."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _evict(self) -> None:
        """Aborts the connection that has waited for its client longest; else this one."""
        peers = [other for other in self.connections if isinstance(other, Connection)]
        peers = [other for other in peers if not other.transport.is_closing()]
        if len(peers) > self.limits.connections:
            candidates = [other for other in peers if other._evictable]
            min(candidates, key=lambda other: other._since, default=self)._abort()

    @property
    def _evictable(self) -> bool:
        # the response is complete but for its end: the rest of the body is being discarded
        discarding = self.cycle is not None and self.cycle.response_started and self.cycle.more_body
        return discarding or self._phase in ("header", "idle", "lingering_close")


class HTTPServer(uvicorn.Server):
    """uvicorn's server without its signal handlers; closes idle connections once a second.

    It wakes up no oftener: uvicorn's own ten times a second take 0.2 % of a core.
    """

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self._exit = asyncio.Event()

    def exit(self) -> None:
        """Ends ``serve``."""
        self.should_exit = True
        self._exit.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        waiting = asyncio.create_task(self._exit.wait())
        try:
            while not await self.on_tick(0):
                await asyncio.wait([waiting], timeout=1)
        finally:
            waiting.cancel()

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):  # all of them are
                connection.close_idle(now)
        return await super().on_tick(counter)


def create_http_server(app: ASGIApp, limits: Limits) -> HTTPServer:
    """Returns a server for ``app`` whose connections have these limits."""
    config = uvicorn.Config(
        app,
        http=type("Connection", (Connection,), {"limits": limits}),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=int(limits.idle_seconds),
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    return HTTPServer(config)
