"""A job on this machine: its kind and name come in; its state, its log and its end go out. ``LocalBackend`` starts and
finds them, the command ``jobs`` shows them.

A job that was started with ``keep`` ends when this process does: the supervisor holds the other end of a pipe of this
process. Any other goes on by itself, and any process of the same user can find it.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from signal import SIGKILL, SIGTERM
from typing import TextIO, cast

from sagemaker_semseg.environment import job_variables
from sagemaker_semseg.errors import Fault
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore, Kind
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.sdk.local.progress import bar
from sagemaker_semseg.sdk.local.specs import spec_of
from sagemaker_semseg.sdk.specs import ENDED, JobFailed, State, Status

LOOK_SECONDS = 0.1

STOP_SECONDS = 150.0
"""A job has two minutes to end when it is asked to; the rest is for its supervisor."""

_DONE = re.compile(next(each["Regex"] for each in METRIC_DEFINITIONS if each["Name"] == "train:progress"))

_started: list[subprocess.Popen[bytes]] = []


def start(kind: Kind, record: JobRecord, *, keep: bool, variables: dict[str, str]) -> LocalJob:
    """Start the supervisor of a job whose record is written. variables: for the job, beside this process's."""
    job = LocalJob(kind, record.name)
    arguments = [sys.executable, "-m", "sagemaker_semseg.sdk.local.supervisor"]
    arguments += [kind, record.name, "kept" if keep else "detached"]
    with open(job.registry.folder(record.name) / "log", "ab") as log:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE if keep else subprocess.DEVNULL,
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
    """The system keeps what is left of a child until its parent has looked at it."""
    for process in [process for process in _started if process.poll() is not None]:
        _started.remove(process)
        if process.stdin:
            process.stdin.close()


class LocalJob:
    """process: the supervisor, if this process has started it and is to see it end."""

    def __init__(self, kind: Kind, name: str):
        self.name = name
        self.registry = JobStore(kind)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def kept(self) -> bool:
        return self.process is not None and self.process.stdin is not None

    @property
    def record(self) -> JobRecord:
        if self.process is not None:
            self.process.poll()  # so that an ended one counts as such
        return self.registry.get(self.name)

    def state(self) -> State:
        record = self.record
        times = {name: _time(getattr(record, name)) for name in ("created", "started", "ended")}
        status = cast(Status, record.status)
        spec = spec_of(self.registry.kind, record.spec)
        return State(self.name, status, record.failure, record.output, **times, spec=spec)

    def stop(self) -> None:
        record = self.record
        if record.status not in ENDED and record.process:
            record.process.send(SIGTERM)

    def kill(self) -> None:
        """End it at once; what it was about to write is lost. Its supervisor still writes down the end."""
        self.stop()
        if job := Process.read(self.record.more.get("job")):
            job.send_group(SIGKILL)

    def delete(self) -> None:
        """Stop it, and forget it with its folder; what was delivered elsewhere stays."""
        process = self.record.process
        self.stop()
        if process and not process.await_end(STOP_SECONDS):
            self.kill()
            process.await_end(STOP_SECONDS)
        self.let_go()
        self.registry.remove(self.name)

    def logs(self, *, follow: bool) -> Iterator[str]:
        folder = self.registry.folder(self.name)
        self.registry.get(self.name)
        with open(folder / "log", encoding="utf-8", errors="replace", newline="\n") as file:
            while True:
                ended = not follow or self.record.status in ENDED  # looked at first: then nothing is written any more
                yield from _lines(file, last=ended)
                if ended:
                    return
                time.sleep(LOOK_SECONDS)

    def wait(self, *, logs: bool) -> State:
        try:
            self._follow(logs)
        except KeyboardInterrupt:
            self._interrupted(logs)
            raise
        finally:
            self.let_go()
        state = self.state()
        if state.status == "Failed":
            raise self.failed(state)
        if state.status == "Stopped" and state.failure:
            print(f"{self.name} was stopped: {state.failure}", file=sys.stderr, flush=True)
        return state

    def failed(self, state: State) -> JobFailed:
        log = self.registry.folder(self.name) / "log"
        remedy = f"its whole log: sagemaker-semseg jobs logs {self.name}"
        return JobFailed(
            f"The {self.registry.what} {self.name} has failed: {state.failure}",
            [Fault(str(log), "has what it printed", remedy)],
        )

    def _follow(self, logs: bool) -> None:
        if not logs:
            for _ in self.logs(follow=True):
                pass
            return
        with bar(self.registry.what) as move:
            for line in self.logs(follow=True):
                print(line, flush=True)
                if found := _DONE.search(line):
                    move(float(found[1]), 100)

    def _interrupted(self, logs: bool) -> None:
        """Ctrl-C came. It is asked to stop if it is to end with this process; another Ctrl-C doesn't wait for that."""
        if not self.kept:
            told = f"{self.name} goes on. Stop it with: sagemaker-semseg jobs stop {self.name}"
            print(told, file=sys.stderr, flush=True)
            return
        told = f"stopping {self.name}; it keeps the model so far. Ctrl-C once more ends it at once."
        print(told, file=sys.stderr, flush=True)
        try:
            self.stop()
            self._follow(logs)
        except KeyboardInterrupt:
            self.kill()
            self._follow(logs=False)
        if output := self.record.output:
            print(f"the model so far: {output}", file=sys.stderr, flush=True)

    def let_go(self) -> None:
        """Wait for the supervisor if its job has ended; its record is written shortly before."""
        if self.process is not None and self.record.status in ENDED:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
        _forget_ended()


def _lines(file: TextIO, *, last: bool) -> Iterator[str]:
    """The lines that are there now. One without an end is in the making and left for later, unless it is the last."""
    while True:
        at = file.tell()
        line = file.readline()
        if not line or not (line.endswith("\n") or last):
            file.seek(at)
            return
        yield line.rstrip("\r\n")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
