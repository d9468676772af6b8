"""The endpoint's errors, and the JSON bodies of error replies.

    UserError
    └── RequestError               the request can't be served as it is      400
        ├── BadRequest             a header or the body is malformed         400
        ├── NotFound               no such path                              404
        ├── MethodNotAllowed       the path is there, not for this method    405
        ├── NotAcceptable          no reply of the kinds in Accept           406
        ├── RequestTimeout         the body came too slowly                  408
        ├── PayloadTooLarge        the body, or the reply to it              413
        ├── UnsupportedMediaType   the body is no image by its Content-Type  415
        └── HeaderTooLarge         the request's header                      431
    SemSegError
    └── Overloaded                 no room now, or the server is ending      503

The application turns them, and every other exception, into replies with ``error_body`` and ``model_error``. A client
reads in full what it did wrong. Of every other error it reads only that it happened; the server's log has the details.
"""

from __future__ import annotations

import json

from sagemaker_semseg.errors import DataError, SemSegError, UserError

_SHOWN = 60
_MESSAGE = 1000


class RequestError(UserError):
    """A request that can't be served as it is. message: what came and what was expected; remedy: how to fix it."""

    remedy = ""

    def __init__(self, message: str, remedy: str = ""):
        super().__init__(message)
        self.remedy = remedy or self.remedy


class BadRequest(RequestError):
    """A header or the body is malformed."""


class NotFound(RequestError):
    """No route has this path."""

    http_status = 404
    remedy = "POST images to /invocations; GET /ping tells whether the model is ready"

    def __init__(self, method: str, path: str):
        super().__init__(f"There is nothing at the path {quote(path)}.")


class MethodNotAllowed(RequestError):
    """The path is known, but not for this method."""

    http_status = 405
    remedy = "use one of the methods in the reply's Allow header"

    def __init__(self, method: str, path: str):
        super().__init__(f"The path {quote(path)} is not there for {quote(method)}.")


class NotAcceptable(RequestError):
    """None of the response formats is acceptable to the client."""

    http_status = 406


class RequestTimeout(RequestError):
    """The request came too slowly."""

    http_status = 408
    remedy = "send the whole body at once"


class PayloadTooLarge(RequestError):
    """The body, or the response that was asked for, is too large."""

    http_status = 413
    remedy = "send a smaller image"


class UnsupportedMediaType(RequestError):
    """The Content-Type is not one of an image that can be read."""

    http_status = 415


class HeaderTooLarge(RequestError):
    """The request's header has too many bytes."""

    http_status = 431
    remedy = "send fewer or shorter headers"


class Overloaded(SemSegError):
    """There is no room for the request now. retry_after: seconds after which the client may retry."""

    http_status = 503
    remedy = "send the request again later; the Retry-After header says in how many seconds"

    def __init__(self, message: str = "The server has no room for another request now.", retry_after: int = 1):
        super().__init__(message)
        self.retry_after = retry_after


def quote(text: str) -> str:
    """Quotes what a client sent for a message: in ASCII, escaped, cut short."""
    return ascii(text[:_SHOWN]) + ("..." if len(text) > _SHOWN else "")


def error_body(error: Exception) -> bytes:
    """Returns the body of an error reply: ``{"error": {"status", "type", "message", "remedy"}}``."""
    status = error.http_status if isinstance(error, SemSegError) else 500
    # clients know DataError, whichever of its subclasses a reader of images raises
    kind = "DataError" if isinstance(error, DataError) else type(error).__name__
    if isinstance(error, UserError) and error.faults:
        message = "; ".join(f"{fault.where}: {fault.what}" for fault in error.faults)
        remedy = "; ".join(dict.fromkeys(fault.remedy for fault in error.faults if fault.remedy))
    elif isinstance(error, UserError | Overloaded):
        message, remedy = error.message, getattr(error, "remedy", "")
    else:
        kind, message = "AlgorithmError", "The server failed at this request."
        remedy = "the server's log says why; a smaller image may do"
    content = {"status": status, "type": kind, "message": message[:_MESSAGE], "remedy": remedy[:_MESSAGE]}
    return json.dumps({"error": content}).encode()


def model_error(name: str, status: int, body: bytes) -> tuple[dict[str, str], bytes]:
    """Returns headers and body of SageMaker's reply to a failed invocation (status 424), boto3's ``ModelError``.

    Args:
        name: The endpoint's.
        status: The container's status.
        body: The container's error body.
    """
    whose = "client" if status < 500 else "server"
    original = body.decode("utf-8", "replace")
    message = f'Received {whose} error ({status}) from primary with message "{original}". See the log of {name}.'
    content = {"Message": message, "OriginalMessage": original, "OriginalStatusCode": status, "LogStreamArn": ""}
    return {"x-amzn-ErrorType": "ModelError"}, json.dumps(content).encode()
