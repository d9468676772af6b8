"""What the tests of the networks share: the reference engine's numbers, its weights, and every network built once.

The reference is GluonCV 0.11 on MXNet 1.9.1. Its numbers lie in the shared folder beside the checkout; a sample of them
lies here in ``reference_numbers.npz``, so that a checkout alone is tested too. Nothing here needs TensorFlow: parity is
shown on every backend.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from sagemaker_semseg.models.backbones import BACKBONES
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, set_weights

FOLDER = Path(__file__).resolve().parents[2] / "../shared/reference/gluoncv"
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
            network, counts = self(algorithm, backbone), BACKBONES[backbone].blocks
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


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Any]:
    """A function from a file's name to its arrays (.npz) or content (.json)."""
    if not FOLDER.is_dir():
        pytest.skip("the reference engine's numbers (../shared/reference/gluoncv) are not beside this checkout")

    @functools.cache
    def read(name: str) -> Any:
        if name.endswith(".json"):
            return json.loads((FOLDER / name).read_text(encoding="utf-8"))
        with np.load(FOLDER / name, allow_pickle=False) as file:
            return dict(file)

    return read


def architecture_of(algorithm: str, backbone: str, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and (OIHW) shapes of all weights, in the reference's order, from the description of the networks.

    ResNets: He et al. 2016, the deep stem of "v1s"; PSP: Zhao et al. 2017; DeepLabV3: Chen et al. 2017.
    """
    arrays: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, into: int, size: int) -> None:
        arrays[f"{name}.weight"] = (out, into, size, size)

    def norm(name: str, channels: int) -> None:
        arrays.update({f"{name}.{part}": (channels,) for part in ("gamma", "beta", "running_mean", "running_var")})

    depth = int(backbone.removeprefix("resnet-"))
    counts = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    deep = depth >= 50
    if deep:
        for i, (out, into) in ((0, (64, 3)), (3, (64, 64)), (6, (128, 64))):
            conv(f"conv1.{i}", out, into, 3)
            norm(f"conv1.{i + 1}" if i < 6 else "bn1", out)
    else:
        conv("conv1", 64, 3, 7)
        norm("bn1", 64)
    channels = 128 if deep else 64
    for stage, count in enumerate(counts, start=1):
        planes = 64 * 2 ** (stage - 1)
        out = planes * (4 if deep else 1)
        for i in range(count):
            name = f"layer{stage}.{i}"
            sizes = ((planes, channels, 1), (planes, planes, 3), (out, planes, 1))
            for j, (o, c, k) in enumerate(sizes if deep else ((planes, channels, 3), (planes, planes, 3)), start=1):
                conv(f"{name}.conv{j}", o, c, k)
                norm(f"{name}.bn{j}", o)
            if channels != out:
                conv(f"{name}.downsample.0", out, channels, 1)
                norm(f"{name}.downsample.1", out)
            channels = out

    def block(name: str, into: int, middle: int) -> None:
        conv(f"{name}.block.0", middle, into, 3)
        norm(f"{name}.block.1", middle)
        conv(f"{name}.block.4", num_classes, middle, 1)
        arrays[f"{name}.block.4.bias"] = (num_classes,)

    if algorithm == "fcn":
        block("head", channels, channels // 4)
    elif algorithm == "psp":
        for i in (1, 2, 3, 4):
            conv(f"head.psp.conv{i}.0", channels // 4, channels, 1)
            norm(f"head.psp.conv{i}.1", channels // 4)
        block("head", 2 * channels, channels // 4)
    else:
        aspp = "head.aspp.concurent"
        for i, size in enumerate((1, 3, 3, 3)):
            conv(f"{aspp}.{i}.0", 256, channels, size)
            norm(f"{aspp}.{i}.1", 256)
        conv(f"{aspp}.4.gap.1", 256, channels, 1)
        norm(f"{aspp}.4.gap.2", 256)
        conv("head.aspp.project.0", 256, 5 * 256, 1)
        norm("head.aspp.project.1", 256)
        block("head", 256, 256)
    block("auxlayer", channels // 2, channels // 8)
    return arrays


@pytest.fixture(scope="session")
def architecture() -> Callable[[str, str, int], dict[str, tuple[int, ...]]]:
    return architecture_of
