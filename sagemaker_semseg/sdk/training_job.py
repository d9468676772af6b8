"""A training job as v2 shows it: a ``Job`` of a backend comes in, ``estimator.latest_training_job`` goes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagemaker_semseg.sdk.specs import Job, TrainingSpec


class TrainingJob:
    """name: the job's, also as ``job_name``."""

    def __init__(self, job: Job):
        self.name = self.job_name = job.name
        self.job = job

    def wait(self, logs: bool | str | Sequence[str] | None = "All") -> None:
        """Return when it has ended, printing its log meanwhile unless ``logs`` is "None". Raises ``JobFailed``."""
        self.job.wait(logs=shows(logs))

    def stop(self) -> None:
        """Ask it to end; the model so far is kept."""
        self.job.stop()

    def describe(self) -> dict[str, Any]:
        """How it stands, in the words of SageMaker's DescribeTrainingJob, as far as they are known."""
        state = self.job.state()
        told: dict[str, Any] = {
            "TrainingJobName": state.name,
            "TrainingJobStatus": state.status,
            "FailureReason": state.failure or None,
            "ModelArtifacts": {"S3ModelArtifacts": state.output} if state.output else None,
            "CreationTime": state.created,
            "TrainingStartTime": state.started,
            "TrainingEndTime": state.ended,
        }
        if isinstance(state.spec, TrainingSpec):
            told["HyperParameters"] = dict(state.spec.hyperparameters)
            told["OutputDataConfig"] = {"S3OutputPath": state.spec.output_path}
        return {name: value for name, value in told.items() if value is not None}

    def __repr__(self) -> str:
        return f"TrainingJob({self.name!r})"


def shows(logs: bool | str | Sequence[str] | None) -> bool:
    """Whether v2's argument ``logs`` asks for the log."""
    return bool(logs) and logs not in ("None", ["None"])
