"""A job in a process of its own: SageMaker's tree comes in, the exit status goes out. ``train`` without flags calls it.

The process that SageMaker starts stays small and sees to the one that trains. So somebody is left to say why it ended
when a library crashes or memory runs out; and SIGTERM is heard from the first moment, which the first process of a
container wouldn't get without a handler.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from sagemaker_semseg.cli import container
from sagemaker_semseg.errors import AlgorithmError, SemSegError, UserError

_PROGRAM = (sys.executable, "-X", "faulthandler", "-m", "sagemaker_semseg", "train")


def run(base: Path, *, verbose: bool = False, program: tuple[str, ...] = _PROGRAM) -> int:
    """Do the job in ``base``; returns its exit status. program: another one than this; for tests.

    SIGTERM and Ctrl-C are handed on, as SIGTERM. Raises ``UserError`` or ``AlgorithmError`` if a signal has ended the
    job that nobody here has sent, after writing output/failure.
    """
    told = []
    process: subprocess.Popen[bytes] | None = None

    def hand_on(number: int, frame: Any) -> None:
        told.append(number)
        if process:
            process.terminate()

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with subprocess.Popen([*program, "--job", str(base), *["--verbose"] * verbose]) as process:
            if told:  # before there was anybody to tell
                process.terminate()
            status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status >= 0:
        return status
    if told and status == -signal.SIGTERM:
        print("stopped before the training had begun", flush=True)
        return 0
    error = _death(-status)
    container.tell(base, error)
    raise error


def _death(number: int) -> SemSegError:
    if number == signal.SIGKILL:
        remedy = "lower mini_batch_size, validation_mini_batch_size or crop_size, or take a larger instance"
        return UserError(f"the training was killed (SIGKILL), most likely because memory ran out: {remedy}")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return AlgorithmError(f"the training has crashed ({name}) in a library; please report it with the end of the log")
