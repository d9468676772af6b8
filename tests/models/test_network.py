"""Options of the networks, and their layers by numpy. ``test_every_network`` has what holds for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from sagemaker_semseg.architectures import DECODERS
from sagemaker_semseg.models.layers import AdaptiveAveragePooling
from sagemaker_semseg.models.network import build_network, normalize


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal((*shape, 3)).astype(np.float32)


def test_one_sample_of_one_pixel_trains_without_nan(networks: Any, filled: Any) -> None:
    """A single value per channel: its variance is 0, in the running statistics too."""
    network = networks("deeplab", "resnet-tiny")
    network(images(1, 1, 1), training=True)
    assert all(np.isfinite(ops.convert_to_numpy(v.value)).all() for v in network.variables)
    filled(network)


@pytest.mark.parity
def test_batch_is_independent_at_inference(networks: Any) -> None:
    network, x = networks("psp", "resnet-tiny"), images(3, 33, 20)
    together = ops.convert_to_numpy(network(x, training=False)[0])
    alone = np.concatenate([ops.convert_to_numpy(network(x[i : i + 1], training=False)[0]) for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parity
def test_normalize() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    expected = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = ops.convert_to_numpy(normalize(pixels))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def adaptive_means(x: np.ndarray, bins: int) -> np.ndarray:
    """The definition, bin by bin: floor(i n / bins) up to ceil((i + 1) n / bins)."""
    n, h, w, c = x.shape
    y = np.zeros((n, bins, bins, c))
    for i, j in itertools.product(range(bins), repeat=2):
        rows = slice(i * h // bins, -(-(i + 1) * h // bins))
        columns = slice(j * w // bins, -(-(j + 1) * w // bins))
        y[:, i, j] = x[:, rows, columns].mean((1, 2))
    return y


@pytest.mark.parity
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_adaptive_average_pooling(bins: int) -> None:
    layer = AdaptiveAveragePooling(bins)
    for size in [(1, 1), (1, 5), (2, 3), (4, 4), (5, 6), (7, 13), (12, 18), (38, 39)]:
        x = np.random.default_rng(1).standard_normal((2, *size, 3)).astype(np.float32)
        np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), adaptive_means(x, bins), rtol=0, atol=1e-6)


def test_pooling_layer_comes_back_from_its_configuration() -> None:
    layer = AdaptiveAveragePooling.from_config(AdaptiveAveragePooling(3, name="pool").get_config())
    assert (layer.bins, layer.name) == (3, "pool")
    assert layer.compute_output_shape((2, 9, 4, 8)) == (2, 3, 3, 8)


@pytest.mark.parametrize("algorithm", DECODERS)
def test_syncbn(algorithm: str) -> None:
    """On one device the shared statistics are its own: the same weights give the same numbers."""
    plain, shared = (build_network(algorithm, "resnet-tiny", 5, dropout=0, syncbn=syncbn) for syncbn in (False, True))
    norms = [layer for layer in shared.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert all(layer.synchronized for layer in norms)
    shared.set_weights(plain.get_weights())
    x = images(2, 24, 32)
    for a, b in zip(plain(x, training=True), shared(x, training=True), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=0, atol=2e-4)
    for a, b in zip(plain.non_trainable_variables, shared.non_trainable_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("algorithm", DECODERS)
def test_mixed_precision(algorithm: str, dtype: str) -> None:
    """Half precision inside, float32 weights and logits; close to float32, since the inputs are small."""
    half, full = build_network(algorithm, "resnet-tiny", 5, dtype=dtype), build_network(algorithm, "resnet-tiny", 5)
    full.set_weights(half.get_weights())
    assert {v.dtype for v in half.trainable_variables} == {"float32"}
    assert half.get_layer("layer4_0_conv1").compute_dtype == dtype.removeprefix("mixed_")
    x = images(2, 24, 32)
    for a, b in zip(half(x, training=False), full(x, training=False), strict=True):
        assert a.dtype == "float32"
        scale = float(ops.max(ops.abs(b)))
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=0, atol=0.05 * scale)
    assert all(bool(ops.all(ops.isfinite(o))) for o in half(x, training=True))


def test_float64() -> None:
    network = build_network("psp", "resnet-tiny", 5, dtype="float64")
    logits = network(images(1, 9, 17).astype(np.float64), training=False)[0]
    assert logits.dtype == "float64"


def test_dropout_multiplies_the_rates() -> None:
    def rates(dropout: float) -> Iterator[float]:
        for layer in build_network("deeplab", "resnet-tiny", 5, dropout=dropout).layers:
            if isinstance(layer, keras.layers.Dropout):
                yield layer.rate

    assert sorted(rates(1.0)) == [0.1, 0.1, 0.5]
    assert sorted(rates(0.0)) == [0, 0, 0]


def test_configured_data_format_does_not_matter() -> None:
    """A user's keras.json may ask for channels first; the networks have them last."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        network = build_network("deeplab", "resnet-tiny", 5)
        assert network(images(1, 9, 17), training=False)[0].shape == (1, 9, 17, 5)
    finally:
        keras.config.set_image_data_format(before)


def test_rates_of_the_pyramid() -> None:
    """12, 24 and 36, whatever the size: on small maps the outer taps of the larger ones lie in the padding."""
    network = build_network("deeplab", "resnet-tiny", 5)
    layers = [network.get_layer(f"head_aspp_concurent_{i}_0") for i in (1, 2, 3)]
    assert [layer.dilation_rate for layer in layers] == [(12, 12), (24, 24), (36, 36)]
