"""Training jobs, transforms, tunings and endpoints of this machine, as handles to their processes.

A job that was started attached ends when this process does: its supervisor reads a pipe of this process. Any other job
continues by itself, and any process of the same user can find it.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from signal import SIGTERM
from typing import TextIO, cast

from sagemaker_semseg.environment import job_variables
from sagemaker_semseg.errors import Fault
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore, Kind
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.sdk.local.spec_json import read_spec
from sagemaker_semseg.sdk.specs import ENDED, JobFailed, State, Status, TrainingSpec, TransformSpec

POLL_SECONDS = 0.1

STOP_SECONDS = 150.0
"""A job has two minutes to end when it is asked to; the rest is for its supervisor."""

_DONE = re.compile(next(each["Regex"] for each in METRIC_DEFINITIONS if each["Name"] == "train:progress"))

_started: list[subprocess.Popen[bytes]] = []


def start(kind: Kind, name: str, *, attached: bool, variables: Mapping[str, str]) -> LocalJob:
    """Start the supervisor of a job whose record is written. variables: in addition to this process's."""
    job = LocalJob(kind, name)
    with open(job.store.folder(name) / "log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sagemaker_semseg.sdk.local.supervisor", kind, name],
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=job_variables(variables),
            start_new_session=True,  # a terminal's Ctrl-C is for this process, which then asks the job to stop
        )
    job.process = process
    _started.append(process)
    _forget_ended()
    return job


def _forget_ended() -> None:
    """Wait for children that have ended, or the system keeps what is left of them."""
    for process in [process for process in _started if process.poll() is not None]:
        _started.remove(process)
        if process.stdin:
            process.stdin.close()


class LocalJob:
    """A job of this machine. process: its supervisor, if this process has started it."""

    def __init__(self, kind: Kind, name: str):
        self.name = name
        self.store = JobStore(kind)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def attached(self) -> bool:
        return self.process is not None and self.process.stdin is not None

    @property
    def record(self) -> JobRecord:
        ended = self.process is not None and self.process.poll() is not None  # so that an ended one counts as such
        record = self.store.get(self.name)
        if ended and record.status not in ENDED and record.process == Process.this():
            failure = "its supervisor ended before it could take over; the log says why"
            return replace(record, status="Failed", failure=failure)
        return record

    def state(self) -> State:
        record = self.record
        times = {name: _time(getattr(record, name)) for name in ("created", "started", "ended")}
        status = cast(Status, record.status)
        spec: TrainingSpec | TransformSpec | None = None
        if self.store.kind == "training":
            spec = read_spec(TrainingSpec, record.spec)
        elif self.store.kind == "transforms":
            spec = read_spec(TransformSpec, record.spec)
        return State(self.name, status, record.failure, record.output, **times, spec=spec)

    def stop(self) -> None:
        record = self.record
        if record.status not in ENDED and record.process:
            record.process.send_signal(SIGTERM)

    def kill(self) -> None:
        """End it at once. What it was about to write is lost; its supervisor still writes down the end."""
        self.stop()
        if job := Process.from_dict(self.record.more.get("job")):
            job.kill_group()

    def delete(self) -> None:
        """Stop it, and delete its folder; results outside of it stay."""
        process = self.record.process
        self.stop()
        if process and not process.wait(STOP_SECONDS):
            self.kill()
            process.wait(STOP_SECONDS)
        self.release()
        self.store.remove(self.name)

    def logs(self, *, follow: bool) -> Iterator[str]:
        folder = self.store.folder(self.name)
        self.store.get(self.name)
        with open(folder / "log", encoding="utf-8", errors="replace", newline="\n") as file:
            while True:
                ended = not follow or self.record.status in ENDED  # asked first: then nothing is written any more
                yield from _lines(file, last=ended)
                if ended:
                    return
                time.sleep(POLL_SECONDS)

    def wait(self, *, logs: bool) -> State:
        try:
            self._follow(logs)
        except KeyboardInterrupt:
            self._interrupted(logs)
            raise
        finally:
            self.release()
        state = self.state()
        if state.status == "Failed":
            raise self.failed(state)
        if state.status == "Stopped" and state.failure:
            print(f"{self.name} was stopped: {state.failure}", file=sys.stderr, flush=True)
        return state

    def failed(self, state: State) -> JobFailed:
        log = self.store.folder(self.name) / "log"
        remedy = f"its whole log: sagemaker-semseg jobs logs {self.name}"
        return JobFailed(
            f"The {self.store.what} {self.name} has failed: {state.failure}",
            [Fault(str(log), "has what it printed", remedy)],
        )

    def _follow(self, logs: bool) -> None:
        if not logs:
            for _ in self.logs(follow=True):
                pass
            return
        with progress_bar(self.store.what) as update:
            for line in self.logs(follow=True):
                print(line, flush=True)
                if found := _DONE.search(line):
                    update(float(found[1]), 100)

    def _interrupted(self, logs: bool) -> None:
        """After Ctrl-C: stop a job that ends with this process; a second Ctrl-C kills it."""
        if not self.attached:
            message = f"{self.name} continues. Stop it with: sagemaker-semseg jobs stop {self.name}"
            print(message, file=sys.stderr, flush=True)
            return
        message = f"stopping {self.name}; it keeps the model so far. Ctrl-C once more ends it at once."
        print(message, file=sys.stderr, flush=True)
        try:
            self.stop()
            self._follow(logs)
        except KeyboardInterrupt:
            self.kill()
            self._follow(logs=False)
        if output := self.record.output:
            print(f"the model so far: {output}", file=sys.stderr, flush=True)

    def release(self) -> None:
        """Wait for the supervisor of a job that has ended; its record is written shortly before."""
        if self.process is not None and self.record.status in ENDED:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
        _forget_ended()


def _lines(file: TextIO, *, last: bool) -> Iterator[str]:
    """The lines that are there now. One without an end is being written and left for later, unless it is the last."""
    while True:
        at = file.tell()
        line = file.readline()
        if not line or not (line.endswith("\n") or last):
            file.seek(at)
            return
        yield line.rstrip("\r\n")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
