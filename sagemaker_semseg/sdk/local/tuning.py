"""A tuning job on this machine: its name comes in; its state, its trainings and the best of them go out.
``LocalBackend`` starts and finds it; ``trials`` is the process that does the work, under a supervisor like any job's.

What is told of it has the words of SageMaker's API, so that a tuner needs to know no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.jobs import LocalJob
from sagemaker_semseg.sdk.local.specs import tuning_spec
from sagemaker_semseg.sdk.local.study import Study, Trial
from sagemaker_semseg.sdk.specs import TuningSpec

# what SageMaker counts a training job as
_COUNTED = {"Failed": "NonRetryableError", "Interrupted": "Stopped"}


class LocalTuning:
    def __init__(self, job: LocalJob):
        self.name, self.job = job.name, job

    @property
    def status(self) -> str:
        return self.job.record.status

    def spec(self) -> TuningSpec:
        spec = tuning_spec(self.job.record.spec)
        if spec is None:
            raise UserError(f"The record of the tuning job {self.name} doesn't say how it was started.")
        return spec

    def describe(self) -> Mapping[str, Any]:
        state, spec, trials = self.job.state(), self.spec(), self._study().trials.values()
        best = self._best(spec)
        told = {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobStatus": state.status,
            "HyperParameterTuningJobConfig": {
                "Strategy": spec.strategy,
                "HyperParameterTuningJobObjective": _objective(spec),
                "ResourceLimits": {
                    "MaxNumberOfTrainingJobs": spec.max_jobs,
                    "MaxParallelTrainingJobs": spec.max_parallel_jobs,
                },
                "RandomSeed": spec.random_seed,
            },
            "TrainingJobStatusCounters": dict(Counter(_COUNTED.get(trial.status, trial.status) for trial in trials)),
            "BestTrainingJob": self._summary(best, spec) if best else None,
            "FailureReason": state.failure or None,
            "CreationTime": state.created,
            "HyperParameterTuningEndTime": state.ended,
        }
        return {name: value for name, value in told.items() if value is not None}

    def training_jobs(self) -> list[Mapping[str, Any]]:
        spec = self.spec()
        return [self._summary(trial, spec) for _, trial in sorted(self._study().trials.items())]

    def best_training_job(self) -> str | None:
        best = self._best(self.spec())
        return best.job if best else None

    def stop(self) -> None:
        self.job.stop()

    def wait(self) -> str:
        try:
            return self.job.wait(logs=True).status
        except KeyboardInterrupt:
            if self.job.kept:  # it has stopped its trainings, unless a second Ctrl-C has ended it before
                for training in self._running():
                    training.kill()
            raise

    def _running(self) -> list[LocalJob]:
        jobs = [LocalJob("training", trial.job) for trial in self._study().trials.values() if not trial.ended]
        return [job for job in jobs if job.registry.read(job.name)]

    def _study(self) -> Study:
        return Study(self.job.registry.folder(self.job.record.name))

    def _best(self, spec: TuningSpec) -> Trial | None:
        return self._study().best(maximize=spec.objective_type == "Maximize")

    def _summary(self, trial: Trial, spec: TuningSpec) -> Mapping[str, Any]:
        record = JobStore("training").read(trial.job)
        state = LocalJob("training", trial.job).state() if record else None
        told = {
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
        return {name: value for name, value in told.items() if value is not None}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Fault]:
    """What keeps a tuning from going on with other settings. then, now: specifications as records have them.

    How many jobs there are, how long they may take and how they are tagged may change.
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
