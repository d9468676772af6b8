"""A training job with the interface of SDK 2's ``estimator.latest_training_job``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagemaker_semseg.sdk.specs import Job, TrainingSpec


class TrainingJob:
    """A training job. name: also as ``job_name``."""

    def __init__(self, job: Job):
        self.name = self.job_name = job.name
        self.job = job

    def wait(self, logs: bool | str | Sequence[str] | None = "All") -> None:
        """Return when it has ended, printing its log meanwhile unless ``logs`` is "None". Raises ``JobFailed``."""
        self.job.wait(logs=shows(logs))

    def stop(self) -> None:
        """Request its end; the model so far is kept."""
        self.job.stop()

    def describe(self) -> dict[str, Any]:
        """Return its state in the form of SageMaker's DescribeTrainingJob, as far as it is known."""
        state = self.job.state()
        answer: dict[str, Any] = {
            "TrainingJobName": state.name,
            "TrainingJobStatus": state.status,
            "FailureReason": state.failure or None,
            "ModelArtifacts": {"S3ModelArtifacts": state.output} if state.output else None,
            "CreationTime": state.created,
            "TrainingStartTime": state.started,
            "TrainingEndTime": state.ended,
        }
        if isinstance(state.spec, TrainingSpec):
            answer["HyperParameters"] = dict(state.spec.hyperparameters)
            answer["OutputDataConfig"] = {"S3OutputPath": state.spec.output_path}
        return {name: value for name, value in answer.items() if value is not None}

    def __repr__(self) -> str:
        return f"TrainingJob({self.name!r})"


def shows(logs: bool | str | Sequence[str] | None) -> bool:
    """Return whether SDK 2's argument ``logs`` asks for the log."""
    return bool(logs) and logs not in ("None", ["None"])
