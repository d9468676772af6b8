"""Trainings and transforms on SageMaker: their state, log, end and results.

All that is known of a job is SageMaker's answer, so that any process can follow it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from sagemaker_semseg.errors import ErrorCode, Fault, UserError
from sagemaker_semseg.sdk.remote.aws_errors import is_absent, printable, reason
from sagemaker_semseg.sdk.remote.clients import Account, poll
from sagemaker_semseg.sdk.remote.cloudwatch import JobLog
from sagemaker_semseg.sdk.remote.s3_transfer import fetch
from sagemaker_semseg.sdk.requests.from_describe import model_spec, training_spec, transform_spec
from sagemaker_semseg.sdk.specs import ENDED, JobFailed, ModelSpec, State, Status

# why SageMaker stopped a job
_STOPPED = {
    "MaxRuntimeExceeded": "it has run for max_run seconds",
    "MaxWaitTimeExceeded": "no spot instance was to be had for the whole of max_wait",
    "Interrupted": "its spot instances were taken away",
}


class RemoteJob:
    """A job. folder: where ``wait`` downloads the results to; None leaves them in S3."""

    kind, group, action, method = "", "", "", ""

    def __init__(self, account: Account, name: str, folder: Path | None = None):
        self.name, self._account, self._folder = name, account, folder

    def describe(self) -> Mapping[str, Any]:
        """Return SageMaker's answer. Raises ``UserError`` if it knows no such job."""
        return cast(Mapping[str, Any], self._call(f"describe_{self.method}"))

    def state(self) -> State:
        return self._state(self.describe())

    def stop(self) -> None:
        if self.state().status in ENDED:
            return
        self._call(f"stop_{self.method}")

    def logs(self, *, follow: bool) -> Iterator[str]:
        log = JobLog(self._account, self.group, self.name)
        if not follow:
            yield from log.lines()
            return
        for state in poll(self.state):
            yield from log.lines()
            if state.status in ENDED:
                # CloudWatch gets the last lines a little later
                yield from log.lines()
                return

    def wait(self, *, logs: bool) -> State:
        try:
            state = self._follow(logs)
        except KeyboardInterrupt:
            command = (
                f"aws sagemaker stop-{self.method.replace('_', '-')} --{self.method.replace('_', '-')}-name {self.name}"
            )
            message = f"{self.name} continues on SageMaker, and costs money. Stop it with: {command}"
            print(message, file=sys.stderr, flush=True)
            raise
        if state.status == "Failed":
            log = f"its log is in CloudWatch: {self.group}, {self.name}/"
            fault = reason(state.failure, self.name)
            raise JobFailed(f"The {self.kind} {self.name} has failed ({log}):", [fault])
        if state.status == "Stopped" and state.failure:
            print(f"{self.name} was stopped: {state.failure}", file=sys.stderr, flush=True)
        if self._folder is not None:
            self.download(self._folder)
        return state

    def download(self, folder: str | Path) -> list[Path]:
        """Download the results into a folder. Returns the files."""
        files = [file for place, below in self._results() for file in fetch(self._account, place, Path(folder) / below)]
        print(f"{len(files)} files of {self.name} are in {folder}", flush=True)
        return files

    def _follow(self, logs: bool) -> State:
        log, last = JobLog(self._account, self.group, self.name), ""
        for answer in poll(self.describe):
            now = f"{answer.get('SecondaryStatus') or answer[self.action + 'Status']}"
            if now != last:
                print(f"{self.name}: {now}", flush=True)
            last = now
            state = self._state(answer)
            ended = state.status in ENDED
            for _ in range(2 if ended else 1):  # CloudWatch gets the last lines a little later
                for line in log.lines() if logs else ():
                    print(line, flush=True)
            if ended:
                self._bill(answer)
                return state
        raise AssertionError  # there is always another answer

    def _call(self, method: str) -> Any:
        return self._account.call("sagemaker", method, f"{self.kind} {self.name}", **{f"{self.action}Name": self.name})

    def _results(self) -> list[tuple[str, str]]:
        """Return places in S3, each with the folder below which it goes."""
        raise NotImplementedError

    def _state(self, answer: Mapping[str, Any]) -> State:
        raise NotImplementedError

    def _bill(self, answer: Mapping[str, Any]) -> None:
        """Print what it costs, if SageMaker says so."""


class RemoteTraining(RemoteJob):
    """A training job."""

    kind, group, action = "training job", "/aws/sagemaker/TrainingJobs", "TrainingJob"
    method = "training_job"  # of describe_training_job and stop_training_job

    def _results(self) -> list[tuple[str, str]]:
        place = f"{str(self.describe()['OutputDataConfig']['S3OutputPath']).rstrip('/')}/{self.name}/output"
        return [(place, f"{self.name}/output")]

    def _state(self, answer: Mapping[str, Any]) -> State:
        status = cast(Status, answer["TrainingJobStatus"])
        failure = printable(answer.get("FailureReason"))
        if status == "Stopped" and not failure:
            failure = _STOPPED.get(answer.get("SecondaryStatus", ""), "")
        spec = training_spec(answer)
        output = answer.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if not output and spec.output_path:
            output = f"{spec.output_path.rstrip('/')}/{self.name}/output/model.tar.gz"
        times = (answer.get("CreationTime"), answer.get("TrainingStartTime"), answer.get("TrainingEndTime"))
        return State(self.name, status, failure, output, *times, spec=spec)

    def _bill(self, answer: Mapping[str, Any]) -> None:
        seconds, billed = answer.get("TrainingTimeInSeconds"), answer.get("BillableTimeInSeconds")
        if seconds and billed:
            saved = f", spot instances saved {100 * (1 - billed / seconds):.0f} %" if billed < seconds else ""
            print(f"{self.name}: trained for {seconds} s, {billed} s are billed{saved}", flush=True)


class RemoteTransform(RemoteJob):
    """A batch transform job."""

    kind, group, action = "transform job", "/aws/sagemaker/TransformJobs", "TransformJob"
    method = "transform_job"  # of describe_transform_job and stop_transform_job

    def _results(self) -> list[tuple[str, str]]:
        return [(str(self.describe()["TransformOutput"]["S3OutputPath"]), "")]

    def _state(self, answer: Mapping[str, Any]) -> State:
        status = cast(Status, answer["TransformJobStatus"])
        times = (answer.get("CreationTime"), answer.get("TransformStartTime"), answer.get("TransformEndTime"))
        spec = transform_spec(answer, self._model(answer["ModelName"]))
        return State(self.name, status, printable(answer.get("FailureReason")), spec.output_path, *times, spec=spec)

    def _model(self, name: str) -> ModelSpec:
        """Return the model; only its name if it has been deleted since."""
        try:
            return model_spec(self._account.call("sagemaker", "describe_model", f"model {name}", ModelName=name))
        except UserError as error:
            if not is_absent(error):
                raise
            return ModelSpec(name, "")


def not_here(kind: str, name: str, error: UserError) -> UserError:
    """Return the error for something that was looked for by its name."""
    if not is_absent(error):
        return error
    remedy = "check the name, the region and the account (aws sts get-caller-identity)"
    return UserError(
        "SageMaker can't find it:", [Fault(name[:100], f"there is no such {kind}", remedy, ErrorCode.NOT_FOUND)]
    )
