"""Runs a training as several hosts of this machine: processes that find each other by torchrun's variables.

python -m sagemaker_semseg.container.launch_hosts 2 COMMAND...     # of a job: with its failure file
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from sagemaker_semseg.container.launcher import death_error
from sagemaker_semseg.container.outputs import write_failure_file
from sagemaker_semseg.environment import base_folder, variables_of_host
from sagemaker_semseg.signals import catch_signals, watch_parent
from sagemaker_semseg.training.rendezvous import free_port

GRACE_SECONDS = 30.0
"""For the other hosts to end when the chief has ended or one has failed; then they are killed."""

_POLL_SECONDS = 0.1
_STATUSES_OF_A_STOP = (-signal.SIGTERM, -signal.SIGINT, 130)


class LocalHosts:
    """The processes of one training.

    Attributes:
        processes: By rank; 0 is the chief, whose output is shown.
        failed: Which one has failed first, None if none has.
        stopped: Whether they were sent a signal.
    """

    def __init__(self, command: Sequence[str], count: int, *, own_sessions: bool):
        self.failed: int | None = None
        self.stopped = False
        self.processes: list[subprocess.Popen[bytes]] = []
        port = free_port()
        with contextlib.ExitStack() as stack:
            self._errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
            for rank, errors in enumerate(self._errors):
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,  # which the process watches, to end when this one does
                    stdout=None if rank == 0 else subprocess.DEVNULL,
                    stderr=None if rank == 0 else errors,
                    env=variables_of_host(rank, count, port),
                    start_new_session=own_sessions,
                )
                self.processes.append(stack.enter_context(process))
                stack.callback(process.kill)
            self._stack = stack.pop_all()

    def stop(self, number: int) -> None:
        """Stop all with a signal."""
        self.stopped = True
        self.send(number)

    def send(self, number: int) -> None:
        """Send a signal to all that run."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def wait(self) -> int:
        """Wait until all have ended; returns the chief's exit status as ``subprocess`` has it."""
        kill_at = float("inf")
        with self._stack:
            while None in (statuses := [process.poll() for process in self.processes]):
                if self.failed is None:
                    self.failed = self._first_failure(statuses)
                if statuses[0] is not None or any(statuses):  # a chief may have more to do than the others
                    kill_at = min(kill_at, time.monotonic() + GRACE_SECONDS)
                if time.monotonic() > kill_at:
                    self.send(signal.SIGKILL)
                time.sleep(_POLL_SECONDS)
            if self.failed is None:
                self.failed = self._first_failure(statuses)
            if self.failed:
                _show(self.failed, self.processes[self.failed].returncode, self._errors[self.failed])
        return self.processes[0].returncode

    def _first_failure(self, statuses: Sequence[int | None]) -> int | None:
        fine = (None, 0, *(_STATUSES_OF_A_STOP if self.stopped else ()))
        return next((rank for rank, status in enumerate(statuses) if status not in fine), None)


def launch_hosts(command: Sequence[str], count: int, *, own_sessions: bool = True) -> LocalHosts:
    """Run a command as ``count`` hosts to its end. SIGTERM and Ctrl-C are passed on.

    What the first host to fail has written to standard error is shown, if it isn't the chief, whose output always is.

    Args:
        command: A program that calls ``watch_parent`` and trains.
        count: The number of processes.
        own_sessions: Whether each has a session of its own, so that a terminal's Ctrl-C comes once, not twice. Without,
            who kills the process group of this process kills them, too.
    """
    hosts: list[LocalHosts] = []

    def pass_on(number: int) -> None:
        for each in hosts:
            each.stop(number)

    with catch_signals(callback=pass_on) as stop:
        hosts.append(LocalHosts(command, count, own_sessions=own_sessions))
        if stop.signal:  # it came while they were started
            hosts[0].stop(stop.signal)
        hosts[0].wait()
    return hosts[0]


def _show(rank: int, status: int, errors: IO[bytes]) -> None:
    errors.seek(0)
    text = errors.read().decode("utf-8", "replace").strip()
    if status < 0:
        text = f"{text}\n{death_error(-status)}".strip()
    print(f"host {rank} has failed first:\n{text}", file=sys.stderr, flush=True)


def main(count: int, command: Sequence[str]) -> int:
    """Run the training of a job as ``count`` hosts. The failure file is about the host that was killed."""
    watch_parent()
    hosts = launch_hosts(command, count, own_sessions=False)
    if hosts.failed is not None and (status := hosts.processes[hosts.failed].returncode) < 0:
        write_failure_file(base_folder(), death_error(-status))
    return exit_status(hosts.processes[0].returncode)


def exit_status(status: int) -> int:
    """Return the exit status, as a shell has it, for one of ``subprocess``."""
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
