"""A training in a process of its own: signals reach it, and however it ends, output/failure says why."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sagemaker_semseg.container.launcher import launch
from sagemaker_semseg.errors import AlgorithmError, UserError
from sagemaker_semseg.sdk.local.process_identity import Process

ROOT = Path(__file__).resolve().parents[2]

TRAINS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *of: sys.exit(7))
pathlib.Path({folder!r}, "running").touch()
time.sleep(300)
"""
LOADS = TRAINS.replace("signal.signal(signal.SIGTERM, lambda *of: sys.exit(7))", "")


def job(code):
    return (sys.executable, "-c", code)


def send(number, folder):
    """Send this process a signal as soon as the job runs."""

    def wait():
        end = time.monotonic() + 120
        while not (folder / "running").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_status_is_the_job_s(tmp_path, status):
    code = f"import sys; assert sys.argv[1:] == ['--verbose']; sys.exit({status})"
    assert launch(tmp_path, verbose=True, command=job(code)) == status
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
        launch(tmp_path, command=job(code))
    assert (tmp_path / "output" / "failure").read_text().startswith(expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_handed_on(tmp_path, number):
    before = signal.getsignal(number)
    sender = send(number, tmp_path)
    assert launch(tmp_path, command=job(TRAINS.format(folder=str(tmp_path)))) == 7
    sender.join()
    assert signal.getsignal(number) is before


def test_a_stop_before_the_training_is_no_failure(tmp_path, capsys):
    sender = send(signal.SIGTERM, tmp_path)
    assert launch(tmp_path, command=job(LOADS.format(folder=str(tmp_path)))) == 0
    sender.join()
    assert "stopped before the training had begun" in capsys.readouterr().out
    assert not (tmp_path / "output").exists()


ORPHAN = """
import os, sys, threading, time
from pathlib import Path
from sagemaker_semseg.container.launcher import launch
folder = Path(sys.argv[1])
training = "import os, sys, time, pathlib, sagemaker_semseg.signals as s; s.watch_parent()\\n"
training += f"pathlib.Path({str(folder / 'pid')!r}).write_text(str(os.getpid())); time.sleep(300)"

def end():
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        time.sleep(0.01)
    os.kill(os.getpid(), 9)

threading.Thread(target=end).start()
launch(folder, command=(sys.executable, "-c", training))
"""


def test_a_training_ends_with_the_launcher(tmp_path):
    done = subprocess.run([sys.executable, "-c", ORPHAN, str(tmp_path)], check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    end = time.monotonic() + 120
    while Process.of(int((tmp_path / "pid").read_text())) and time.monotonic() < end:
        time.sleep(0.02)
    assert Process.of(int((tmp_path / "pid").read_text())) is None
