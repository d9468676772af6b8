"""The orchestrator's half of one lockstep worker: starts the process, lets it run a round, keeps it still in between.

Input: what to start. Output: versions when it is ready, then one `Round` per call.
`lockstep.py` is the other half. A worker that is not computing is stopped (SIGSTOP), so that threads which spin while
they wait cost the others nothing.
"""

import json
import os
import select
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


class WorkerFailed(Exception):
    """The worker did not start, died, or did not answer in time; the message is fit for the results file."""


@dataclass(frozen=True)
class Plan:
    name: str
    python: Path
    script: Path
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Round:
    """One round of one worker, seconds per training step."""

    wall: float
    cpu: float
    rss_peak_mb: float
    gpu_peak_mb: float = 0.0


class Worker:
    def __init__(self, plan: Plan, flags: list[str], environment: dict[str, str], timeout: float) -> None:
        """Starts the process on the caller's own cores. `environment` adds to the caller's; `timeout`: s per answer."""
        self.plan = plan
        self.timeout = timeout
        self.steps = int(flags[flags.index("--steps-per-round") + 1])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (close() closes it)
        command = [str(plan.python), str(plan.script), *flags, *plan.flags]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                env=os.environ | environment,
            )
        except OSError as error:
            raise WorkerFailed(f"its interpreter does not start ({error.strerror}): set up its environment") from error

    def wait_until_ready(self) -> dict[str, str]:
        """Waits for net and warm-up; returns versions."""
        versions = self._answer()["versions"]
        self._process.send_signal(signal.SIGSTOP)
        return versions

    def run_round(self) -> Round:
        self._tell("go")
        answer = self._answer()
        self._process.send_signal(signal.SIGSTOP)
        memory = answer["rss_peak_mb"], answer["gpu_peak_mb"]
        return Round(answer["wall"] / self.steps, answer["cpu"] / self.steps, *memory)

    def close(self) -> None:
        """Ends the process, politely at first; safe to call at any time, more than once."""
        if self._process.poll() is None:
            try:
                self._tell("stop")
                self._process.wait(timeout=20)
            except (WorkerFailed, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        self._errors.close()

    def _tell(self, line: str) -> None:
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise WorkerFailed(self._why_it_died()) from None

    def _answer(self) -> dict:
        if not select.select([self._process.stdout], [], [], self.timeout)[0]:
            raise WorkerFailed(f"no answer within {self.timeout:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(self._why_it_died())
        return json.loads(line)

    def _why_it_died(self) -> str:
        code = self._process.wait(timeout=60)
        if code < 0:
            return f"ended by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return f"exit status {code}: {lines[-1] if lines else 'no message'}"
