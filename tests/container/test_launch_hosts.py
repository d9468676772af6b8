"""Hosts of one machine: whose exit status and output count, signals, and that all end when one has ended."""

import os
import signal
import sys

import pytest

from sagemaker_semseg.container import launch_hosts as module
from sagemaker_semseg.container.launch_hosts import exit_status, launch_hosts, main
from tests.container.test_launcher import send

HOST = "import os, pathlib, signal, sys, time; rank = int(os.environ['RANK']); "


def command(code):
    return [sys.executable, "-c", HOST + code]


def test_the_status_is_the_chiefs_and_each_host_knows_who_it_is(capfd):
    hosts = launch_hosts(command("print(*map(os.environ.get, ('RANK', 'WORLD_SIZE', 'MASTER_ADDR'))); sys.exit(0)"), 3)
    assert [process.returncode for process in hosts.processes] == [0, 0, 0]
    assert hosts.failed is None
    assert capfd.readouterr().out == "0 3 127.0.0.1\n"  # the chief's alone
    hosts = launch_hosts(command("sys.exit(3 if rank == 0 else 0)"), 2)
    assert hosts.processes[0].returncode == 3
    assert (exit_status(3), exit_status(-9)) == (3, 137)


def test_who_fails_first_is_shown(capfd):
    """The chief fails because of it."""
    code = "rank or (time.sleep(3), sys.exit(2)); print('the disk is full', file=sys.stderr); sys.exit(5)"
    hosts = launch_hosts(command(code), 2)
    assert (hosts.failed, hosts.processes[0].returncode) == (1, 2)
    assert "host 1 has failed first:\nthe disk is full" in capfd.readouterr().err


def test_a_host_that_ends_ends_the_others(monkeypatch, capfd):
    """Even one that hears no signal. The failure file says what has happened to the first."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); rank or time.sleep(300); os.kill(os.getpid(), 9)"
    hosts = launch_hosts(command(code), 2)
    assert (hosts.failed, hosts.processes[0].returncode) == (1, -signal.SIGKILL)
    assert "host 1 has failed first:\nthe training was killed (SIGKILL)" in capfd.readouterr().err


def test_the_failure_file_of_a_job_tells_of_the_host_that_was_killed(monkeypatch, tmp_path):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(module, "watch_parent", lambda: None)
    assert main(2, command("rank or time.sleep(300); os.kill(os.getpid(), 9)")) == 137
    assert "the training was killed (SIGKILL)" in (tmp_path / "output" / "failure").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on_to_all(tmp_path, number):
    code = f"""
folder = pathlib.Path({str(tmp_path)!r})
def end(number, frame):
    (folder / f"ended-{{rank}}").touch()
    sys.exit(0)
signal.signal({int(number)}, end)
(folder / f"ready-{{rank}}").touch()
while len(list(folder.glob("ready-*"))) < 2:
    time.sleep(0.01)
(folder / "running").touch()
time.sleep(300)
"""
    sender = send(number, tmp_path)
    hosts = launch_hosts([sys.executable, "-c", HOST.replace("; rank", "\nrank").rstrip("; ") + code], 2)
    sender.join()
    assert [process.returncode for process in hosts.processes] == [0, 0]
    assert hosts.failed is None
    assert {path.name for path in tmp_path.glob("ended-*")} == {"ended-0", "ended-1"}


def test_no_host_outlives_a_launch_that_fails(monkeypatch, tmp_path):
    """The second can't be started."""
    started, popen = [], module.subprocess.Popen

    def start(*arguments, **more):
        if started:
            raise OSError("no more processes")
        started.append(popen(*arguments, **more))
        return started[0]

    monkeypatch.setattr(module.subprocess, "Popen", start)
    with pytest.raises(OSError, match="no more processes"):
        launch_hosts(command("time.sleep(300)"), 2)
    assert started[0].returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)
