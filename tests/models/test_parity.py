"""Inference against the reference's numbers, with its weights: stages, and the logits of both decoders.

Tolerances come from the reference's own float32 and float64 runs. Runs on every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sagemaker_semseg.models.weights import get_weights
from tests.reference import samples

pytestmark = pytest.mark.parity

INPUTS = ("sq", "rect", "odd")
NETS = {
    "fcn_resnet50": ("fcn", "resnet-50", 5e-5),
    "psp_resnet50": ("psp", "resnet-50", 5e-5),
    "deeplab_resnet50": ("deeplab", "resnet-50", 5e-5),
    "fcn_resnet101": ("fcn", "resnet-101", 3e-4),
    "backbone_resnet18": ("fcn", "resnet-18", 1e-3),  # activations reach 120
}
STAGES = {f"{stage}_{figure}" for stage in ("stem", "layer1", "layer2", "c3", "c4") for figure in ("mean", "std")}
LOGITS = {"logits", "aux", "logits_low", "aux_low"}


def below(numbers: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(f"{prefix}_"): v for k, v in numbers.items() if k.startswith(f"{prefix}_")}


def figure(results: dict[str, np.ndarray], key: str) -> np.ndarray:
    """What a key of the reference's files means, from our own results."""
    stage, _, kind = key.rpartition("_")
    if kind == "mean":
        return results[stage].astype(np.float64).mean((0, 1, 2))
    if kind == "std":
        return results[stage].astype(np.float64).std((0, 1, 2))
    if kind == "first64":
        return results[stage][..., :64]
    if kind.startswith("every"):
        step = int(kind.removeprefix("every"))
        return results[stage][:, ::step, ::step]
    return results[key]


def assert_agrees(results: dict[str, np.ndarray], expected: dict[str, Any], atol: float) -> None:
    for key, value in expected.items():
        samples.assert_agrees(figure(results, key), value, atol, key)


@pytest.mark.parametrize("prefix", INPUTS)
@pytest.mark.parametrize("net", NETS)
def test_inference(reference: Callable[[str], Any], networks: Any, net: str, prefix: str) -> None:
    algorithm, backbone, atol = NETS[net]
    numbers = below(reference(f"{net}.npz"), prefix)
    x = numbers.pop("x")
    full = {"c3", "c4"} if net.startswith("backbone") else LOGITS
    assert full | STAGES <= set(numbers)
    assert_agrees(networks.results_of(algorithm, backbone, prefix, x), numbers, atol)


@pytest.mark.parametrize("algorithm", ["fcn", "psp", "deeplab"])
def test_large_image(reference: Callable[[str], Any], networks: Any, algorithm: str) -> None:
    """304 x 312: a feature map of 38 x 39, inside which every rate of DeepLab's pyramid has taps."""
    numbers = reference("large_resnet50.npz")
    x = numbers["x_uint8"].astype(np.float32) / 64 - 2
    expected = below(numbers, algorithm)
    assert set(expected) == {"logits_low", "logits_every8"}
    if algorithm == "fcn":  # the backbone is the same in all three
        expected |= {k: numbers[k] for k in ("aux_low", *STAGES)}
    assert_agrees(networks.results_of(algorithm, "resnet-50", "large", x), expected, 1e-4)


def test_spot_checks_of_the_rule(networks: Any) -> None:
    """The weights are right: numbers that were written down beside the rule that makes them."""
    weights = get_weights(networks("fcn", "resnet-50"))
    found = [
        weights["conv1.0.weight"][0, 0, 0, 0], weights["bn1.gamma"][0], weights["layer3.2.bn3.gamma"][5],
        weights["head.block.4.weight"][1, 2, 0, 0], weights["bn1.running_var"][3],
    ]  # fmt: skip
    np.testing.assert_allclose(found, [-0.241732731, 1.06210005, 0.381966978, 0.0480297804, 0.851247489], rtol=1e-7)
