"""An endpoint on this machine: a server process on a free port of the loopback address, and requests to it.

The server runs under a supervisor like any job's, and writes its port into the endpoint's folder once it is ready.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.sdk.local.jobs import POLL_SECONDS, LocalJob
from sagemaker_semseg.sdk.specs import ENDED, InvocationFailed, Reply

REPLY_SECONDS: Final = 600.0
"""For one reply: a large image on few cores takes its time."""

PORT_FILE: Final = "port"
"""In the folder of an endpoint: its port, once it takes requests."""

# argument of boto3's invoke_endpoint -> header
_HEADERS: Final = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "TargetVariant": "X-Amzn-SageMaker-Target-Variant",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}


class LocalEndpoint:
    """An endpoint of this machine."""

    def __init__(self, job: LocalJob):
        self.name, self.job = job.name, job
        self._port: int | None = None

    @property
    def status(self) -> str:
        """Its status, in SageMaker's words for an endpoint."""
        status = self.job.record.status
        if status in ENDED:
            return "Failed" if status == "Failed" else "Stopped"
        return "InService" if self.port else "Creating"

    @property
    def port(self) -> int | None:
        """None until it takes requests."""
        if self._port is None:
            with contextlib.suppress(FileNotFoundError):
                self._port = int((self.job.store.folder(self.name) / PORT_FILE).read_text(encoding="ascii"))
        return self._port

    @property
    def url(self) -> str | None:
        return f"http://127.0.0.1:{self.port}" if self.port else None

    def wait(self) -> None:
        if self.port:
            return
        try:
            with progress_bar(f"{self.name} starts"):
                while not self.port:
                    state = self.job.state()
                    if state.status in ENDED:
                        self.job.release()
                        raise self.job.failed(state)
                    time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            if self.job.attached:
                self.delete()
            raise

    def invoke(self, arguments: Mapping[str, Any]) -> Reply:
        if model := arguments.get("TargetModel"):
            fault = Fault("TargetModel", f"is {model!r}, and this is no multi-model endpoint", "leave target_model out")
            raise InvocationFailed(f"The endpoint {self.name} can't be asked like this:", [fault], 400)
        body = _bytes(arguments.get("Body", b""))
        given = {header: arguments.get(name) for name, header in _HEADERS.items()}
        headers = {header: str(value) for header, value in given.items() if value is not None}
        self.wait()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REPLY_SECONDS)
        try:
            connection.request("POST", "/invocations", body, headers)
            reply = connection.getresponse()
            content, kind = reply.read(), reply.headers.get("content-type", "application/octet-stream")
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()
        if reply.status != 200:
            raise _refused(self.name, reply.status, content)
        return Reply(io.BytesIO(content), kind)

    def delete(self, *, config: bool = True) -> None:
        """Stop the server, which answers the requests in flight first, and delete its folder."""
        self.job.delete()

    def delete_model(self) -> None:
        """There is nothing but the artifact, which stays."""

    def _unreachable(self, error: Exception) -> UserError:
        state = self.job.state()
        if state.status in ENDED:
            return self.job.failed(state)
        what = f"doesn't answer: {type(error).__name__}: {error}"
        remedy = f"read its log: sagemaker-semseg jobs logs {self.name}"
        return UserError("The endpoint can't be invoked:", [Fault(f"{self.name} ({self.url})", what, remedy)])


def _bytes(body: Any) -> bytes:
    """A body as botocore takes it: bytes, text, or a file."""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise UserError(
        f"The body of a request must be bytes, {type(body).__name__} came from the serializer.\n"
        "Give predict the bytes of a JPEG or PNG file, or the predictor a serializer that makes them."
    )


def _refused(name: str, status: int, content: bytes) -> InvocationFailed:
    try:
        error = json.loads(content)["error"]
        message, remedy = str(error["message"]), str(error["remedy"])
    except (ValueError, LookupError, TypeError):
        message, remedy = content[:300].decode("utf-8", "replace"), ""
    return InvocationFailed(f"The endpoint {name} answers {status}:", [Fault("the request", message, remedy)], status)
