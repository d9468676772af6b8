"""What holds for every network: one run of each algorithm on each backbone.

A backbone that is added to ``BACKBONES`` is tested here without another line. By default the tiny one runs, with the
other decoders' convolutions; the slow tests run them all.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from sagemaker_semseg.architectures import BACKBONES, DECODERS, ArchitectureSpec
from sagemaker_semseg.models.network import build_network, normalize
from sagemaker_semseg.models.weights import get_weights, named_variables, set_weights
from sagemaker_semseg.weights import mxnet
from sagemaker_semseg.weights.detect_architecture import network_weights
from sagemaker_semseg.weights.files import read_arrays

CLASSES = 5
SIZES = [(1, 1), (1, 7), (2, 3), (8, 8), (9, 17), (65, 67)]
if keras.backend.backend() == "jax":  # compiles every operation for every size
    SIZES = [(1, 1), (9, 17)]

# The variance is a difference of squares there, which loses every digit where all pixels of a channel are nearly alike.
EXACT_VARIANCE = keras.backend.backend() != "torch"

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

NETWORKS = [
    pytest.param((algorithm, backbone), marks=[] if BACKBONES[backbone].hidden else pytest.mark.slow)
    for backbone, algorithm in itertools.product(BACKBONES, DECODERS)
]


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda pair: "-".join(pair))
def network(request: pytest.FixtureRequest) -> keras.Model:
    """A network with statistics as after a training: zeros and ones would hide arrays that are exchanged."""
    network, random = build_network(*request.param, CLASSES), np.random.default_rng(0)
    for name, variable in named_variables(network):
        if name.endswith(("gamma", "running_var")):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif not name.endswith("weight"):
            variable.assign(random.normal(0, 0.2, variable.shape))
    return network


def logits(network: keras.Model, x: np.ndarray, training: bool = False) -> list[np.ndarray]:
    return [ops.convert_to_numpy(y) for y in network(normalize(x), training=training)]


@pytest.mark.parity
def test_weights_are_those_of_the_architecture(network: keras.Model) -> None:
    shapes = {name: array.shape for name, array in get_weights(network).items()}
    assert list(shapes.items()) == list(network.architecture.shapes.items())
    assert [output.shape for output in network.outputs] == [(None, None, None, CLASSES)] * 2


@pytest.mark.parity
@pytest.mark.parametrize("training", [False, True])
def test_any_size(network: keras.Model, training: bool) -> None:
    before = get_weights(network)
    for size in SIZES:
        for values in logits(network, pixels(2, *size), training):
            assert values.shape == (2, *size, CLASSES)
            assert values.dtype == np.float32
            assert np.isfinite(values).all() or (training and not EXACT_VARIANCE), size
    if training:
        set_weights(network, before)  # it is shared, and has new running statistics


@on_tensorflow
def test_every_weight_has_a_gradient(network: keras.Model) -> None:
    import tensorflow as tf

    before = get_weights(network)
    with tf.GradientTape() as tape:
        loss = sum(tf.reduce_mean(tf.square(y)) for y in network(normalize(pixels(2, 33, 41)), training=True))
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient).all(), variable.path
        assert np.any(gradient), variable.path
    set_weights(network, before)


@pytest.mark.parity
def test_weights_come_back(network: keras.Model, tmp_path: Path) -> None:
    """Through Keras's own file, whose names of layers change with its releases, and through named arrays."""
    path = tmp_path / "network.weights.h5"
    network.save_weights(path)
    architecture, found = network_weights(read_arrays(path), "x")
    assert architecture == network.architecture
    other = build_network(architecture.algorithm, architecture.backbone, CLASSES)
    set_weights(other, found)
    x = pixels(1, 9, 17)
    for a, b in zip(logits(network, x), logits(other, x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_other_libraries(network: keras.Model) -> None:
    """MXNet's file with structural names, and PyTorch's words for a normalization's weights."""
    weights, architecture = get_weights(network), network.architecture
    file = mxnet.read(b"".join(mxnet.write(weights)), "x")
    words = {"gamma": "weight", "beta": "bias"}
    torch = {f"module.{name.rpartition('.')[0]}.{words.get(role, role)}": array
             for name, array in weights.items() for role in [name.rpartition(".")[2]]}  # fmt: skip
    for arrays in (file, torch):
        found, read = network_weights(arrays, "x")
        assert found == architecture
        assert list(read) == list(weights)
        assert all(np.array_equal(read[name], array) for name, array in weights.items())
    without = {name: array for name, array in weights.items() if not name.startswith("auxlayer.")}
    found, _ = network_weights(without, "x")
    assert found == ArchitectureSpec(architecture.backbone, architecture.algorithm, CLASSES, auxiliary=False)


@on_tensorflow
def test_runtime_graph(network: keras.Model) -> None:
    """ONNX Runtime gives the logits of Keras."""
    import onnxruntime

    from sagemaker_semseg.export.onnx_graph import onnx_graph

    session: Any = onnxruntime.InferenceSession(onnx_graph(network))
    for shape in ((1, 72, 90), (2, 33, 17), (1, 1, 1), (1, 1, 50)):
        x = pixels(*shape)
        expected, _ = logits(network, x)
        found, coarse = session.run(["logits", "coarse_logits"], {"image": x})
        cells = [-(-length // 8) for length in shape[1:]]
        assert (found.dtype, coarse.dtype, coarse.shape) == (np.float32, np.float32, (shape[0], CLASSES, *cells))
        np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@on_tensorflow
@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("algorithm", DECODERS)
def test_other_output_strides(algorithm: str, stride: int) -> None:
    """The same weights, on coarser features; the runtime graph and the architecture agree with the network."""
    import onnxruntime

    from sagemaker_semseg.export.onnx_graph import onnx_graph

    network = build_network(algorithm, "resnet-tiny", CLASSES, output_stride=stride)
    shapes = {name: array.shape for name, array in get_weights(network).items()}
    assert shapes == ArchitectureSpec("resnet-tiny", algorithm, CLASSES).shapes
    convolutions = [c for c in network.architecture.convolutions() if ".gap." not in c.name and ".psp." not in c.name]
    layers = [network.get_layer(c.name.replace(".", "_")) for c in convolutions]  # none of them has pooled features
    features = keras.Model(network.input, [layer.output for layer in layers])(np.zeros((1, 96, 64, 3), np.float32))
    for convolution, values in zip(convolutions, features, strict=True):
        reduction = convolution.reduction * convolution.stride
        assert values.shape[1:3] == (96 // reduction, 64 // reduction), convolution
    session: Any = onnxruntime.InferenceSession(onnx_graph(network))
    for shape in ((1, 72, 90), (2, 33, 17), (1, 1, 1)):
        x = pixels(*shape)
        expected, _ = logits(network, x)
        found, coarse = session.run(["logits", "coarse_logits"], {"image": x})
        assert coarse.shape == (shape[0], CLASSES, *(-(-length // stride) for length in shape[1:]))
        np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
