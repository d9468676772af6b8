"""``launch``: what it refuses; a training as two hosts of this machine."""

import contextlib
import os
import subprocess
import sys

import pytest

from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.training.rendezvous import free_port


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--hosts", "1", "train"], "--hosts: is 1 (give 2 or more, or leave out launch)"),
        (["--hosts", "2"], "nothing can't be launched (give train and its flags after --hosts N)"),
        (["--hosts", "2", "evaluate", "out"], "evaluate can't be launched"),
        (["--host", "2", "train"], "--hosts"),
    ],
)
def test_what_is_refused(arguments, expected, capsys):
    assert main(["launch", *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_a_host_that_is_none_is_reported_with_all_else(monkeypatch, capsys):
    for name, value in {"MASTER_ADDR": "a", "MASTER_PORT": "1", "RANK": "7", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "--data", "/none", "--output", "/tmp/x", "--num-classes", "2"]) == 2
    error = capsys.readouterr().err
    assert "RANK counts from 0 to WORLD_SIZE - 1" in error
    assert "/none: no such folder" in error


def test_a_fault_of_the_training_is_shown(tmp_path):
    """Both hosts find it before they meet; the chief's message is shown, and its exit status returned."""
    command = [sys.executable, "-m", "sagemaker_semseg", "launch", "--hosts", "2", "train", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("num_classes: is missing") >= 1


@pytest.mark.slow
def test_two_hosts_train(data, settings, tmp_path):
    flags = ["--data", str(data), "--output", str(tmp_path / "out"), *settings, "--epochs", "1"]
    command = [sys.executable, "-m", "sagemaker_semseg", "launch", "--hosts", "2", "train", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert ", on each of 2 hosts" in done.stdout
    assert done.stdout.count("validation mIOU <score>=") == 1
    assert (tmp_path / "out" / "report.html").is_file()
    assert read_artifact(tmp_path / "out" / "model.tar.gz").metrics["best_epoch"] == 0


@pytest.mark.slow
def test_two_processes_with_the_variables_of_torchrun_train(data, settings, tmp_path):
    """The chief alone writes and prints; with ``--precision auto`` its choice is that of both."""
    port = str(free_port())
    flags = ["--data", str(data), *settings, "--epochs", "1", "--precision", "auto"]
    with contextlib.ExitStack() as stack:
        processes = []
        for rank in ("0", "1"):
            variables = {
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "RANK": rank, "LOCAL_RANK": "0",
                "GROUP_RANK": rank, "ROLE_RANK": rank, "ROLE_NAME": "default", "LOCAL_WORLD_SIZE": "1",
                "GROUP_WORLD_SIZE": "2", "ROLE_WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "0",
                "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_RUN_ID": "none", "OMP_NUM_THREADS": "1",
                "TORCHELASTIC_USE_AGENT_STORE": "True",
            }  # fmt: skip
            process = subprocess.Popen(
                [sys.executable, "-m", "sagemaker_semseg", "train", *flags, "--output", str(tmp_path / rank)],
                env={**os.environ, **variables}, stdin=subprocess.DEVNULL, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        texts = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], texts
    assert "chosen by measurement" in texts[0]
    assert "mIOU" not in texts[1]
    artifact = read_artifact(tmp_path / "0" / "model.tar.gz")
    assert artifact.metrics["best_epoch"] == 0
    assert artifact.hyperparameters["precision"] != "auto"
    assert not (tmp_path / "1" / "model.tar.gz").exists()
