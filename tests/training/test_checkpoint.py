"""Checkpoints: what is saved comes back; damaged files are refused and nothing else."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from sagemaker_semseg.errors import DataError
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
