"""One client's connection: uvicorn's HTTP protocol, with bounds on how long a client may take for anything.

uvicorn waits for ever for the end of a header, for a client that doesn't read, and for the rest of a body after an
early reply. Here every connection is looked at once a second and closed when it has been in one of these phases for too
long; the pace of a body is ``body``'s concern. Broken HTTP is answered in JSON. ``server`` runs the ``listener``.
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

from sagemaker_semseg.serving import http_errors
from sagemaker_semseg.serving.limits import MAX_HEADER_BYTES, Limits

LINGER_SECONDS = 2.0
"""From the answer to broken HTTP to the end of the connection, while what the client still sends is thrown away."""


class Connection(H11Protocol):
    limits = Limits()  # a subclass per server has its own

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._seen, self._since = "header", time.monotonic()
        self._broken = False

    @property
    def _phase(self) -> str:
        """What the client is waited for; empty while the application works for it."""
        answered = self.cycle is None or self.cycle.response_complete
        if self._broken:
            return "linger"
        if self.transport.get_write_buffer_size() and (answered or self.flow.write_paused):
            return "write"
        if not answered:
            return ""
        return "header" if self.cycle is None or self.conn.trailing_data[0] else "idle"

    def sweep(self, now: float) -> None:
        """Ends the connection if it is time. now: of ``time.monotonic``."""
        phase, limits = self._phase, self.limits
        if phase != self._seen:
            self._seen, self._since = phase, now
            return
        seconds = {
            "header": limits.header_seconds,
            "idle": limits.idle_seconds,
            "write": limits.write_seconds,
            "linger": LINGER_SECONDS,
        }
        if phase and now - self._since > seconds[phase]:
            self._drop()

    # ---- what the loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if not self._broken:
            super().data_received(data)

    def eof_received(self) -> None:
        """The client sends no more. In the middle of a body that is an error, which it may be there to read."""
        if self.conn.their_state is h11.SEND_BODY and not self._broken:
            self.conn.receive_data(b"")
            self.handle_events()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._since = time.monotonic()  # the client has taken a piece

    # ---- what uvicorn calls

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:  # more is to come than the application has cared to throw away
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """While the error that h11 has raised is being handled."""
        self._broken = True
        if self.cycle is not None:  # the application hears of a client that has hung up
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # there is another reply already
            self.transport.close()
            return
        raised = sys.exc_info()[1]
        error = http_errors.BadRequest(f"This is not a valid HTTP/1.1 request: {raised}")
        error.http_status = getattr(raised, "error_status_hint", error.http_status)
        body = http_errors.body(error)
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        reason = HTTPStatus(error.http_status).phrase
        start = h11.Response(status_code=error.http_status, headers=headers, reason=reason)
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.write_eof()

    # ----

    def _drop(self) -> None:
        """Ends the connection with all that is on its way, in the system's buffers too."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _make_room(self) -> None:
        """Of the clients that are waited for, the one that has been longest goes; else this one."""
        peers = [other for other in self.connections if isinstance(other, Connection)]
        peers = [other for other in peers if not other.transport.is_closing()]  # those have gone already
        if len(peers) > self.limits.connections:
            waited_for = [other for other in peers if other._expendable]
            min(waited_for, key=lambda other: other._since, default=self)._drop()

    @property
    def _expendable(self) -> bool:
        # an answer that is complete but for its end: the rest of the body is being thrown away
        discarding = self.cycle is not None and self.cycle.response_started and self.cycle.more_body
        return discarding or self._phase in ("header", "idle", "linger")


class Listener(uvicorn.Server):
    """uvicorn's server, which leaves signals to ``server`` and sweeps its connections once a second."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):  # all of them are
                    connection.sweep(now)
        return await super().on_tick(counter)


def listener(app: ASGIApp, limits: Limits) -> Listener:
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
    return Listener(config)
