"""Starts the training of a container in a process of its own, and writes the failure file if that is killed.

The process that SageMaker starts stays small. It is there to say why the training ended when a library crashed or
memory ran out, and it passes SIGTERM on, which the first process of a container doesn't get without a handler.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from sagemaker_semseg.container.outputs import write_failure_file
from sagemaker_semseg.errors import AlgorithmError, HostLostError, SemSegError, UserError
from sagemaker_semseg.signals import catch_signals

TRAINING = (sys.executable, "-X", "faulthandler", "-m", "sagemaker_semseg.container.train")
"""The command of the process that trains, in the folder SAGEMAKER_BASE_DIR."""


def launch(base: Path, *, verbose: bool = False, command: tuple[str, ...] = TRAINING) -> int:
    """Run the training of this process's base folder, ``base``; returns its exit status.

    SIGTERM and Ctrl-C are passed on, as SIGTERM. command: another one, for tests.

    Raises:
        UserError, AlgorithmError: A signal that didn't come from here has ended the training; the failure file says so.
    """
    processes: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int) -> None:
        for process in processes:
            process.terminate()

    arguments = [*command, *["--verbose"] * verbose]
    # the training reads standard input to notice the end of this process
    with catch_signals(callback=pass_on) as stop, subprocess.Popen(arguments, stdin=subprocess.PIPE) as process:
        processes.append(process)
        if stop.is_set():  # the signal came before the process was there
            process.terminate()
        status = process.wait()
    if status >= 0:
        return status
    if stop.is_set() and status == -signal.SIGTERM:
        print("stopped before the training had begun", flush=True)
        return 0
    error = death_error(-status)
    write_failure_file(base, error)
    raise error


def death_error(number: int) -> SemSegError:
    """The error for a training that a signal has ended."""
    if number == signal.SIGKILL:
        remedy = "lower mini_batch_size, validation_mini_batch_size or crop_size, set recompute, "
        remedy += "or take a larger instance"
        return UserError(f"the training was killed (SIGKILL), most likely because memory ran out: {remedy}")
    if number == signal.SIGALRM:
        remedy = "see why in its log, and start the training again on all hosts"
        return HostLostError(f"another host was lost while TensorFlow started on all of them: {remedy}")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return AlgorithmError(f"the training has crashed ({name}) in a library; please report it with the end of the log")
