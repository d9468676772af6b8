"""The process of a tuning on this machine: starts one training after the other and records what came of them.

Each trial is a training job like any other, which ends with this process. Trials that were interrupted, by a stop or
because this process was killed, are tried again when the tuning continues. A training that fails doesn't keep others
from being tried; the tuning fails only if no training succeeds.
"""

from __future__ import annotations

import math
import secrets
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import Final

from sagemaker_semseg.container.outputs import write_failure_file
from sagemaker_semseg.errors import Fault, SemSegError, UserError
from sagemaker_semseg.sdk.analytics import TrainingJobAnalytics
from sagemaker_semseg.sdk.local.backend import LocalBackend
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore
from sagemaker_semseg.sdk.local.jobs import POLL_SECONDS, LocalJob
from sagemaker_semseg.sdk.local.study import Study, Trial, grid_size
from sagemaker_semseg.sdk.local.tuning import spec_of
from sagemaker_semseg.sdk.specs import ENDED, TuningSpec
from sagemaker_semseg.signals import catch_signals, watch_parent

MAX_CONSECUTIVE_FAILURES: Final = 3
"""If this many trials have ended, or as many as run at a time, and none has succeeded, no more are started."""

_MAX_REASON: Final = 1000
STOPPED: Final = 143
"""The exit status after a stop."""


class TuningRunner:
    """Runs the trials of a tuning. stop: ends it, and what runs, once it is set."""

    def __init__(self, spec: TuningSpec, study: Study, backend: LocalBackend, stop: threading.Event):
        self._spec, self._study, self._backend, self._stop = spec, study, backend, stop
        self._metric, self._maximize = spec.objective_metric_name, spec.objective_type == "Maximize"
        size = grid_size(spec.ranges) if spec.strategy == "Grid" else None
        self._total = min(size or sys.maxsize, spec.max_jobs or sys.maxsize)
        self._running: dict[int, LocalJob] = {}
        self._interrupted: list[Trial] = []
        self._ended: list[Trial] = []

    def run(self) -> None:
        """Raises ``UserError`` with the reasons if no trial has succeeded."""
        self._resume()
        while True:
            self._collect()
            if self._stop.is_set():
                for job in self._running.values():
                    job.stop()
            else:
                self._start()
            if not self._running:
                break
            time.sleep(POLL_SECONDS)
        best = self._study.best()
        if best:
            print(f"the best: {best.job} with {self._metric}={best.objective:g} ({_shown(best)})", flush=True)
        elif not self._stop.is_set():
            faults = [Fault(trial.job, one_line(trial.failure)) for trial in self._ended]
            raise UserError("No training job has succeeded:", faults)

    def _resume(self) -> None:
        """Record how the trainings of an earlier process have ended, which they do by themselves without it."""
        trials = self._study.trials()
        for trial in trials:
            if trial.finished:
                continue
            if len(trial.values) < len(self._spec.ranges):
                self._study.end(trial.number, "Failed", None, "the tuning was killed while it chose the values")
                continue
            record = self._wait_for(trial.job) if trial.job else None
            completed = record is not None and record.status == "Completed"
            objective = self._objective(LocalJob("training", trial.job)) if record else trial.objective
            self._study.end(trial.number, "Completed" if completed else "Interrupted", objective)
        trials = self._study.trials()
        if trials and all(trial.objective is None for trial in trials):  # the cause of the failures may be fixed now
            self._study.restart()
        if trials:
            trials = self._study.trials()
            self._interrupted = [trial for trial in trials if not trial.finished and trial.number <= self._total]
            done = sum(trial.finished for trial in trials)
            print(f"continuing: {done} of {self._total} trials are done", flush=True)

    def _wait_for(self, job: str) -> JobRecord | None:
        store = JobStore("training")
        while (record := store.read(job)) and record.status not in ENDED and not self._stop.is_set():
            time.sleep(POLL_SECONDS)
        return record

    def _start(self) -> None:
        while len(self._running) < self._spec.max_parallel_jobs and not self._enough():
            if self._interrupted:
                self._try(self._interrupted.pop(0))
            elif len(self._study.trials()) < self._total:
                self._try(self._study.propose())
            else:
                return

    def _try(self, trial: Trial) -> None:
        spec = self._spec
        job = f"{spec.name}-{trial.number:03d}-{secrets.token_hex(4)}"
        print(f"trial {trial.number} of {self._total}: {_shown(trial)} ({job})", flush=True)
        self._study.start(trial, job)
        hyperparameters = {**spec.training.hyperparameters, **trial.values, "_tuning_objective_metric": self._metric}
        try:
            training = replace(spec.training, name=job, hyperparameters=hyperparameters)
            self._running[trial.number] = self._backend.train(training, attached=True)
        except (SemSegError, OSError) as error:
            self._end(trial.number, "Failed", None, str(error))

    def _collect(self) -> None:
        for number, job in list(self._running.items()):
            state = job.state()
            if state.status not in ENDED:
                continue
            job.release()
            del self._running[number]
            objective, failure, status = self._objective(job), state.failure, state.status
            if objective is None:
                failure = failure or f"it has printed no {self._metric}"
            interrupted = self._stop.is_set() and status == "Stopped"
            self._end(number, "Interrupted" if interrupted else status, objective, failure)

    def _end(self, number: int, status: str, objective: float | None, failure: str) -> None:
        trial = self._study.end(number, status, objective, failure)
        self._ended.append(trial)
        result = f"{self._metric}={objective:g}" if objective is not None else one_line(failure)
        best = self._study.best()
        mark = ", the best so far" if best and best.number == number else ""
        print(f"trial {number} of {self._total}: {status}, {result}{mark}", flush=True)

    def _objective(self, job: LocalJob) -> float | None:
        """The best epoch's. None if it was never printed, or isn't a number."""
        try:
            lines = list(job.logs(follow=False))
        except FileNotFoundError:  # killed before it began
            return None
        points = TrainingJobAnalytics.of_log(lines, self._spec.training.metric_definitions).points
        values = [point.value for point in points if point.metric_name == self._metric and math.isfinite(point.value)]
        return (max if self._maximize else min)(values, default=None)

    def _enough(self) -> bool:
        """Whether no more trials need be started, though there are some left."""
        best = self._study.best()
        if best is None or best.objective is None:
            return len(self._ended) >= max(MAX_CONSECUTIVE_FAILURES, self._spec.max_parallel_jobs)
        criteria = self._spec.completion_criteria_config or {}
        target = criteria.get("TargetObjectiveMetricValue")
        if target is not None and (best.objective >= target if self._maximize else best.objective <= target):
            return True
        patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        since = [trial for trial in self._study.trials() if trial.finished and trial.number > best.number]
        return patience is not None and len(since) >= patience


def one_line(failure: str) -> str:
    """Return a failure with its reasons in one line: its first line alone may be no more than a heading."""
    lines = [line.strip().removeprefix("- ") for line in failure.splitlines() if line.strip()]
    heading = lines[:1]
    if heading and not heading[0].endswith(":"):
        lines = heading
    text = " ".join(heading + ["; ".join(lines[1:])] * (len(lines) > 1))
    return text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 3]}..."


def _shown(trial: Trial) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(trial.values.items()))


def main(name: str) -> int:
    """Run the tuning of this name; returns the exit status."""
    watch_parent()
    store = JobStore("tuning")
    folder, record = store.folder(name), store.get(name)
    with catch_signals((signal.SIGTERM,)) as stop:
        try:
            spec = spec_of(record)
            study = Study(folder, spec, writable=True)
            TuningRunner(spec, study, LocalBackend(record.more["training"]), stop).run()
        except SemSegError as error:
            print(error, flush=True)
            write_failure_file(folder / "ml", error)
            return error.exit_status
    return STOPPED if stop.is_set() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
