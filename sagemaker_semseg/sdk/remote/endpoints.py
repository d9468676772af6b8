"""An endpoint on SageMaker: its name comes in, images go to it and replies come back. ``backend`` starts and finds
endpoints, the predictor invokes them.

An asynchronous endpoint takes its image from S3 and leaves its reply there: ``invoke`` brings the one, waits for the
other, and looks like any endpoint's.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.remote.aws_errors import explained, is_absent, reason, shown
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.remote.retries import answers, retry_throttled
from sagemaker_semseg.sdk.remote.s3_transfer import PREFIX, put
from sagemaker_semseg.sdk.specs import InvocationFailed, JobFailed, Reply
from sagemaker_semseg.storage import S3Uri
from sagemaker_semseg.storage.s3_errors import code_of

ASYNC_SECONDS = 3600.0
"""What an asynchronous endpoint may take for one image, by SageMaker's rules."""

_ASYNC_POLL_SECONDS = 2.0
_ASYNC_ARGUMENTS = {"ContentType", "Accept", "CustomAttributes", "InferenceId", "InvocationTimeoutSeconds"}


class RemoteEndpoint:
    """undo: deletes what this process has made for it, called if it can't be brought up."""

    def __init__(self, account: Account, name: str, undo: Callable[[], None] | None = None):
        self.name, self._account, self._undo = name, account, undo
        self._client = account.client("sagemaker")
        self._models: list[str] | None = None
        self._asynchronous: bool | None = None

    def describe(self) -> Mapping[str, Any]:
        with explained(f"endpoint {self.name}", "sagemaker:DescribeEndpoint"):
            told: Mapping[str, Any] = retry_throttled(lambda: self._client.describe_endpoint(EndpointName=self.name))
        self._asynchronous = "AsyncInferenceConfig" in told
        return told

    @property
    def status(self) -> str:
        return str(self.describe()["EndpointStatus"])

    def wait(self) -> None:
        try:
            for told in answers(self.describe):
                status = told["EndpointStatus"]
                if status == "InService":
                    return
                if status in ("Failed", "OutOfService", "Deleting", "UpdateRollbackFailed"):
                    raise self._failed(told)
        except KeyboardInterrupt:
            told_them = f'{self.name} goes on starting, at its price. SemSegPredictor("{self.name}").delete_endpoint()'
            print(told_them, file=sys.stderr, flush=True)
            raise

    def invoke(self, arguments: Mapping[str, Any]) -> Reply:
        given = {name: value for name, value in arguments.items() if value is not None}
        given["EndpointName"] = self.name
        if self._asynchronous is None:
            self.describe()
        if self._asynchronous:
            return self.invoke_async(given).result()
        with explained(f"endpoint {self.name}", "sagemaker:InvokeEndpoint"):
            try:
                reply = self._account.client("sagemaker-runtime").invoke_endpoint(**given)
            except Exception as error:
                if code_of(error) == "ModelError":
                    raise _refused(self.name, getattr(error, "response", {})) from None
                raise
        return Reply(reply["Body"], reply.get("ContentType", "application/octet-stream"))

    def invoke_async(self, arguments: Mapping[str, Any]) -> Pending:
        """Bring the body to S3, or take ``InputLocation``, and ask; the reply is for ``Pending.result``."""
        given = {name: value for name, value in arguments.items() if name in _ASYNC_ARGUMENTS and value is not None}
        place = arguments.get("InputLocation")
        if not place:
            uri = S3Uri(self._account.bucket, f"{PREFIX}/{self.name}/async-in/{uuid.uuid4()}")
            put(self._account, arguments["Body"], uri, given.get("ContentType"))
            place = str(uri)
        with explained(f"endpoint {self.name}", "sagemaker:InvokeEndpointAsync"):
            runtime = self._account.client("sagemaker-runtime")
            told = runtime.invoke_endpoint_async(EndpointName=self.name, InputLocation=place, **given)
        return Pending(
            self._account, self.name, told["OutputLocation"], told.get("FailureLocation"), given.get("Accept")
        )

    def delete(self, *, config: bool = True) -> None:
        told = self.describe()
        self._models = self._models or self._model_names(told["EndpointConfigName"])
        with explained(f"endpoint {self.name}", "sagemaker:DeleteEndpoint"):
            retry_throttled(lambda: self._client.delete_endpoint(EndpointName=self.name))
        if config:
            name = told["EndpointConfigName"]
            with explained(f"endpoint configuration {name}", "sagemaker:DeleteEndpointConfig"):
                retry_throttled(lambda: self._client.delete_endpoint_config(EndpointConfigName=name))

    def delete_model(self) -> None:
        """Also after the endpoint was deleted through this object."""
        names = self._models if self._models is not None else self._model_names(self.describe()["EndpointConfigName"])
        for name in names:
            with explained(f"model {name}", "sagemaker:DeleteModel"):
                retry_throttled(lambda name=name: self._client.delete_model(ModelName=name))  # type: ignore[misc]

    def _model_names(self, config: str) -> list[str]:
        """None if the configuration is gone already."""
        try:
            with explained(f"endpoint configuration {config}", "sagemaker:DescribeEndpointConfig"):
                told = retry_throttled(lambda: self._client.describe_endpoint_config(EndpointConfigName=config))
        except UserError as error:
            if is_absent(error):
                return []
            raise
        return [variant["ModelName"] for variant in told["ProductionVariants"] if "ModelName" in variant]

    def _failed(self, told: Mapping[str, Any]) -> JobFailed:
        left = "it is still there" if self._undo is None else "what was made for it is deleted again"
        log = f"its log is in CloudWatch: /aws/sagemaker/Endpoints/{self.name}"
        fault = reason(told.get("FailureReason") or f"its status is {told['EndpointStatus']}", self.name)
        if self._undo:
            self._undo()
        return JobFailed(f"The endpoint {self.name} can't be brought up ({log}; {left}):", [fault])


class Pending:
    """The reply of an asynchronous endpoint, to come. output, failure: where it will lie in S3."""

    def __init__(self, account: Account, endpoint: str, output: str, failure: str | None, accept: str | None):
        self.output, self.failure = output, failure
        self._account, self._endpoint, self._accept = account, endpoint, accept

    def result(self, seconds: float = ASYNC_SECONDS) -> Reply:
        """Wait for it. Raises ``InvocationFailed`` with what the model answered, or if the time is over."""
        end = time.monotonic() + seconds
        while True:
            if reply := self._get(self.output):
                return reply
            if self.failure and (answer := self._get(self.failure)):
                said = answer.body.read(2**16).decode("utf-8", "replace")
                raise InvocationFailed(f"The endpoint {self._endpoint} couldn't:", [_fault_of(said)])
            if time.monotonic() >= end:
                fault = Fault(self.output, f"isn't there after {seconds:.0f} s", "look again later, or at the log")
                raise InvocationFailed(f"The endpoint {self._endpoint} gives no reply:", [fault])
            time.sleep(_ASYNC_POLL_SECONDS)

    def _get(self, place: str) -> Reply | None:
        uri = S3Uri.parse(place)
        try:
            with explained(place, "s3:GetObject"):
                told = retry_throttled(lambda: self._account.client("s3").get_object(Bucket=uri.bucket, Key=uri.key))
        except UserError as error:
            if is_absent(error):
                return None
            raise
        kind = told.get("ContentType", "")
        return Reply(told["Body"], self._accept if self._accept and kind in ("", "binary/octet-stream") else kind)


def _refused(name: str, response: Mapping[str, Any]) -> InvocationFailed:
    status = int(response.get("OriginalStatusCode") or 0)
    said = str(response.get("OriginalMessage") or response.get("Error", {}).get("Message", ""))
    return InvocationFailed(f"The endpoint {name} answers {status or 'an error'}:", [_fault_of(said)], status)


def _fault_of(said: str) -> Fault:
    """This package's own answer, which is JSON with a remedy, or any other."""
    try:
        told = json.loads(said)["error"]
        return Fault("the request", shown(told["message"]), shown(told["remedy"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return Fault("the request", shown(said))
