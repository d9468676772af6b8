"""Forks: no sum of gradients depends on the order in which threads finish."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from sagemaker_semseg.architectures import BACKBONES, DECODERS
from sagemaker_semseg.models import layers
from sagemaker_semseg.models.network import build_network

tf = layers.tf
on_tensorflow = pytest.mark.skipif(tf is None, reason="gradients need TensorFlow's tape")

NETWORKS = [
    pytest.param(algorithm, backbone, marks=[] if BACKBONES[backbone].hidden else pytest.mark.slow)
    for backbone, algorithm in itertools.product(("resnet-tiny", "resnet-18", "resnet-50"), DECODERS)
]


def ambiguous_sums(network: keras.Model) -> list[str]:
    """The sums of three tensors or more in the graph of the gradients; a sum of two has one result."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = sum(tf.reduce_sum(y) for y in network(x, training=True))
        return tape.gradient(loss, [variable.value for variable in network.trainable_variables])

    operations = gradients.get_concrete_function().graph.get_operations()
    return [each.name for each in operations if each.type == "AddN" and len(each.inputs) > 2]


@on_tensorflow
@pytest.mark.parametrize(("algorithm", "backbone"), NETWORKS)
def test_no_gradient_is_a_sum_in_any_order(algorithm: str, backbone: str) -> None:
    assert not ambiguous_sums(build_network(algorithm, backbone, 3))


@on_tensorflow
@pytest.mark.parametrize("algorithm", DECODERS)
def test_without_forks_there_are_such_sums(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers.Fork, "call", lambda fork, x: [x] * fork.branches)
    assert ambiguous_sums(build_network(algorithm, "resnet-tiny", 3))


@pytest.mark.parity
def test_each_branch_gets_the_input() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    branches = layers.Fork(3)(x)
    assert len(branches) == 3
    for branch in branches:
        np.testing.assert_array_equal(ops.convert_to_numpy(branch), x)
    assert [each.shape for each in layers.Fork(3)(keras.Input((None, None, 5)))] == [(None, None, None, 5)] * 3


@on_tensorflow
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_gradient_is_the_sum(dtype: str) -> None:
    random = np.random.default_rng(0)
    dys = [tf.cast(random.standard_normal((2, 3)), dtype) for _ in range(5)]
    x = tf.zeros((2, 3), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = sum(tf.reduce_sum(y * dy) for y, dy in zip(layers.Fork(5, dtype=dtype)(x), dys, strict=True))
    found = tf.cast(tape.gradient(loss, x), "float64").numpy()
    expected = sum(tf.cast(dy, "float64").numpy() for dy in dys)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol={"float64": 1e-12, "float32": 1e-5, "bfloat16": 0.05}[dtype]
    )
