"""An endpoint on SageMaker, real-time, serverless or asynchronous.

An asynchronous endpoint reads its image from S3 and writes its reply there: ``invoke`` uploads the one and waits for
the other, so that it behaves like any endpoint.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.sdk.remote.aws_errors import is_absent, printable, reason, translated_errors
from sagemaker_semseg.sdk.remote.clients import Account, poll
from sagemaker_semseg.sdk.remote.s3_transfer import PREFIX, put
from sagemaker_semseg.sdk.specs import InvocationFailed, JobFailed, Reply
from sagemaker_semseg.storage import S3Uri
from sagemaker_semseg.storage.s3_errors import code_of

ASYNC_SECONDS = 3600.0
"""SageMaker's longest time for one image at an asynchronous endpoint."""

_ASYNC_POLL_SECONDS = 2.0
_ASYNC_ARGUMENTS = {"ContentType", "Accept", "CustomAttributes", "InferenceId", "InvocationTimeoutSeconds"}


class RemoteEndpoint:
    """An endpoint. undo: deletes what was created for it; called if it can't start."""

    def __init__(self, account: Account, name: str, undo: Callable[[], None] | None = None):
        self.name, self._account, self._undo = name, account, undo
        self._models: list[str] | None = None
        self._asynchronous: bool | None = None

    def describe(self) -> Mapping[str, Any]:
        """Return SageMaker's answer. Raises ``UserError`` if it knows no such endpoint."""
        answer: Mapping[str, Any] = self._call("describe_endpoint", EndpointName=self.name)
        self._asynchronous = "AsyncInferenceConfig" in answer
        return answer

    @property
    def status(self) -> str:
        return str(self.describe()["EndpointStatus"])

    def wait(self) -> None:
        try:
            with progress_bar(f"{self.name} starts"):
                for answer in poll(self.describe):
                    status = answer["EndpointStatus"]
                    if status == "InService":
                        return
                    if status in ("Failed", "OutOfService", "Deleting", "UpdateRollbackFailed"):
                        raise self._failed(answer)
        except KeyboardInterrupt:
            remedy = f'Delete it with: SemSegPredictor("{self.name}").delete_endpoint()'
            print(f"{self.name} continues to start, and costs money. {remedy}", file=sys.stderr, flush=True)
            raise

    def invoke(self, arguments: Mapping[str, Any]) -> Reply:
        given = {name: value for name, value in arguments.items() if value is not None}
        given["EndpointName"] = self.name
        if self._asynchronous is None:
            self.describe()
        if self._asynchronous:
            return self.invoke_async(given).result()
        with translated_errors(f"endpoint {self.name}", "sagemaker:InvokeEndpoint"):
            try:
                reply = self._account.client("sagemaker-runtime").invoke_endpoint(**given)
            except Exception as error:
                if code_of(error) == "ModelError":
                    raise _refused(self.name, getattr(error, "response", {})) from None
                raise
        return Reply(reply["Body"], reply.get("ContentType", "application/octet-stream"))

    def invoke_async(self, arguments: Mapping[str, Any]) -> Pending:
        """Upload the body to S3, or take ``InputLocation``, and invoke; ``Pending.result`` gives the reply."""
        given = {name: value for name, value in arguments.items() if name in _ASYNC_ARGUMENTS and value is not None}
        place = arguments.get("InputLocation")
        if not place:
            uri = S3Uri(self._account.bucket, f"{PREFIX}/{self.name}/async-in/{uuid.uuid4()}")
            put(self._account, arguments["Body"], uri, given.get("ContentType"))
            place = str(uri)
        given |= {"EndpointName": self.name, "InputLocation": place}
        where = f"endpoint {self.name}"
        answer = self._account.call_once("sagemaker-runtime", "invoke_endpoint_async", where, **given)
        output, failure = answer["OutputLocation"], answer.get("FailureLocation")
        return Pending(self._account, self.name, output, failure, given.get("Accept"))

    def delete(self, *, config: bool = True) -> None:
        """Delete it, and its configuration unless ``config`` is False."""
        name = self.describe()["EndpointConfigName"]
        self._models = self._models or self._model_names(name)
        self._call("delete_endpoint", EndpointName=self.name)
        if config:
            self._call("delete_endpoint_config", f"endpoint configuration {name}", EndpointConfigName=name)

    def delete_model(self) -> None:
        """Delete its models, also after the endpoint was deleted through this object."""
        names = self._models if self._models is not None else self._model_names(self.describe()["EndpointConfigName"])
        for name in names:
            self._call("delete_model", f"model {name}", ModelName=name)

    def _model_names(self, config: str) -> list[str]:
        """Return the models of a configuration; none if it is gone already."""
        try:
            where = f"endpoint configuration {config}"
            answer = self._call("describe_endpoint_config", where, EndpointConfigName=config)
        except UserError as error:
            if is_absent(error):
                return []
            raise
        return [variant["ModelName"] for variant in answer["ProductionVariants"] if "ModelName" in variant]

    def _failed(self, answer: Mapping[str, Any]) -> JobFailed:
        left = "it is still there" if self._undo is None else "what was created for it is deleted again"
        log = f"its log is in CloudWatch: /aws/sagemaker/Endpoints/{self.name}"
        fault = reason(answer.get("FailureReason") or f"its status is {answer['EndpointStatus']}", self.name)
        if self._undo:
            self._undo()
        return JobFailed(f"The endpoint {self.name} can't start ({log}; {left}):", [fault])

    def _call(self, method: str, where: str = "", **arguments: Any) -> Any:
        return self._account.call("sagemaker", method, where or f"endpoint {self.name}", **arguments)


class Pending:
    """A reply that an asynchronous endpoint will write to S3, at ``output`` or ``failure``."""

    def __init__(self, account: Account, endpoint: str, output: str, failure: str | None, accept: str | None):
        self.output, self.failure = output, failure
        self._account, self._endpoint, self._accept = account, endpoint, accept

    def result(self, seconds: float = ASYNC_SECONDS) -> Reply:
        """Wait for the reply. Raises ``InvocationFailed`` with the model's error, or after ``seconds``."""
        end = time.monotonic() + seconds
        while True:
            if reply := self._get(self.output):
                return reply
            if self.failure and (answer := self._get(self.failure)):
                said = answer.body.read(2**16).decode("utf-8", "replace")
                raise InvocationFailed(f"The endpoint {self._endpoint} couldn't:", [_fault_of(said)])
            if time.monotonic() >= end:
                fault = Fault(self.output, f"isn't there after {seconds:.0f} s", "try again later, or read the log")
                raise InvocationFailed(f"The endpoint {self._endpoint} gives no reply:", [fault])
            time.sleep(_ASYNC_POLL_SECONDS)

    def _get(self, place: str) -> Reply | None:
        uri = S3Uri.parse(place)
        try:
            answer = self._account.call("s3", "get_object", place, Bucket=uri.bucket, Key=uri.key)
        except UserError as error:
            if is_absent(error):
                return None
            raise
        kind = answer.get("ContentType", "")
        return Reply(answer["Body"], self._accept if self._accept and kind in ("", "binary/octet-stream") else kind)


def _refused(name: str, response: Mapping[str, Any]) -> InvocationFailed:
    status = int(response.get("OriginalStatusCode") or 0)
    said = str(response.get("OriginalMessage") or response.get("Error", {}).get("Message", ""))
    return InvocationFailed(f"The endpoint {name} answers {status or 'an error'}:", [_fault_of(said)], status)


def _fault_of(said: str) -> Fault:
    """Read this package's JSON with a remedy, or any other text."""
    try:
        error = json.loads(said)["error"]
        return Fault("the request", printable(error["message"]), printable(error["remedy"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return Fault("the request", printable(said))
