"""The endpoint's ASGI application: routes, and error replies as JSON.

    GET  /ping                           200 once the model has completed a warm-up, until the server shuts down
    POST /invocations                    an image to its mask or probabilities
    POST /endpoints/NAME/invocations     the same, with errors as SageMaker's runtime reports them to its clients
    GET  /execution-parameters           for batch transform
    GET  /metrics                        for Prometheus
    GET  /                               a page to try images by hand

Every error is a small JSON object (``http_errors.error_body``).
"""

from __future__ import annotations

import functools
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
from sagemaker_semseg.serving.admission import AdmissionControl
from sagemaker_semseg.serving.http_errors import MethodNotAllowed, NotFound, Overloaded, error_body, model_error
from sagemaker_semseg.serving.limits import MEGABYTE
from sagemaker_semseg.serving.middleware import RequestMiddleware
from sagemaker_semseg.serving.request_body import ClientDisconnected
from sagemaker_semseg.serving.request_metrics import RequestMetrics
from sagemaker_semseg.serving.web_page import render_page

BATCH_MB = 100
"""SageMaker's limit on MaxConcurrentTransforms times MaxPayloadInMB."""

# the form of endpoint names on SageMaker
_ENDPOINT_NAME = re.compile("[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")


def create_app(admission: AdmissionControl, metrics: RequestMetrics) -> ASGIApp:
    """Returns the application. ``admission`` holds the pool of workers."""

    async def ping(request: Request) -> Response:
        return Response(status_code=200 if admission.healthy else 503)

    async def execution_parameters(request: Request) -> Response:
        concurrent = min(admission.pool.size, BATCH_MB)
        payload = min(admission.limits.body_bytes // MEGABYTE, BATCH_MB // concurrent)
        # "SingleRecord" as in SageMaker's API: the local mode of its Python SDK 2 takes no other spelling
        names = {"MaxConcurrentTransforms": concurrent, "BatchStrategy": "SingleRecord", "MaxPayloadInMB": payload}
        return JSONResponse(names)

    async def prometheus(request: Request) -> Response:
        content, content_type = metrics.render()
        return Response(content, headers={"content-type": content_type})

    @functools.cache
    def rendered_page() -> tuple[bytes, dict[str, str]]:  # the model is the same for all workers
        return render_page({**admission.pool.model, "max_payload_mb": admission.limits.body_bytes / MEGABYTE})

    async def page(request: Request) -> Response:
        if not admission.pool.model:
            raise Overloaded()
        content, headers = rendered_page()
        return Response(content, headers=headers)

    async def favicon(request: Request) -> Response:
        return Response(status_code=204)

    invoke = InvocationRoute(admission)
    routes = [
        Route("/ping", ping),
        Route("/invocations", invoke, methods=["POST"]),
        Route("/endpoints/{name}/invocations", invoke, methods=["POST"]),
        Route("/execution-parameters", execution_parameters),
        Route("/metrics", prometheus),
        Route("/", page),
        Route("/favicon.ico", favicon),
    ]
    handlers: dict[Any, Any] = {
        SemSegError: handle_error,
        HTTPException: handle_http_exception,
        Exception: handle_error,
    }
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    starlette.router.redirect_slashes = False
    return RequestMiddleware(starlette, admission.limits, metrics)


class InvocationRoute:
    """Runs an invocation, which is in flight until the last byte of its response is written."""

    def __init__(self, admission: AdmissionControl):
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        name = request.path_params.get("name")
        if name is not None and not _ENDPOINT_NAME.fullmatch(name):
            raise HTTPException(404)
        try:
            with self._admission.in_flight() as invocation:
                response = await invocation.run(request.headers, request.state.body)
                request.state.response = response
                if response.status != 200:
                    await _error_response(request, response.status, b"".join(response.body))(scope, receive, send)
                    return
                headers = {"content-type": response.content_type, "content-length": str(sum(map(len, response.body)))}
                if name is not None:  # clients log these
                    headers["x-amzn-requestid"] = str(uuid.uuid4())
                    headers["x-amzn-invoked-production-variant"] = "AllTraffic"
                await send({"type": "http.response.start", "status": 200, "headers": Headers(headers).raw})
                for piece in response.body:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body"})
        except ClientDisconnected:
            pass


async def handle_error(request: Request, error: Exception) -> Response:
    """Returns the error's status and JSON body; 500 without details for an unexpected exception."""
    status = error.http_status if isinstance(error, SemSegError) else 500
    headers = {"retry-after": str(error.retry_after)} if isinstance(error, Overloaded) else {}
    return _error_response(request, status, error_body(error), headers)


async def handle_http_exception(request: Request, error: Exception) -> Response:
    """Returns 404, or 405 with the allowed methods."""
    assert isinstance(error, HTTPException)
    kind = NotFound if error.status_code == 404 else MethodNotAllowed
    content = error_body(kind(request.method, request.scope["path"]))
    return Response(content, error.status_code, error.headers, media_type="application/json")


def _error_response(request: Request, status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    headers = {"content-type": "application/json", **(headers or {})}
    if name := request.path_params.get("name"):
        more, body = model_error(name, status, body)
        headers, status = {**headers, **more}, 424
    return Response(body, status, headers)
