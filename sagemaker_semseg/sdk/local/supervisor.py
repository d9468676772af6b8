"""The process that runs a job on this machine and writes down how it ends.

The job is a process of its own, whose output goes to the log. It is asked to stop with SIGTERM, and killed two minutes
later, as SageMaker does: if this process is asked to, if the job's time is over, and, if a process waits for the job,
if that process ends. It reads a pipe of this process, so it notices this process's end. Afterwards nothing of it runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sagemaker_semseg.container.job_directory import TENSORBOARD
from sagemaker_semseg.container.launcher import death_error
from sagemaker_semseg.container.outputs import pack_folder, read_failure_file, reports_folder, write_failure_file
from sagemaker_semseg.errors import SemSegError
from sagemaker_semseg.sdk.local.job_store import JobStore, Kind, now
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.signals import catch_signals, watch_parent
from sagemaker_semseg.storage import copy_files, filesystem_at, is_s3

STOP_SECONDS = 120.0
"""Between asking a job to stop and killing it: SageMaker's."""

_POLL_SECONDS = 0.1
_STATUSES_OF_A_STOP = (0, -signal.SIGTERM, -signal.SIGKILL, 130, 143)


class Supervisor:
    """Runs the job of a record. stop_reason: why it was asked to stop; empty if it wasn't."""

    def __init__(self, store: JobStore, name: str):
        self.store, self.name, self.folder = store, name, store.folder(name)
        self.stop_reason = ""

    def request_stop(self, reason: str) -> None:
        """Stop the job soon. The first reason counts."""
        self.stop_reason = self.stop_reason or reason

    def run(self, seconds: float | None = None, check: Callable[[], None] = lambda: None) -> int:
        """Run the job's process to its end, or stop it; returns its exit status as ``subprocess`` has it.

        seconds: its time. check: is called again and again; what it raises ends the job at once.
        """
        more = self.store.get(self.name).more
        with subprocess.Popen(more["command"], stdin=subprocess.PIPE, start_new_session=True) as process:
            job = Process.of(process.pid)
            self.store.update(self.name, more={**more, "job": job.to_dict() if job else None})
            end, kill_at = time.monotonic() + (seconds or float("inf")), float("inf")
            try:
                while process.poll() is None:
                    check()
                    if time.monotonic() > end:
                        self.request_stop(f"MaxRuntimeExceeded: it has run for {seconds:g} seconds")
                    if self.stop_reason and kill_at == float("inf"):
                        self.store.update(self.name, status="Stopping")
                        kill_at = time.monotonic() + STOP_SECONDS
                        process.terminate()
                    if time.monotonic() > kill_at:
                        process.kill()
                    time.sleep(_POLL_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # whatever it has left behind
        return process.returncode

    def finish(self, status: int, output: str | None) -> None:
        """Write the end into the record."""
        if status == 0 or (self.stop_reason and status in _STATUSES_OF_A_STOP):
            end, failure = ("Stopped", self.stop_reason) if self.stop_reason else ("Completed", "")
        else:
            end, failure = "Failed", read_failure_file(self.folder / "ml") or self._log_tail(status)
        self.store.update(self.name, status=end, failure=failure, ended=now(), output=output)

    def _log_tail(self, status: int) -> str:
        """How the job has ended, and the last lines that it has printed."""
        ending = f"exit status {status}"
        if status < 0:
            with contextlib.suppress(ValueError):
                ending = f"killed by {signal.Signals(-status).name}"
            if status == -signal.SIGKILL:
                ending += "; the machine may have run out of memory"
        with contextlib.suppress(OSError), open(self.folder / "log", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
            return "\n".join([ending, *lines[-10:]])
        return ending


def main(kind: str, name: str) -> int:
    """Run the job of this kind and name."""
    supervisor = Supervisor(JobStore(cast(Kind, kind)), name)
    watch_parent(lambda: supervisor.request_stop("the process that waited for it has ended"))
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with catch_signals(numbers, lambda number: supervisor.request_stop("it was asked to stop")):
        supervisor.store.update(name, process=Process.this(), started=now())
        try:
            {"training": _train, "tuning": _tune}.get(kind, _run)(supervisor)
        except BaseException as error:
            known = error if isinstance(error, SemSegError) else None
            failure = f"{known.prefix}: {known}" if known else f"AlgorithmError: {type(error).__name__}: {error}"
            supervisor.store.update(name, status="Failed", failure=failure, ended=now())
            if not known:
                raise
            print(failure, flush=True)
            return 1
    return 0


def _train(supervisor: Supervisor) -> None:
    from sagemaker_semseg.sdk.local.pipe_inputs import pipe_writer

    record, base = supervisor.store.get(supervisor.name), supervisor.folder / "ml"
    with pipe_writer(base / "input" / "data", record) as writer:
        status = supervisor.run(record.spec["max_run"], writer.check)
    if status == -signal.SIGTERM and supervisor.stop_reason:
        print("stopped before the training had begun", flush=True)
    elif status < 0 and not supervisor.stop_reason:
        error = death_error(-status)
        print(error, flush=True)
        write_failure_file(base, error)
    model = deliver(base, record.more["place"])
    print(f"model artifact: {model or 'none'}", flush=True)
    for name, folder in (("checkpoints", base / "checkpoints"), ("tensorboard", base / TENSORBOARD)):
        if place := record.more.get(name):
            try:
                copy_files(filesystem_at(str(folder)), filesystem_at(place))
            except (SemSegError, OSError) as error:  # the model is there: the job hasn't failed for that
                print(f"{name} can't be copied to {place}: {error}", flush=True)
    supervisor.finish(status, model)


def _tune(supervisor: Supervisor) -> None:
    """A tuning. Its output is the best model."""
    from sagemaker_semseg.sdk.local.tuning import best_model

    status = supervisor.run(supervisor.store.get(supervisor.name).spec.get("max_runtime_in_seconds"))
    supervisor.finish(status, best_model(supervisor.name))


def _run(supervisor: Supervisor) -> None:
    """A transform, which writes its results itself, or an endpoint."""
    supervisor.finish(supervisor.run(), supervisor.store.get(supervisor.name).output)


def deliver(base: Path, place: str) -> str | None:
    """Write model.tar.gz and output.tar.gz of a training to ``place``, as SageMaker does, also after a stop.

    Returns where the model is, None if there is none. Raises ``UserError`` or ``OSError`` if they can't be written;
    everything is still in ``base`` then.
    """
    model = None
    for folder, name in ((reports_folder(base), "output.tar.gz"), (base / "model", "model.tar.gz")):
        if not is_s3(place):
            archive = Path(place, name)
            where = str(archive) if pack_folder(folder, archive) else None
        else:
            where = _upload(folder, place, name)
        model = where if name == "model.tar.gz" else None
    return model


def _upload(folder: Path, place: str, name: str) -> str | None:
    store = filesystem_at(place)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = Path(temporary, name)
        if not pack_folder(folder, archive):
            return None
        store.write(name, [archive.read_bytes()], "application/x-tar")
    return store.where(name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
