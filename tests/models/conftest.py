"""What the tests of the networks share: the reference's weights, and every network built once.

The reference is GluonCV on MXNet; its numbers lie in ``tests/reference``. Nothing here needs TensorFlow: parity is
shown on every backend.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable

import keras
import numpy as np
import pytest

from sagemaker_semseg.architectures import BACKBONES
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, set_weights

Arrays = dict[str, np.ndarray]


@functools.cache  # the networks have most arrays in common
def reference_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight that the reference's numbers were computed with: a function of its name and (OIHW) shape."""
    seed = zlib.crc32(("v2/" + name).encode("utf-8")) & 0xFFFFFFFF
    z = np.random.RandomState(seed).standard_normal(shape)
    role = name.rsplit(".", 1)[1]
    if role == "weight":
        w = z * np.sqrt(2 / np.prod(shape[1:]))
        if name.endswith("block.4.weight"):
            w = 0.5 * (w - w.mean(axis=1, keepdims=True))
    elif role == "gamma":
        w = 1 + 0.1 * z
        if name.endswith("bn3.gamma"):
            w = w * 0.35
        if name.endswith("downsample.1.gamma"):
            w = w * 0.7
    elif role == "running_var":
        w = np.exp(0.2 * z)
    else:
        assert role in ("bias", "beta", "running_mean")
        w = 0.1 * z
    return w.astype(np.float32)


def fill(network: keras.Model) -> None:
    """Give a network the reference's weights."""
    set_weights(network, {name: reference_weight(name, array.shape) for name, array in get_weights(network).items()})


class Networks:
    """Every network is built once, filled with the reference's weights, and run once on each input."""

    def __init__(self) -> None:
        self.models: dict[tuple[str, str], keras.Model] = {}
        self.results: dict[tuple[str, str, str], Arrays] = {}

    def __call__(self, algorithm: str, backbone: str) -> keras.Model:
        """The network with 5 classes. It is shared: who changes it puts it back."""
        if (algorithm, backbone) not in self.models:
            self.models[algorithm, backbone] = build_network(algorithm, backbone, 5)
            fill(self.models[algorithm, backbone])
        return self.models[algorithm, backbone]

    def results_of(self, algorithm: str, backbone: str, name: str, x: np.ndarray) -> Arrays:
        """Inference on x, called ``name``: the logits and what lies on the way to them, by the reference's names."""
        key = (algorithm, backbone, name)
        if key not in self.results:
            network, counts = self(algorithm, backbone), BACKBONES[backbone].counts
            layers = {f"layer{i}": f"layer{i}_{n - 1}_relu" for i, n in enumerate(counts, start=1)}
            layers = {"c3": layers.pop("layer3"), "c4": layers.pop("layer4"), **layers, "stem": "bn1_relu"}
            layers |= {"logits_low": "head_block_4", "aux_low": "auxlayer_block_4"}
            layers |= {"logits": "logits", "aux": "auxiliary_logits"}
            outputs = [network.get_layer(layer).output for layer in layers.values()]
            values = keras.Model(network.input, outputs)(x, training=False)
            self.results[key] = {k: keras.ops.convert_to_numpy(v) for k, v in zip(layers, values, strict=True)}
        return self.results[key]


@pytest.fixture(scope="session")
def networks() -> Networks:
    return Networks()


@pytest.fixture(scope="session")
def filled() -> Callable[[keras.Model], None]:
    return fill


@pytest.fixture(scope="session")
def rule() -> Callable[[str, tuple[int, ...]], np.ndarray]:
    return reference_weight
