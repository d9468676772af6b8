"""The process of a tuning on this machine: its name comes in, one training after the other is started, and what came of
them stands in the study when it ends. A
supervisor starts it as ``python -m sagemaker_semseg.sdk.local.tuning_runner NAME``.

A trial is a training job like any other, which ends with this process. Those that a stop has interrupted, or that were
running when this process was killed, are tried again when the tuning goes on. A training that fails keeps no other from
being tried; only if none at all succeeds has the tuning failed.
"""

from __future__ import annotations

import math
import secrets
import signal
import sys
import time
from dataclasses import replace
from typing import Final

from sagemaker_semseg.errors import Fault, SemSegError, UserError
from sagemaker_semseg.sdk.analytics import TrainingJobAnalytics
from sagemaker_semseg.sdk.local.backend import LocalBackend
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.jobs import LOOK_SECONDS, LocalJob
from sagemaker_semseg.sdk.local.samplers import fits, grid_size, propose
from sagemaker_semseg.sdk.local.specs import tuning_spec
from sagemaker_semseg.sdk.local.study import Study, Trial
from sagemaker_semseg.sdk.specs import ENDED, TuningSpec

MAX_CONSECUTIVE_FAILURES: Final = 3
"""Trials, or as many as run at a time: if that many have ended and none has succeeded, no more are started."""

_STOPPED: Final = 143


class Trials:
    """stopping: set when it is told to end."""

    def __init__(self, spec: TuningSpec, study: Study, backend: LocalBackend):
        self.stopping = False
        self._spec, self._study, self._backend = spec, study, backend
        self._maximize = spec.objective_type == "Maximize"
        size = grid_size(spec.ranges) if spec.strategy == "Grid" else None
        self._total = min(size or sys.maxsize, spec.max_jobs or sys.maxsize)
        self._running: dict[int, LocalJob] = {}
        self._ended: list[Trial] = []

    def run(self) -> None:
        """Raises ``UserError`` with the reasons if no trial has succeeded."""
        self._settle()
        while True:
            self._collect()
            if self.stopping:
                for job in self._running.values():
                    job.stop()
            else:
                self._start()
            if not self._running:
                break
            time.sleep(LOOK_SECONDS)
        best = self._study.best(maximize=self._maximize)
        if best:
            print(f"the best: {best.job} with {self._name}={best.objective:g} ({_shown(best)})", flush=True)
        elif not self.stopping:
            faults = [Fault(trial.job, trial.failure.partition("\n")[0][:300]) for trial in self._ended]
            raise UserError("No training job has succeeded:", faults)

    @property
    def _name(self) -> str:
        return self._spec.objective_metric_name

    def _settle(self) -> None:
        """See to what an earlier process has left. Its trainings end by themselves, as it is gone."""
        trials = self._study.trials
        for number in [number for number, trial in trials.items() if not fits(self._spec.ranges, trial.values)]:
            del trials[number]
        if not trials:
            return
        for number, trial in trials.items():
            if trial.ended:
                continue
            job = LocalJob("training", trial.job)
            while (record := job.registry.read(job.name)) and record.status not in ENDED and not self.stopping:
                time.sleep(LOOK_SECONDS)
            completed = record is not None and record.status == "Completed"
            objective = self._objective(job) if record else None
            self._study.ended(number, "Completed" if completed else "Interrupted", objective)
        if all(trial.objective is None for trial in trials.values()):  # what they failed of may be mended now
            for number in list(trials):
                self._study.ended(number, "Interrupted", None)
        done = sum(trial.counts for trial in trials.values())
        print(f"going on: {done} of {self._total} trials are done", flush=True)

    def _start(self) -> None:
        while len(self._running) < self._spec.max_parallel_jobs and not self._enough():
            number = self._next()
            if number is None:
                return
            self._try(number)

    def _next(self) -> int | None:
        """The first trial that isn't done with."""
        trials, number = self._study.trials, 1
        while number <= self._total:
            if number not in self._running and (number not in trials or not trials[number].counts):
                return number
            number += 1
        return None

    def _try(self, number: int) -> None:
        spec, trials = self._spec, self._study.trials
        if number in trials:
            values = trials[number].values
        else:
            others = [trial for _, trial in sorted(trials.items())]
            seed = spec.random_seed or 0
            values = propose(spec.strategy, spec.ranges, seed, number, others, maximize=self._maximize)
        trial = Trial(number, f"{spec.name}-{number:03d}-{secrets.token_hex(4)}", values)
        print(f"trial {number} of {self._total}: {_shown(trial)} ({trial.job})", flush=True)
        self._study.started(trial)
        told = {**spec.training.hyperparameters, **values, "_tuning_objective_metric": self._name}
        try:
            training = replace(spec.training, name=trial.job, hyperparameters=told)
            self._running[number] = self._backend.train(training, keep=True)
        except (SemSegError, OSError) as error:
            self._end(number, "Failed", None, str(error))

    def _collect(self) -> None:
        for number, job in list(self._running.items()):
            state = job.state()
            if state.status not in ENDED:
                continue
            job.let_go()
            del self._running[number]
            objective, failure = self._objective(job), state.failure
            if objective is None:
                failure = failure or f"it has printed no {self._name}"
            self._end(
                number,
                "Interrupted" if self.stopping and state.status == "Stopped" else state.status,
                objective,
                failure,
            )

    def _end(self, number: int, status: str, objective: float | None, failure: str) -> None:
        trial = self._study.ended(number, status, objective, failure)
        self._ended.append(trial)
        told = f"{self._name}={objective:g}" if objective is not None else failure.partition("\n")[0][:300]
        best = self._study.best(maximize=self._maximize)
        mark = ", the best so far" if best and best.number == number else ""
        print(f"trial {number} of {self._total}: {status}, {told}{mark}", flush=True)

    def _objective(self, job: LocalJob) -> float | None:
        """The best epoch's. None if it was never printed, or is no number."""
        try:
            lines = list(job.logs(follow=False))
        except FileNotFoundError:  # killed before it began
            return None
        points = TrainingJobAnalytics.of_log(lines, self._spec.training.metric_definitions).points
        values = [point.value for point in points if point.metric_name == self._name and math.isfinite(point.value)]
        return (max if self._maximize else min)(values, default=None)

    def _enough(self) -> bool:
        """Whether no more trials need be started, though there are some left."""
        best = self._study.best(maximize=self._maximize)
        if best is None or best.objective is None:
            return len(self._ended) >= max(MAX_CONSECUTIVE_FAILURES, self._spec.max_parallel_jobs)
        criteria = self._spec.completion_criteria_config or {}
        target = criteria.get("TargetObjectiveMetricValue")
        if target is not None and (best.objective >= target if self._maximize else best.objective <= target):
            return True
        patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        since = [trial for trial in self._study.trials.values() if trial.counts and trial.number > best.number]
        return patience is not None and len(since) >= patience


def _shown(trial: Trial) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(trial.values.items()))


def main(name: str) -> int:
    registry = JobStore("tuning")
    folder, record = registry.folder(name), registry.get(name)
    spec = tuning_spec(record.spec)
    if spec is None:
        raise UserError(f"The record of the tuning job {name} doesn't say how it was started.")
    trials = Trials(spec, Study(folder), LocalBackend(record.more["training"]))

    def stop(number: int, frame: object) -> None:
        trials.stopping = True

    signal.signal(signal.SIGTERM, stop)
    try:
        trials.run()
    except SemSegError as error:
        print(error, flush=True)
        (folder / "ml" / "output").mkdir(parents=True, exist_ok=True)
        (folder / "ml" / "output" / "failure").write_text(f"{error.prefix}: {error}", encoding="utf-8")
        return error.exit_status
    return _STOPPED if trials.stopping else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
