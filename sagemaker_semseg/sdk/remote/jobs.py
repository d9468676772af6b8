"""A training or a transform on SageMaker: its name comes in; its state, its log, its end and its results go out.

``backend`` starts and finds them. What is known of a job is what SageMaker tells of it: any process can follow it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.remote.aws_errors import explained, is_absent, reason, shown
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.remote.cloudwatch import JobLog
from sagemaker_semseg.sdk.remote.retries import answers, retry_throttled
from sagemaker_semseg.sdk.remote.s3_transfer import fetch
from sagemaker_semseg.sdk.requests.from_describe import model_spec, training_spec, transform_spec
from sagemaker_semseg.sdk.specs import ENDED, JobFailed, ModelSpec, State, Status

# why a job was stopped that nobody has stopped
_STOPPED = {
    "MaxRuntimeExceeded": "it has run for max_run seconds",
    "MaxWaitTimeExceeded": "no spot instance was to be had for the whole of max_wait",
    "Interrupted": "its spot instances were taken away",
}


class RemoteJob:
    """folder: on this machine, where its results are to lie when ``wait`` has seen its end; None leaves them in S3."""

    kind, group, action = "", "", ""

    def __init__(self, account: Account, name: str, folder: Path | None = None):
        self.name, self._account, self._folder = name, account, folder
        self._client = account.client("sagemaker")

    def describe(self) -> Mapping[str, Any]:
        """SageMaker's answer. Raises ``UserError`` if it knows no such job."""
        with explained(f"{self.kind} {self.name}", f"sagemaker:Describe{self.action}"):
            return cast(Mapping[str, Any], retry_throttled(self._ask))

    def state(self) -> State:
        return self._state(self.describe())

    def stop(self) -> None:
        if self.state().status in ENDED:
            return
        with explained(f"{self.kind} {self.name}", f"sagemaker:Stop{self.action}"):
            retry_throttled(self._stop)

    def logs(self, *, follow: bool) -> Iterator[str]:
        log = JobLog(self._account, self.group, self.name)
        if not follow:
            yield from log.lines()
            return
        for state in self._states():
            yield from log.lines()
            if state.status in ENDED:
                # what CloudWatch got last comes a little later
                yield from log.lines()
                return

    def wait(self, *, logs: bool) -> State:
        try:
            state = self._follow(logs)
        except KeyboardInterrupt:
            told = f"{self.name} goes on at SageMaker, at its price. Stop it with: {self._stop_command()}"
            print(told, file=sys.stderr, flush=True)
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
        """Fetch its results into a folder on this machine. Returns the files."""
        files = [file for place, below in self._results() for file in fetch(self._account, place, Path(folder) / below)]
        print(f"{len(files)} files of {self.name} are in {folder}", flush=True)
        return files

    def _follow(self, logs: bool) -> State:
        log, last = JobLog(self._account, self.group, self.name), ""
        for told in answers(self.describe):
            now = f"{told.get('SecondaryStatus') or told[self.action + 'Status']}"
            if now != last:
                print(f"{self.name}: {now}", flush=True)
            last = now
            state = self._state(told)
            ended = state.status in ENDED
            for _ in range(2 if ended else 1):  # what CloudWatch got last comes a little later
                for line in log.lines() if logs else ():
                    print(line, flush=True)
            if ended:
                self._bill(told)
                return state
        raise AssertionError  # there is always another answer

    def _states(self) -> Iterator[State]:
        return answers(self.state)

    def _ask(self) -> Any:
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def _stop_command(self) -> str:
        raise NotImplementedError

    def _results(self) -> list[tuple[str, str]]:
        """Places in S3, and below which folder each goes."""
        raise NotImplementedError

    def _state(self, told: Mapping[str, Any]) -> State:
        raise NotImplementedError

    def _bill(self, told: Mapping[str, Any]) -> None:
        """Say what it costs, where SageMaker tells."""


class RemoteTraining(RemoteJob):
    kind, group, action = "training job", "/aws/sagemaker/TrainingJobs", "TrainingJob"

    def _ask(self) -> Any:
        return self._client.describe_training_job(TrainingJobName=self.name)

    def _stop(self) -> None:
        self._client.stop_training_job(TrainingJobName=self.name)

    def _stop_command(self) -> str:
        return f"aws sagemaker stop-training-job --training-job-name {self.name}"

    def _results(self) -> list[tuple[str, str]]:
        place = f"{str(self.describe()['OutputDataConfig']['S3OutputPath']).rstrip('/')}/{self.name}/output"
        return [(place, f"{self.name}/output")]

    def _state(self, told: Mapping[str, Any]) -> State:
        status = cast(Status, told["TrainingJobStatus"])
        failure = shown(told.get("FailureReason"))
        if status == "Stopped" and not failure:
            failure = _STOPPED.get(told.get("SecondaryStatus", ""), "")
        spec = training_spec(told)
        output = told.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if not output and spec.output_path:
            output = f"{spec.output_path.rstrip('/')}/{self.name}/output/model.tar.gz"
        times = (told.get("CreationTime"), told.get("TrainingStartTime"), told.get("TrainingEndTime"))
        return State(self.name, status, failure, output, *times, spec=spec)

    def _bill(self, told: Mapping[str, Any]) -> None:
        seconds, billed = told.get("TrainingTimeInSeconds"), told.get("BillableTimeInSeconds")
        if seconds and billed:
            saved = f", spot instances saved {100 * (1 - billed / seconds):.0f} %" if billed < seconds else ""
            print(f"{self.name}: trained for {seconds} s, {billed} s are billed{saved}", flush=True)


class RemoteTransform(RemoteJob):
    kind, group, action = "transform job", "/aws/sagemaker/TransformJobs", "TransformJob"

    def _ask(self) -> Any:
        return self._client.describe_transform_job(TransformJobName=self.name)

    def _stop(self) -> None:
        self._client.stop_transform_job(TransformJobName=self.name)

    def _stop_command(self) -> str:
        return f"aws sagemaker stop-transform-job --transform-job-name {self.name}"

    def _results(self) -> list[tuple[str, str]]:
        return [(str(self.describe()["TransformOutput"]["S3OutputPath"]), "")]

    def _state(self, told: Mapping[str, Any]) -> State:
        status = cast(Status, told["TransformJobStatus"])
        times = (told.get("CreationTime"), told.get("TransformStartTime"), told.get("TransformEndTime"))
        spec = transform_spec(told, self._model(told["ModelName"]))
        return State(self.name, status, shown(told.get("FailureReason")), spec.output_path, *times, spec=spec)

    def _model(self, name: str) -> ModelSpec:
        """The model as it is known; it may have been deleted since."""
        try:
            with explained(f"model {name}", "sagemaker:DescribeModel"):
                return model_spec(retry_throttled(lambda: self._client.describe_model(ModelName=name)))
        except UserError as error:
            if not is_absent(error):
                raise
            return ModelSpec(name, "")


def not_here(kind: str, name: str, error: UserError) -> UserError:
    """What is said where something is looked for by its name."""
    if not is_absent(error):
        return error
    remedy = "check the name, the region and the account (aws sts get-caller-identity)"
    return UserError("SageMaker can't find it:", [Fault(name[:100], f"there is no such {kind}", remedy)])
