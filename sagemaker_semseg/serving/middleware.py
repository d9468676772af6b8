"""ASGI middleware: request ids, limits and error replies.

It returns the headers that SageMaker's clients want back, and records every request in the metrics. After an early
response it reads the rest of the body: else a client that sends before it reads finds its connection broken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagemaker_semseg.serving.http_errors import BadRequest, HeaderTooLarge, error_body
from sagemaker_semseg.serving.limits import MAX_HEADER_BYTES, Limits
from sagemaker_semseg.serving.request_body import RequestBody
from sagemaker_semseg.serving.request_metrics import RequestMetrics

ECHOED_HEADERS = {"x-amzn-sagemaker-custom-attributes": 1024, "x-amzn-sagemaker-inference-id": 64}
"""Headers that are returned with the response, and SageMaker's limits on their lengths."""

CLIENT_CLOSED_REQUEST = 499
"""The status in the log of a request whose client disconnected before the response. nginx's number."""

_TOO_LARGE = HeaderTooLarge(f"The request's header is too large; at most {MAX_HEADER_BYTES} bytes are read.")


class RequestMiddleware:
    """Wraps ``app``, which finds the request's ``RequestBody`` in ``scope["state"]["body"]``."""

    def __init__(self, app: ASGIApp, limits: Limits, metrics: RequestMetrics):
        self._app, self._limits, self._metrics = app, limits, metrics
        self._refuse = Response(error_body(_TOO_LARGE), _TOO_LARGE.http_status, media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        app = self._app if _header_bytes(scope) <= MAX_HEADER_BYTES else self._refuse
        headers = Headers(scope=scope)
        body = RequestBody(receive, headers, self._limits)
        scope.setdefault("state", {})["body"] = body
        started, status, sent = time.monotonic(), CLIENT_CLOSED_REQUEST, 0

        async def send_completed(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [(b"connection", b"close")] if body.awaits_continue or body.ambiguous else []
                message = {**message, "headers": [*message["headers"], *_echo(headers), *more]}
            else:
                sent += len(message.get("body", b""))
                if not (message.get("more_body") or body.complete or body.awaits_continue):
                    await send({**message, "more_body": True})
                    await body.discard()
                    message = {"type": "http.response.body"}
            await send(message)

        try:
            await app(scope, receive, send_completed)
        finally:
            self._metrics.record(scope, status, body.received, sent, time.monotonic() - started)
            scope["state"].clear()  # ``body`` refers to ``scope``: the cycle would keep the response in memory


def _header_bytes(scope: Scope) -> int:
    """Size of a request's header. The HTTP library limits a header that comes in pieces, not one that comes at once."""
    lines = [scope.get("raw_path", b""), scope["query_string"], *(part for pair in scope["headers"] for part in pair)]
    return sum(map(len, lines)) + 4 * len(scope["headers"])


def check_echoed_headers(headers: Headers) -> None:
    """Raises ``BadRequest`` for a header that can't be returned with the response."""
    for name, most in ECHOED_HEADERS.items():
        if not _presentable(headers.get(name, ""), most):
            raise BadRequest(f"{name}: at most {most} visible ASCII characters are expected.")


def _echo(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    for name, most in ECHOED_HEADERS.items():
        if (value := headers.get(name)) and _presentable(value, most):
            yield name.encode(), value.encode()


def _presentable(value: str, most: int) -> bool:
    return len(value) <= most and all(" " <= letter <= "~" for letter in value)
