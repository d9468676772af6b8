"""Checkpoints: what is saved comes back; damaged files are refused and nothing else."""

import errno
import json
import os

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sagemaker_semseg.errors import DataError, explain
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.checkpoint import TrainingState

STATE = TrainingState({"class_names": "é"}, 7, step=5, loss_sum=1.5, rate_scale=0.5, history=[{"loss": 0.25}])
STATE.progress.update(0, 0.5, 0.0)


def make_pair(units=3):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, name="dense_x")])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(network.trainable_variables)
    return network, optimizer


@pytest.fixture
def saved(tmp_path):
    network, optimizer = make_pair()
    optimizer.apply([keras.ops.ones((2, 3)), keras.ops.ones((3,))], network.trainable_variables)
    path = tmp_path / "checkpoints" / "last.safetensors"
    checkpoint.save(path, network, optimizer, STATE)
    return path, network, optimizer


def values(network, optimizer):
    return [np.asarray(v.numpy()) for v in [*network.weights, *optimizer.variables]]


def test_round_trip(saved):
    path, *pair = saved
    other = make_pair()
    assert checkpoint.read_state(path) == STATE
    checkpoint.restore(path, *other)
    for a, b in zip(values(*pair), values(*other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == b.shape


def test_another_network_is_refused_and_left_alone(saved):
    other = make_pair(units=4)
    before = values(*other)
    with pytest.raises(DataError, match="another network"):
        checkpoint.restore(saved[0], *other)
    for a, b in zip(before, values(*other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_damage_is_a_readable_error(saved, tmp_path):
    data = saved[0].read_bytes()
    rng = np.random.default_rng(2)
    path = tmp_path / "damaged.safetensors"
    refused = []
    for i in range(300):
        damaged = bytearray(data[: rng.integers(0, len(data))] if i % 2 else data)
        if not i % 2:
            damaged[rng.integers(0, 400)] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        try:
            checkpoint.read_state(path)
            if i < 40:
                checkpoint.restore(path, *make_pair())
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 150
    assert all(str(path) in message for message in refused)


def test_a_state_of_other_values_is_refused(tmp_path):
    path = tmp_path / "last.safetensors"
    for text in ("[]", "{}", '{"hyperparameters": {}, "samples": 3, "progress": {"better": 1}}'):
        save_file({"__state__": np.frombuffer(text.encode(), np.uint8)}, str(path))
        with pytest.raises(DataError, match="not a checkpoint"):
            checkpoint.read_state(path)


def test_a_flipped_bit_in_an_array_is_found(saved):
    path, *_ = saved
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="checksum"):
        checkpoint.restore(path, *make_pair())


def test_a_checkpoint_of_the_release_before_is_read(tmp_path):
    """It has no checksum, and a state without the fields that are new."""
    network, optimizer = make_pair()
    last, best = checkpoint.paths(tmp_path)
    checkpoint.save(last, network, optimizer, STATE)
    arrays = load_file(last)
    state = STATE.saved()
    for name in ("class_names", "seconds", "best_checksum"):
        del state[name]
    arrays["__state__"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    save_file(arrays, str(last))
    save_file({"a.weight": np.ones(2, np.float32), "__state__": np.eye(2, dtype=np.int64)}, str(best))
    checkpoint.restore(last, *make_pair())
    read = checkpoint.read_state(last)
    assert read == STATE
    assert checkpoint.agree_on_best(best, read)
    assert checkpoint.load_weights(best)[1].tolist() == [[1, 0], [0, 1]]


def test_best_and_last_agree_wherever_a_kill_falls(tmp_path):
    """Epoch 0 is in both files; epoch 1 is better: its weights are written, then the state, then they are renamed."""
    network, optimizer = make_pair()

    def folder(name, *, state_written, renamed):
        last, best = checkpoint.paths(tmp_path / name)
        state = TrainingState({}, 7)
        for epoch in (0, 1):
            weights = {"a.weight": np.full(3, epoch, np.float32)}
            checksum = checkpoint.save_weights(checkpoint.new_best(best), weights, np.eye(2, dtype=np.int64))
            if epoch == 0 or state_written:
                state.progress.update(epoch, 0.5 + epoch / 4, 0.0)
                state.best_checksum = checksum
                checkpoint.save(last, network, optimizer, state)
            if epoch == 0 or renamed:
                assert checkpoint.agree_on_best(best, state)
        return last, best

    for name, written, renamed in (("weights", False, False), ("state", True, False), ("all", True, True)):
        last, best = folder(name, state_written=written, renamed=renamed)
        state = checkpoint.read_state(last)
        assert checkpoint.agree_on_best(best, state)
        assert checkpoint.load_weights(best)[0]["a.weight"][0] == state.progress.best_epoch == int(written)
        assert sorted(path.name for path in best.parent.iterdir()) == ["best.safetensors", "last.safetensors"]
        best.write_bytes(b"of another training")
        assert not checkpoint.agree_on_best(best, state)


def test_leftovers_of_killed_writes_are_removed(tmp_path):
    kept = {"last.safetensors", "notes.txt", ".writing-0123456789abcdef-notes.txt"}
    left = {
        ".writing-0123456789abcdef-last.safetensors",
        ".writing-0123456789abcdef-best.new.safetensors",
        ".tmpAb12cD",
    }
    for name in kept | left:
        (tmp_path / name).write_bytes(b"x")
    checkpoint.remove_leftovers_of_kill(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    checkpoint.remove_leftovers_of_kill(tmp_path / "missing")
    checkpoint.remove_all(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept - {"last.safetensors"}


def test_the_mode_is_that_of_the_umask(saved):
    mask = os.umask(0)
    os.umask(mask)
    assert saved[0].stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_full_disk_names_the_file_and_leaves_the_old_one(saved, monkeypatch):
    path, network, optimizer = saved
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        checkpoint.save(path, network, optimizer, TrainingState({}, 8))
    message, status = explain(caught.value)
    assert (status, str(path) in message, "make room on the disk" in message) == (2, True, True)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["last.safetensors"]


def test_best_weights(tmp_path):
    path = tmp_path / "best.safetensors"
    weights = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    checkpoint.save_weights(path, weights, np.array([[3, 1], [0, 2**40]]))
    back, confusion = checkpoint.load_weights(path)
    np.testing.assert_array_equal(back["a.weight"], weights["a.weight"])
    assert list(back) == ["a.weight"]
    assert confusion.tolist() == [[3, 1], [0, 2**40]]
    path.write_bytes(b"no")
    with pytest.raises(DataError, match="damaged"):
        checkpoint.load_weights(path)
