"""What holds for every request and its reply, whatever the route; ``app`` puts it around all of them.

Headers that SageMaker's clients want back are put on the reply. A body that nobody has read is read to its end after
the reply: a client that sends before it reads would otherwise find its connection broken and no reply. What happened is
told to the monitor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagemaker_semseg.serving import http_errors
from sagemaker_semseg.serving.body import Body
from sagemaker_semseg.serving.http_errors import BadRequest
from sagemaker_semseg.serving.limits import MAX_HEADER_BYTES, Limits
from sagemaker_semseg.serving.request_metrics import Monitor

ECHOED = {"x-amzn-sagemaker-custom-attributes": 1024, "x-amzn-sagemaker-inference-id": 64}
"""Headers that come back with the reply, and SageMaker's limits on their lengths."""

HUNG_UP = 499
"""In the log: the status of a request whose client was gone before it was answered. nginx's number."""

_HEADER = http_errors.HeaderTooLarge(f"The request's header is too large; at most {MAX_HEADER_BYTES} bytes are read.")
_TOO_LARGE = Response(http_errors.body(_HEADER), http_errors.HeaderTooLarge.http_status, media_type="application/json")


class Exchange:
    """``app``, which finds the request's ``Body`` in ``scope["state"]["body"]``."""

    def __init__(self, app: ASGIApp, limits: Limits, monitor: Monitor):
        self._app, self._limits, self._monitor = app, limits, monitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        app = self._app if _size(scope) <= MAX_HEADER_BYTES else _TOO_LARGE
        headers = Headers(scope=scope)
        body = Body(receive, headers, self._limits)
        scope.setdefault("state", {})["body"] = body
        begun, status, sent = time.monotonic(), HUNG_UP, 0

        async def complete(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [(b"connection", b"close")] if body.held_back or body.ambiguous else []
                message = {**message, "headers": [*message["headers"], *_echo(headers), *more]}
            else:
                sent += len(message.get("body", b""))
                if not (message.get("more_body") or body.complete or body.held_back):
                    await send({**message, "more_body": True})
                    await body.discard()
                    message = {"type": "http.response.body"}
            await send(message)

        try:
            await app(scope, receive, complete)
        finally:
            self._monitor.done(scope, status, body.received, sent, time.monotonic() - begun)
            scope["state"].clear()  # ``body`` leads back to ``scope``: both would stay, and the answer with them


def _size(scope: Scope) -> int:
    """Bytes of a request's header. The HTTP library bounds what comes in pieces, and takes what is there at once."""
    lines = [scope.get("raw_path", b""), scope["query_string"], *(part for pair in scope["headers"] for part in pair)]
    return sum(map(len, lines)) + 4 * len(scope["headers"])


def check_echoed(headers: Headers) -> None:
    """Raises ``BadRequest`` for a header that is to come back and can't."""
    for name, most in ECHOED.items():
        if not _presentable(headers.get(name, ""), most):
            raise BadRequest(f"{name}: at most {most} visible ASCII characters are expected.")


def _echo(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    for name, most in ECHOED.items():
        if (value := headers.get(name)) and _presentable(value, most):
            yield name.encode(), value.encode()


def _presentable(value: str, most: int) -> bool:
    return len(value) <= most and all(" " <= letter <= "~" for letter in value)
