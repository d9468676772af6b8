"""A tuning job of this machine: its state, its training jobs and the best of them, in the words of SageMaker's API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore
from sagemaker_semseg.sdk.local.jobs import LocalJob
from sagemaker_semseg.sdk.local.spec_json import read_spec
from sagemaker_semseg.sdk.local.study import Study, Trial
from sagemaker_semseg.sdk.requests import parameter_ranges
from sagemaker_semseg.sdk.specs import TuningSpec

# as what SageMaker counts a training job
_COUNTED = {"Failed": "NonRetryableError", "Interrupted": "Stopped"}


class LocalTuning:
    """A tuning job of this machine. ``tuning_runner`` is the process that runs it."""

    def __init__(self, job: LocalJob):
        self.name = self.job_name = job.name
        self.job = job

    @property
    def status(self) -> str:
        return self.job.record.status

    def spec(self) -> TuningSpec:
        return spec_of(self.job.record)

    def describe(self) -> Mapping[str, Any]:
        state, spec, study = self.job.state(), self.spec(), self._study()
        best = study.best()
        values = {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobStatus": state.status,
            "HyperParameterTuningJobConfig": {
                "Strategy": spec.strategy,
                "HyperParameterTuningJobObjective": _objective(spec),
                "ResourceLimits": {
                    "MaxNumberOfTrainingJobs": spec.max_jobs,
                    "MaxParallelTrainingJobs": spec.max_parallel_jobs,
                },
                "ParameterRanges": parameter_ranges(spec.ranges, []),
                "RandomSeed": spec.random_seed,
            },
            "TrainingJobStatusCounters": dict(
                Counter(_COUNTED.get(trial.status, trial.status) for trial in study.trials())
            ),
            "BestTrainingJob": self._summary(best, spec) if best else None,
            "FailureReason": state.failure or None,
            "CreationTime": state.created,
            "HyperParameterTuningEndTime": state.ended,
        }
        return {name: value for name, value in values.items() if value is not None}

    def training_jobs(self) -> list[Mapping[str, Any]]:
        spec = self.spec()
        return [self._summary(trial, spec) for trial in self._study().trials()]

    def best_training_job(self) -> str | None:
        best = self._study().best()
        return best.job if best else None

    def stop(self) -> None:
        self.job.stop()

    def wait(self) -> str:
        try:
            return self.job.wait(logs=True).status
        except KeyboardInterrupt:
            if self.job.attached:  # it has stopped its trainings, unless a second Ctrl-C has ended it before
                for training in self._running():
                    training.kill()
            raise

    def _running(self) -> list[LocalJob]:
        trials = [trial for trial in self._study().trials() if trial.status == "InProgress" and trial.job]
        return [job for trial in trials if (job := LocalJob("training", trial.job)).store.read(trial.job)]

    def _study(self) -> Study:
        return Study(self.job.store.folder(self.name), self.spec())

    def _summary(self, trial: Trial, spec: TuningSpec) -> Mapping[str, Any]:
        record = JobStore("training").read(trial.job)
        state = LocalJob("training", trial.job).state() if record else None
        values = {
            "TrainingJobName": trial.job,
            "TrainingJobStatus": {"Interrupted": "Stopped"}.get(trial.status, trial.status),
            "TunedHyperParameters": dict(trial.values),
            "CreationTime": state.created if state else None,
            "TrainingStartTime": state.started if state else None,
            "TrainingEndTime": state.ended if state else None,
            "FailureReason": trial.failure or None,
            "FinalHyperParameterTuningJobObjectiveMetric": None
            if trial.objective is None
            else {"MetricName": spec.objective_metric_name, "Type": spec.objective_type, "Value": trial.objective},
        }
        return {name: value for name, value in values.items() if value is not None}


def spec_of(record: JobRecord) -> TuningSpec:
    """Return how a tuning was started. Raises ``UserError`` if its record doesn't say it."""
    spec = read_spec(TuningSpec, record.spec)
    if spec is None:
        raise UserError(f"The record of the tuning job {record.name} doesn't say how it was started.")
    return spec


def best_model(name: str) -> str | None:
    """Return where the best model of a tuning is; None if there is none."""
    store = JobStore("tuning")
    best = Study(store.folder(name), spec_of(store.get(name))).best()
    training = JobStore("training").read(best.job) if best else None
    return training.output if training else None


def has_result(record: JobRecord) -> bool:
    """Return whether any trial of a tuning has come to an objective."""
    return Study(JobStore("tuning").folder(record.name), spec_of(record)).best() is not None


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Fault]:
    """Return what keeps a tuning from continuing with other settings. then, now: specifications of records.

    The number of jobs, their time and their tags may change.
    """
    names = ("objective_metric_name", "objective_type", "strategy", "random_seed", "ranges")
    of_training = ("hyperparameters", "channels", "instance_type", "metric_definitions", "output_path")
    before = then.get("training") or {}
    pairs = [(name, then.get(name), now[name]) for name in names]
    pairs += [(name, before.get(name), now["training"][name]) for name in of_training]
    return [
        Fault(name, f"was {_shown(was)} and is {_shown(is_now)}", "give what it was, or the tuning another name")
        for name, was, is_now in pairs
        if was != is_now
    ]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _objective(spec: TuningSpec) -> Mapping[str, str]:
    return {"Type": spec.objective_type, "MetricName": spec.objective_metric_name}
