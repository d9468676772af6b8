"""A job in a process of its own: signals reach it, and however it ends, output/failure says why."""

import os
import signal
import sys
import threading
import time

import pytest

from sagemaker_semseg.cli import guard
from sagemaker_semseg.errors import AlgorithmError, UserError

TRAINS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *of: sys.exit(7))
pathlib.Path(sys.argv[2], "running").touch()
time.sleep(30)
"""
LOADS = TRAINS.replace("signal.signal(signal.SIGTERM, lambda *of: sys.exit(7))", "")


def job(code):
    return (sys.executable, "-c", code)


def send(number, folder):
    """Send this process a signal as soon as the job runs."""

    def wait():
        end = time.monotonic() + 20
        while not (folder / "running").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_status_is_the_job_s(tmp_path, status):
    code = f"import sys; assert sys.argv[1:] == ['--job', {str(tmp_path)!r}, '--verbose']; sys.exit({status})"
    assert guard.run(tmp_path, verbose=True, program=job(code)) == status
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("number", "kind", "expected"),
    [
        (signal.SIGKILL, UserError, "ClientError: the training was killed (SIGKILL), most likely because memory ran"),
        (signal.SIGSEGV, AlgorithmError, "AlgorithmError: the training has crashed (SIGSEGV) in a library"),
        (signal.SIGTERM, AlgorithmError, "AlgorithmError: the training has crashed (SIGTERM)"),
    ],
)
def test_a_job_that_dies_leaves_a_reason(tmp_path, number, kind, expected):
    code = f"import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), {int(number)})"
    with pytest.raises(kind):
        guard.run(tmp_path, program=job(code))
    assert (tmp_path / "output" / "failure").read_text().startswith(expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_handed_on(tmp_path, number):
    before = signal.getsignal(number)
    sender = send(number, tmp_path)
    assert guard.run(tmp_path, program=job(TRAINS)) == 7
    sender.join()
    assert signal.getsignal(number) is before


def test_a_stop_before_the_training_is_no_failure(tmp_path, capsys):
    sender = send(signal.SIGTERM, tmp_path)
    assert guard.run(tmp_path, program=job(LOADS)) == 0
    sender.join()
    assert "stopped before the training had begun" in capsys.readouterr().out
    assert not (tmp_path / "output").exists()
