"""The endpoint as an ASGI application: requests come in, replies go out. ``server`` runs it.

    GET  /ping                           200 once the model has answered a warm-up, until the server is told to end
    POST /invocations                    an image in, its mask or probabilities out
    POST /endpoints/NAME/invocations     the same, with errors as SageMaker's runtime reports them to its clients
    GET  /execution-parameters           what batch transform asks for
    GET  /metrics                        for Prometheus
    GET  /                               a page for people

Every error is a small JSON object (``errors.body``), whatever raised it.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sagemaker_semseg.errors import SemSegError
from sagemaker_semseg.serving import http_errors
from sagemaker_semseg.serving.admission import Invocations
from sagemaker_semseg.serving.body import ClientDisconnected
from sagemaker_semseg.serving.limits import MEGABYTE
from sagemaker_semseg.serving.middleware import Exchange
from sagemaker_semseg.serving.request_metrics import Monitor
from sagemaker_semseg.serving.web_page import page

BATCH_MB = 100
"""SageMaker's limit on MaxConcurrentTransforms times MaxPayloadInMB."""

# what SageMaker takes for the name of an endpoint
_NAME = re.compile("[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")


def application(invocations: Invocations, monitor: Monitor) -> ASGIApp:
    invoke = Invoke(invocations)

    async def ping(request: Request) -> Response:
        return Response(status_code=200 if invocations.healthy else 503)

    async def execution_parameters(request: Request) -> Response:
        concurrent = min(invocations.pool.size, BATCH_MB)
        payload = min(invocations.limits.body_bytes // MEGABYTE, BATCH_MB // concurrent)
        names = {"MaxConcurrentTransforms": concurrent, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": payload}
        return JSONResponse(names)

    async def metrics(request: Request) -> Response:
        content, content_type = monitor.metrics()
        return Response(content, headers={"content-type": content_type})

    async def for_people(request: Request) -> Response:
        if not invocations.pool.model:
            raise http_errors.Overloaded()
        content, headers = page({**invocations.pool.model, "max_payload_mb": invocations.limits.body_bytes / MEGABYTE})
        return Response(content, headers=headers)

    async def favicon(request: Request) -> Response:
        return Response(status_code=204)

    routes = [
        Route("/ping", ping),
        Route("/invocations", invoke, methods=["POST"]),
        Route("/endpoints/{name}/invocations", invoke, methods=["POST"]),
        Route("/execution-parameters", execution_parameters),
        Route("/metrics", metrics),
        Route("/", for_people),
        Route("/favicon.ico", favicon),
    ]
    handlers: dict[Any, Any] = {SemSegError: failed, HTTPException: no_such_route, Exception: failed}
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    starlette.router.redirect_slashes = False
    return Exchange(starlette, invocations.limits, monitor)


class Invoke:
    """The route of an invocation, whose place and memory it has until the last byte of its reply is on the way."""

    def __init__(self, invocations: Invocations):
        self._invocations = invocations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        name = request.path_params.get("name")
        if name is not None and not _NAME.fullmatch(name):
            raise HTTPException(404)
        try:
            with self._invocations.in_hand() as invocation:
                answer = await invocation.answer(request.headers, request.state.body)
                request.state.answer = answer
                if answer.status != 200:
                    await _failure(request, answer.status, b"".join(answer.body))(scope, receive, send)
                    return
                headers = {"content-type": answer.content_type, "content-length": str(sum(map(len, answer.body)))}
                if name is not None:  # clients log these
                    headers["x-amzn-requestid"] = str(uuid.uuid4())
                    headers["x-amzn-invoked-production-variant"] = "AllTraffic"
                await send({"type": "http.response.start", "status": 200, "headers": Headers(headers).raw})
                for piece in answer.body:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body"})
        except ClientDisconnected:
            pass


async def failed(request: Request, error: Exception) -> Response:
    status = error.http_status if isinstance(error, SemSegError) else 500
    headers = {"retry-after": str(error.retry_after)} if isinstance(error, http_errors.Overloaded) else {}
    return _failure(request, status, http_errors.body(error), headers)


async def no_such_route(request: Request, error: Exception) -> Response:
    """404, and 405 with the methods that there are."""
    assert isinstance(error, HTTPException)
    kind = http_errors.NotFound if error.status_code == 404 else http_errors.MethodNotAllowed
    content = http_errors.body(kind(request.method, request.scope["path"]))
    return Response(content, error.status_code, error.headers, media_type="application/json")


def _failure(request: Request, status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    headers = {"content-type": "application/json", **(headers or {})}
    if name := request.path_params.get("name"):
        more, body = http_errors.model_error(name, status, body)
        headers, status = {**headers, **more}, 424
    return Response(body, status, headers)
