"""Trainings on several hosts, which are processes: the numbers of one host; one that dies; another number of them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.devices import multi_host_strategy
from tests.training.test_rendezvous import free_port

SCRIPT = Path(__file__).with_name("one_host.py")
SECONDS = 400  # until the processes are killed
VALUES = {"num_classes": 2, "backbone": "resnet-tiny", "use_pretrained_model": False, "crop_size": 32,
          "base_size": 48, "mini_batch_size": 4, "epochs": 2, "learning_rate": 0.01, "seed": 3,
          "syncbn": True, "ema_decay": 0.9}  # fmt: skip
LAUNCH = (
    "import sys; from sagemaker_semseg.container.launch_hosts import exit_status, launch_hosts;"
    "sys.exit(exit_status(launch_hosts(sys.argv[2:], int(sys.argv[1])).processes[0].returncode))"
)


@pytest.fixture(scope="session")
def data(tiny_channels):
    return tiny_channels.train.pairs[0].image.parents[1]


def command(data, output, **changes):
    return [sys.executable, str(SCRIPT), str(data), str(output), json.dumps({**VALUES, **changes})]


def train(data, output, hosts, **changes):
    """The result of a training on some hosts: its exit status is the chief's."""
    output.mkdir(exist_ok=True)
    launch = [sys.executable, "-c", LAUNCH, str(hosts)] if hosts > 1 else []
    whole = [*launch, *command(data, output, **changes)]
    return subprocess.run(whole, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL, capture_output=True)


def losses(output, rank=0):
    return json.loads((output / f"host-{rank}.json").read_text())


def agree(output, expected):
    """Losses and scores to 1e-10; the artifacts' weights, which are float32, to that."""
    one, other = (read_artifact(path / "model.tar.gz") for path in (output, expected))
    for row, wanted in zip(one.metrics["history"], other.metrics["history"], strict=True):
        for name in ("loss", "val_mIOU", "val_pixel_accuracy"):
            assert row[name] == pytest.approx(wanted[name], rel=1e-10), name
    for name, array in one.weights.items():
        np.testing.assert_allclose(array, other.weights[name], rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("alone")
    assert train(data, output, 1).returncode == 0
    return output


def test_a_host_dies_and_the_training_goes_on_with_another_number(data, alone, tmp_path):
    """All end within a minute, with the right words. Two hosts, then one give the numbers of one, in float64."""
    output, often = tmp_path / "out", {"checkpoint_minutes": 1e-6}
    result = train(data, output, 2, die_at=3, **often)
    errors = result.stderr.decode()
    assert result.returncode == 2, errors
    for words in ("This training has lost a host", "start it again on all hosts", "host 1 has failed first", "SIGKILL"):
        assert words in errors
    last, _ = checkpoint.paths(output / "checkpoints")
    assert checkpoint.read_state(last).step >= 2
    assert train(data, output, 1, **often).returncode == 0
    agree(output, alone)


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [2, 4])
def test_several_hosts_are_one(data, alone, tmp_path, hosts):
    result = train(data, tmp_path / "out", hosts)
    assert result.returncode == 0, result.stderr.decode()
    agree(tmp_path / "out", alone)
    for rank in range(hosts):
        np.testing.assert_allclose(losses(tmp_path / "out", rank), losses(alone), rtol=1e-10)


@pytest.mark.slow
def test_a_host_that_is_stopped_ends_all(data, tmp_path):
    """It doesn't answer, nor does it end by itself. TensorFlow finds it; the launcher kills it."""
    result = train(data, tmp_path / "out", 2, die_at=3, die_of=signal.SIGSTOP)
    errors = result.stderr.decode()
    assert result.returncode == 2, errors
    for words in ("This training has lost a host", "start it again on all hosts"):
        assert words in errors


@pytest.mark.slow
def test_a_stop_of_one_host_stops_all_after_the_same_step(data, alone, tmp_path):
    """As SageMaker stops a job, or a spot instance is taken back. Started again, it gives the numbers of one host."""
    output = tmp_path / "out"
    result = train(data, output, 2, die_at=1, die_of=signal.SIGTERM)
    assert result.returncode == 0, result.stderr.decode()
    last, _ = checkpoint.paths(output / "checkpoints")
    assert 1 <= checkpoint.read_state(last).step < 4  # of 2 epochs of 2 steps
    assert train(data, output, 2).returncode == 0
    agree(output, alone)


@pytest.mark.slow
def test_hosts_that_tf_config_names(data, alone, tmp_path):
    """The chief's port of TensorFlow is the one on which it waits for the others before."""
    places = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    tasks = [{"cluster": {"worker": places}, "task": {"type": "worker", "index": rank}} for rank in range(2)]
    with contextlib.ExitStack() as stack:
        processes = []
        for task in tasks:
            variables = {**os.environ, "TF_CONFIG": json.dumps(task)}
            process = subprocess.Popen(command(data, tmp_path), env=variables, stdin=subprocess.DEVNULL)
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        assert [process.wait(SECONDS) for process in processes] == [0, 0]
    agree(tmp_path, alone)


def test_a_process_that_has_used_tensorflow_cannot_join(two_replicas, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match="train in one that has not used TensorFlow yet"):
        multi_host_strategy(["127.0.0.1:1", "127.0.0.1:2"], 0)
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.alarm(0) == 0
