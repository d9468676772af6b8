"""A tuning job on SageMaker: its name comes in; its state, its training jobs and the best of them go out. A tuner calls
``RemoteBackend.tune``, which makes one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.sdk.remote.aws_errors import explained, reason
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.remote.retries import answers, retry_throttled
from sagemaker_semseg.sdk.requests.from_describe import tuning_spec
from sagemaker_semseg.sdk.specs import ENDED, JobFailed, TuningSpec


class RemoteTuning:
    def __init__(self, account: Account, name: str):
        self.name = name
        self._client = account.client("sagemaker")

    def describe(self) -> Mapping[str, Any]:
        """SageMaker's answer. Raises ``UserError`` if it knows no such job."""
        with explained(f"tuning job {self.name}", "sagemaker:DescribeHyperParameterTuningJob"):
            ask = self._client.describe_hyper_parameter_tuning_job
            told: Mapping[str, Any] = retry_throttled(lambda: ask(HyperParameterTuningJobName=self.name))
        return told

    def spec(self) -> TuningSpec:
        return tuning_spec(self.describe())

    @property
    def status(self) -> str:
        return str(self.describe()["HyperParameterTuningJobStatus"])

    def training_jobs(self) -> list[Mapping[str, Any]]:
        """All that it has started, as SageMaker tells of them: name, status, tuned hyperparameters, objective."""
        found: list[Mapping[str, Any]] = []
        arguments = {"HyperParameterTuningJobName": self.name, "MaxResults": 100}
        while True:
            with explained(f"tuning job {self.name}", "sagemaker:ListTrainingJobsForHyperParameterTuningJob"):
                ask = self._client.list_training_jobs_for_hyper_parameter_tuning_job
                page = retry_throttled(lambda ask=ask: ask(**arguments))  # type: ignore[misc]
            found += page["TrainingJobSummaries"]
            if not page.get("NextToken"):
                return found
            arguments["NextToken"] = page["NextToken"]

    def best_training_job(self) -> str | None:
        """Its name; None as long as none has an objective."""
        return self.describe().get("BestTrainingJob", {}).get("TrainingJobName")

    def stop(self) -> None:
        if self.status in ENDED:
            return
        with explained(f"tuning job {self.name}", "sagemaker:StopHyperParameterTuningJob"):
            retry_throttled(lambda: self._client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name))

    def wait(self) -> str:
        """Return its status when it has ended, ``Completed`` or ``Stopped``. Raises ``JobFailed``."""
        last = ""
        try:
            for told in answers(self.describe):
                counts = told.get("TrainingJobStatusCounters", {})
                now = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
                status = str(told["HyperParameterTuningJobStatus"])
                if f"{status} {now}" != last:
                    print(f"{self.name}: {status} ({now or 'no training job yet'})", flush=True)
                last = f"{status} {now}"
                if status == "Failed":
                    fault = reason(told.get("FailureReason"), self.name)
                    raise JobFailed(f"The tuning job {self.name} has failed:", [fault])
                if status in ENDED:
                    return status
        except KeyboardInterrupt:
            command = f"aws sagemaker stop-hyper-parameter-tuning-job --hyper-parameter-tuning-job-name {self.name}"
            print(
                f"{self.name} goes on at SageMaker, at its price. Stop it with: {command}", file=sys.stderr, flush=True
            )
            raise
        raise AssertionError  # there is always another answer
