"""A tuning job on SageMaker: its state, its training jobs and the best of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.sdk.remote.aws_errors import reason
from sagemaker_semseg.sdk.remote.clients import Account, poll
from sagemaker_semseg.sdk.requests.from_describe import tuning_spec
from sagemaker_semseg.sdk.specs import ENDED, JobFailed, TuningSpec


class RemoteTuning:
    """A tuning job that SageMaker knows by ``name``."""

    def __init__(self, account: Account, name: str):
        self.name = self.job_name = name
        self._account = account

    def describe(self) -> Mapping[str, Any]:
        """Return SageMaker's answer. Raises ``UserError`` if it knows no such job."""
        return self._call("describe_hyper_parameter_tuning_job")

    def spec(self) -> TuningSpec:
        return tuning_spec(self.describe())

    @property
    def status(self) -> str:
        return str(self.describe()["HyperParameterTuningJobStatus"])

    def training_jobs(self) -> list[Mapping[str, Any]]:
        """Return SageMaker's summaries of all its trainings: name, status, tuned hyperparameters, objective."""
        found: list[Mapping[str, Any]] = []
        arguments: dict[str, Any] = {"MaxResults": 100}
        while True:
            page = self._call("list_training_jobs_for_hyper_parameter_tuning_job", **arguments)
            found += page["TrainingJobSummaries"]
            if not page.get("NextToken"):
                return found
            arguments["NextToken"] = page["NextToken"]

    def best_training_job(self) -> str | None:
        """Return its name, or None while no training has an objective."""
        return self.describe().get("BestTrainingJob", {}).get("TrainingJobName")

    def stop(self) -> None:
        if self.status in ENDED:
            return
        self._call("stop_hyper_parameter_tuning_job")

    def wait(self) -> str:
        """Wait for the end and return the status, ``Completed`` or ``Stopped``. Raises ``JobFailed``."""
        last = ""
        try:
            for answer in poll(self.describe):
                counts = answer.get("TrainingJobStatusCounters", {})
                now = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
                status = str(answer["HyperParameterTuningJobStatus"])
                if f"{status} {now}" != last:
                    print(f"{self.name}: {status} ({now or 'no training job yet'})", flush=True)
                last = f"{status} {now}"
                if status == "Failed":
                    fault = reason(answer.get("FailureReason"), self.name)
                    raise JobFailed(f"The tuning job {self.name} has failed:", [fault])
                if status in ENDED:
                    return status
        except KeyboardInterrupt:
            command = f"aws sagemaker stop-hyper-parameter-tuning-job --hyper-parameter-tuning-job-name {self.name}"
            print(
                f"{self.name} continues on SageMaker, and costs money. Stop it with: {command}",
                file=sys.stderr,
                flush=True,
            )
            raise
        raise AssertionError  # there is always another answer

    def _call(self, method: str, **arguments: Any) -> Any:
        where = f"tuning job {self.name}"
        return self._account.call("sagemaker", method, where, HyperParameterTuningJobName=self.name, **arguments)
