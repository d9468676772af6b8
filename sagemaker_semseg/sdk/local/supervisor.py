"""The process that sees a job to its end: the job's folder comes in as its only argument; what came of the job stands
in the record when it ends. ``jobs`` starts it as ``python -m sagemaker_semseg.sdk.local.supervisor``.

The job itself is a process of its own, whose output goes to the log. It is told to stop (SIGTERM, and SIGKILL two
minutes later, as SageMaker does) when this process is (SIGTERM), when its time is over, and, if whoever started it
waits for it, when that one is gone: standard input is then a pipe that nobody writes to, and its end says so.
Afterwards nothing of the job runs any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from sagemaker_semseg.environment import job_variables
from sagemaker_semseg.errors import SemSegError
from sagemaker_semseg.sdk.local import job_directory
from sagemaker_semseg.sdk.local.job_store import JobStore, Kind, now
from sagemaker_semseg.sdk.local.process_identity import Process

STOP_SECONDS = 120.0
"""Between asking a job to stop and killing it: SageMaker's."""

_LOOK_SECONDS = 0.1
_WAYS_TO_STOP = (-signal.SIGTERM, -signal.SIGKILL, 130, 143)
_PR_SET_PDEATHSIG = 1


class Supervisor:
    """registry, name: the job's. stop_reason: why it was told to stop; empty as long as it wasn't."""

    def __init__(self, registry: JobStore, name: str, keeper: int | None):
        self.registry, self.name = registry, name
        self.folder = registry.folder(name)
        self.stop_reason = ""
        self._keeper = keeper

    def run(
        self,
        command: Sequence[str],
        variables: dict[str, str],
        seconds: float = float("inf"),
        check: Callable[[], None] = lambda: None,
    ) -> int:
        """Run the job's process to its end, or stop it; returns its exit status as ``subprocess`` has it.

        check: is called again and again; what it raises ends the job at once.
        """
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=variables, preexec_fn=_in_own_group()) as process:
            self.registry.update(self.name, more={**self._more(), "job": _identity(process.pid)})
            deadline, kill_at = time.monotonic() + seconds, float("inf")
            try:
                while process.poll() is None:
                    check()
                    if not self.stop_reason and self._keeper_is_gone():
                        self.stop_reason = "the process that waited for it has ended"
                    if not self.stop_reason and time.monotonic() > deadline:
                        self.stop_reason = f"MaxRuntimeExceeded: it has run for {seconds:g} seconds"
                    if self.stop_reason and kill_at == float("inf"):
                        self.registry.update(self.name, status="Stopping")
                        kill_at = time.monotonic() + STOP_SECONDS
                        process.send_signal(signal.SIGTERM)
                    if time.monotonic() > kill_at:
                        process.kill()
                    time.sleep(_LOOK_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # whatever it has left behind
        return process.returncode

    def stop(self, number: int, frame: Any) -> None:
        self.stop_reason = self.stop_reason or "it was told to stop"

    def finish(self, status: int, output: str | None) -> None:
        """Write the end into the record."""
        if status == 0 or (self.stop_reason and status in _WAYS_TO_STOP):
            end, failure = ("Stopped", self.stop_reason) if self.stop_reason else ("Completed", "")
        else:
            end, failure = "Failed", job_directory.failure_of(self.folder / "ml") or self._last_words(status)
        self.registry.update(self.name, status=end, failure=failure, ended=now(), output=output)

    def _last_words(self, status: int) -> str:
        how = f"exit status {status}"
        if status < 0:
            with contextlib.suppress(ValueError):
                how = f"killed by {signal.Signals(-status).name}"
            if status == -signal.SIGKILL:
                how += "; the machine may have run out of memory"
        with contextlib.suppress(OSError), open(self.folder / "log", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
            return "\n".join([how, *lines[-10:]])
        return how

    def _keeper_is_gone(self) -> bool:
        if self._keeper is None or not select.select([self._keeper], [], [], 0)[0]:
            return False
        return not os.read(self._keeper, 4096)

    def _more(self) -> dict[str, Any]:
        return dict(self.registry.get(self.name).more)


def main(arguments: Sequence[str]) -> int:
    """arguments: the kind, the name, and "kept" if standard input tells whether somebody waits."""
    kind, name, keeping = arguments
    registry = JobStore(kind)  # type: ignore[arg-type]  # ``jobs`` gives one
    supervisor = Supervisor(registry, name, sys.stdin.fileno() if keeping == "kept" else None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, supervisor.stop)
    registry.update(name, process=Process.this(), started=now())
    work: dict[Kind, Callable[[Supervisor], None]] = {
        "training": _train,
        "transforms": _rest,
        "tuning": _tune,
        "endpoints": _rest,
    }
    try:
        work[registry.kind](supervisor)
    except BaseException as error:
        told = error if isinstance(error, SemSegError) else None
        failure = f"{told.prefix}: {told}" if told else f"AlgorithmError: {type(error).__name__}: {error}"
        registry.update(name, status="Failed", failure=failure, ended=now())
        if told is None:
            raise
        print(failure, flush=True)
        return 1
    return 0


def _train(supervisor: Supervisor) -> None:
    from sagemaker_semseg.sdk.local.outputs import deliver
    from sagemaker_semseg.sdk.local.pipe_inputs import piped

    record = supervisor.registry.get(supervisor.name)
    base = supervisor.folder / "ml"
    variables = job_variables({"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": supervisor.name})
    if record.spec["instance_type"] == "local":
        variables["CUDA_VISIBLE_DEVICES"] = "-1"
    with piped(base, record) as check:
        status = supervisor.run(record.more["command"], variables, record.spec["max_run"], check)
    model = deliver(base, record.more["place"])
    print(f"model artifact: {model or 'none'}", flush=True)
    supervisor.finish(status, model)


def _tune(supervisor: Supervisor) -> None:
    """Its output is the best model."""
    from sagemaker_semseg.sdk.local.study import Study

    record = supervisor.registry.get(supervisor.name)
    seconds = record.spec.get("max_runtime_in_seconds") or float("inf")
    status = supervisor.run(record.more["command"], job_variables({}), seconds)
    best = Study(supervisor.folder).best(maximize=record.spec["objective_type"] == "Maximize")
    training = JobStore("training").read(best.job) if best else None
    supervisor.finish(status, training.output if training else None)


def _rest(supervisor: Supervisor) -> None:
    """A transform, which writes its results itself, or an endpoint."""
    record = supervisor.registry.get(supervisor.name)
    status = supervisor.run(record.more["command"], job_variables({}))
    supervisor.finish(status, record.output)


def _identity(pid: int) -> Any:
    found = Process.of(pid)
    return found.to_dict() if found else None


def _in_own_group() -> Callable[[], None]:
    """What the job's process does first: become the leader of a group, and ask to be told when this process dies."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def begin() -> None:
        os.setpgid(0, 0)
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return begin


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
