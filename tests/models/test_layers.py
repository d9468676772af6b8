"""The operations with a fast form of their own, against numpy and against the portable form.

What compares the two forms needs TensorFlow; the rest runs on every backend.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from sagemaker_semseg.models import layers
from sagemaker_semseg.models.network import build_network

tf = layers.tf
on_tensorflow = pytest.mark.skipif(tf is None, reason="the fast forms are TensorFlow's")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# Align-corners resizing


def resized(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel by pixel: src = dst * (in - 1) / (out - 1), or 0 where out is 1, between the two neighbours."""
    n, h, w, c = x.shape
    y = np.zeros((n, height, width, c))
    for i in range(height):
        for j in range(width):
            s = i * (h - 1) / (height - 1) if height > 1 else 0
            t = j * (w - 1) / (width - 1) if width > 1 else 0
            i0, j0 = min(int(s), h - 1), min(int(t), w - 1)
            i1, j1 = min(i0 + 1, h - 1), min(j0 + 1, w - 1)
            p, q = s - i0, t - j0
            above = (1 - q) * x[:, i0, j0] + q * x[:, i0, j1]
            below = (1 - q) * x[:, i1, j0] + q * x[:, i1, j1]
            y[:, i, j] = (1 - p) * above + p * below
    return y


SIZES = [
    ((1, 1), (1, 1)), ((1, 1), (5, 4)), ((3, 1), (1, 7)), ((4, 5), (1, 1)), ((2, 3), (9, 17)), ((9, 9), (65, 67)),
    ((6, 6), (9, 13)), ((13, 11), (5, 3)), ((7, 7), (7, 7)), ((1, 6), (38, 39)),
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resize(dtype: str) -> None:
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only where its x64 mode is on")
    layer = layers.ResizeLike(dtype=dtype)
    for size, target in SIZES:
        x = noise(2, *size, 3).astype(dtype)
        found = ops.convert_to_numpy(layer([x, np.zeros((2, *target, 1), dtype)]))
        assert found.dtype == dtype
        atol = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(found, resized(x, *target), rtol=0, atol=atol, err_msg=f"{size} {target}")


@pytest.mark.parity
@pytest.mark.parametrize("size", [1, 2, 9])
def test_interpolation_matrix(size: int) -> None:
    """Rows of weights that add up to 1; resizing to the same size changes nothing."""
    for out in (1, 2, 7, 65):
        matrix = ops.convert_to_numpy(layers.interpolation_matrix(out, size, "float32"))
        assert matrix.shape == (out, size)
        assert (matrix >= 0).all()
        np.testing.assert_allclose(matrix.sum(1), 1, rtol=0, atol=2e-6)
    identity = layers.interpolation_matrix(size, size, "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(identity), np.eye(size))


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_resize_of_half_precision_gives_float32(dtype: str) -> None:
    """The interpolation itself is not rounded to half precision."""
    x = ops.cast(noise(1, 3, 4, 2), dtype)
    found = layers.ResizeLike(dtype="mixed_" + dtype)([x, np.zeros((1, 9, 17, 1), np.float32)])
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    expected = resized(ops.convert_to_numpy(ops.cast(x, "float32")), 9, 17)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=0, atol=1e-6)


@on_tensorflow
def test_resize_gradient() -> None:
    """TensorFlow's own operation and the portable matrices have one gradient."""
    x, dy = tf.constant(noise(2, 5, 4, 3)), noise(2, 17, 9, 3, seed=1)
    gradients = []
    for dtype in ("float32", "float64"):  # float64 takes the portable form
        z = tf.cast(x, dtype)
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = layers.ResizeLike(dtype=dtype)([z, tf.zeros((2, 17, 9, 3), dtype)])
        gradients.append(tape.gradient(y, z, dy.astype(dtype)).numpy())
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-4)


# Batch normalisation


def norms(channels: int, dtype: str = "float32") -> tuple[Any, Any]:
    """The fast layer and Keras's own, with the same weights."""
    options = {"momentum": 0.9, "epsilon": 1e-5, "dtype": dtype}
    pair = layers.BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    values = [1 + 0.1 * noise(channels, seed=1), noise(channels, seed=2), noise(channels, seed=3)]
    for layer in pair:
        layer.build((None, None, None, channels))
        layer.set_weights([*values, np.exp(noise(channels, seed=4))])
    return pair


@pytest.mark.parity
def test_normalization_by_the_formula() -> None:
    """Training mode: the batch's mean and BIASED variance, in the output and in the running statistics."""
    x = 3 + 2 * noise(4, 3, 5, 6)
    layer, _ = norms(6)
    gamma, beta, mean, variance = (ops.convert_to_numpy(v) for v in layer.weights)
    y = ops.convert_to_numpy(layer(x, training=True))
    z = x.astype(np.float64)
    batch_mean, batch_variance = z.mean((0, 1, 2)), z.var((0, 1, 2))
    expected = (z - batch_mean) / np.sqrt(batch_variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    found = [ops.convert_to_numpy(v.value) for v in (layer.moving_mean, layer.moving_variance)]
    np.testing.assert_allclose(found[0], 0.9 * mean + 0.1 * batch_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], 0.9 * variance + 0.1 * batch_variance, rtol=1e-5, atol=1e-6)


@on_tensorflow
@pytest.mark.parametrize("shape", [(4, 6, 5, 8), (1, 3, 3, 8), (2, 1, 1, 8), (1, 1, 1, 8)])
def test_fused_normalization_is_the_portable_one(shape: tuple[int, ...]) -> None:
    x, dy = tf.constant(1 + noise(*shape)), noise(*shape, seed=5)
    results = []
    for layer in norms(8):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        gradients = tape.gradient(y, [x, layer.gamma.value, layer.beta.value], dy)
        results.append([y, layer.moving_mean.value, layer.moving_variance.value, *gradients])
    for fused, portable in zip(*results, strict=True):
        assert np.isfinite(fused).all()
        np.testing.assert_allclose(fused, portable, rtol=1e-4, atol=1e-4)


@on_tensorflow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_fused_normalization_in_half_precision(dtype: str) -> None:
    """Statistics are those of the rounded input, computed and kept in float32."""
    x = tf.cast(1 + noise(4, 6, 5, 8), dtype)
    fused, portable = norms(8, "mixed_" + dtype)
    a, b = fused(x, training=True), portable(x, training=True)
    assert a.dtype == b.dtype == dtype
    np.testing.assert_allclose(tf.cast(a, "float32"), tf.cast(b, "float32"), rtol=0, atol=0.03)
    for u, v in zip(fused.non_trainable_variables, portable.non_trainable_variables, strict=True):
        assert u.dtype == "float32"
        np.testing.assert_allclose(u, v, rtol=1e-4, atol=1e-5)


@on_tensorflow
def test_the_fused_kernel_is_what_trains() -> None:
    """And not where it must not: at inference, frozen, synchronized, in float64."""

    def operations(training: bool = True, dtype: str = "float32", trainable: bool = True, **options: Any) -> set[str]:
        layer = layers.BatchNormalization(dtype=dtype, **options)
        layer.trainable = trainable
        layer.build((None, None, None, 4))
        graph = tf.function(lambda x: layer(x, training=training)).get_concrete_function(
            tf.TensorSpec((1, 2, 2, 4), dtype)
        )
        return {operation.type for operation in graph.graph.get_operations()}

    assert "FusedBatchNormV3" in operations()
    assert "FusedBatchNormV3" not in operations(training=False)
    assert "FusedBatchNormV3" not in operations(trainable=False)
    assert "FusedBatchNormV3" not in operations(dtype="float64")
    assert "FusedBatchNormV3" not in operations(synchronized=True)


# Convolution


def convolved(x: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    """Tap by tap, padded with zeros so that the size stays."""
    size, (n, h, w, _) = kernel.shape[0], x.shape
    margin = dilation * (size // 2)
    padded = np.pad(x.astype(np.float64), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    y = np.zeros((n, h, w, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            y += padded[:, i * dilation : i * dilation + h, j * dilation : j * dilation + w] @ kernel[i, j]
    return y


@pytest.mark.parity
@pytest.mark.parametrize("dilation", [1, 2, 4, 12, 36])
@pytest.mark.parametrize("size", [1, 3])
def test_convolution_by_the_formula(size: int, dilation: int) -> None:
    layer = layers.Conv2D(7, size, dilation_rate=dilation, padding="same", use_bias=False)
    for height, width in ((1, 1), (5, 8), (13, 9)):
        x = noise(2, height, width, 6)
        y = ops.convert_to_numpy(layer(x))
        expected = convolved(x, ops.convert_to_numpy(layer.kernel), dilation)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


def convolve(cls: Any, options: dict[str, Any], kernel: np.ndarray, x: Any, dtype: str) -> list[np.ndarray]:
    """Output and gradients of a layer of this class, by input and kernel."""
    layer = cls(kernel.shape[-1], kernel.shape[0], padding="same", use_bias=False, dtype=dtype, **options)
    layer.build(x.shape)
    layer.set_weights([kernel])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    gradients = tape.gradient(y, [x, layer.kernel.value], tf.cast(noise(*y.shape, seed=9), y.dtype))
    return [tf.cast(value, "float32").numpy() for value in (y, *gradients)]


@on_tensorflow
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3, 5, 4), {"dilation_rate": 1}),
        ((3, 3, 5, 4), {"dilation_rate": 2}),
        ((3, 3, 5, 4), {"dilation_rate": 12}),
        ((3, 3, 128, 136), {"dilation_rate": 1}),
        ((3, 3, 128, 136), {"dilation_rate": 4}),
        ((3, 3, 136, 128), {"dilation_rate": 24}),
        ((1, 1, 8, 16), {}),
        ((1, 1, 8, 16), {"strides": 2}),
    ],
)
def test_convolution_is_the_portable_one(
    monkeypatch: pytest.MonkeyPatch, kernel: tuple[int, ...], options: dict[str, int], dtype: str, native: bool
) -> None:
    """Output and both gradients, where oneDNN (or a GPU) takes dilation and where nothing does."""
    if not native:
        monkeypatch.setattr(layers, "native_dilation_trains", lambda dtype: False)
    x = tf.cast(noise(2, 7, 9, kernel[2]), "float32" if dtype == "float32" else dtype.removeprefix("mixed_"))
    weights = noise(*kernel, seed=1) / np.sqrt(np.prod(kernel[:3]))
    ours = convolve(layers.Conv2D, options, weights, x, dtype)
    for found, expected in zip(ours, convolve(keras.layers.Conv2D, options, weights, x, dtype), strict=True):
        rounding = {"float32": 1e-5, "mixed_float16": 4e-3, "mixed_bfloat16": 3e-2}[dtype]
        np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * np.abs(expected).max())


def differentiates(dtype: Any) -> bool:
    """Whether a natively dilated convolution can be differentiated here, by doing it."""
    kernel = tf.ones((3, 3, 2, 2), dtype)
    try:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            y = tf.nn.conv2d(tf.ones((1, 9, 9, 2), dtype), kernel, 1, "SAME", dilations=2)
        return tape.gradient(y, kernel) is not None
    except tf.errors.OpError:
        return False


@pytest.fixture
def fresh_probe() -> Iterator[Callable[[Any], bool]]:
    layers.native_dilation_trains.cache_clear()
    yield layers.native_dilation_trains
    layers.native_dilation_trains.cache_clear()


@on_tensorflow
def test_probe_of_native_dilation(fresh_probe: Callable[[Any], bool]) -> None:
    """It says what a tape finds, for every dtype, asked eagerly or while a graph is traced, inside a tape or not."""
    for dtype in layers.NARROW:
        assert fresh_probe(dtype) == differentiates(dtype)
        fresh_probe.cache_clear()
        with tf.GradientTape():
            traced = tf.function(lambda dtype=dtype: tf.constant(fresh_probe(dtype)))()
        assert bool(traced) == differentiates(dtype)


PROGRAM = """
import sys
sys.path[:0] = {path!r}
import tensorflow as tf
from sagemaker_semseg.models import layers
layer = layers.Conv2D(4, 3, dilation_rate=2, padding="same")
x = tf.ones((1, 8, 8, 4))
with tf.GradientTape() as tape:
    y = layer(x)
tape.gradient(y, layer.kernel.value)
print("native:", layers.native_dilation_trains(tf.float32))
"""


@on_tensorflow
def test_without_onednn() -> None:
    """A CPU without oneDNN can't differentiate dilated convolutions: the portable form trains there."""
    program = PROGRAM.format(path=sys.path)
    variables = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "native: False"


@on_tensorflow
@pytest.mark.parametrize("native", [True, False])
def test_the_graph_has_the_form_that_was_chosen(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(layers, "native_dilation_trains", lambda dtype: native)
    network = build_network("deeplab", "resnet-tiny", 3)
    function = tf.function(lambda x: network(x, training=True))
    graph = function.get_concrete_function(tf.TensorSpec((1, 16, 16, 3))).graph
    operations = graph.get_operations()
    dilated = [o for o in operations if o.type == "Conv2D" and max(o.get_attr("dilations")) > 1]
    rewritten = [o for o in operations if o.type == "SpaceToBatchND"]
    # the second convolution of layer3, both of layer4, three of the pyramid
    assert (len(dilated), len(rewritten)) == ((6, 0) if native else (0, 6))
