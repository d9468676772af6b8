"""Weights are read and written by name, and every fault is reported at once."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import ops

from sagemaker_semseg.errors import ArtifactError
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, named_variables, set_weights

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_network("psp", "resnet-tiny", 5)


@pytest.fixture
def unchanged(network: keras.Model) -> Iterator[dict[str, np.ndarray]]:
    """The network's weights; after the test it must still have them."""
    before = get_weights(network)
    yield {name: array.copy() for name, array in before.items()}
    for name, array in get_weights(network).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_kernels_are_out_in_height_width(network: keras.Model) -> None:
    kernel = ops.convert_to_numpy(network.get_layer("layer2_0_conv1").kernel)
    assert kernel.shape == (3, 3, 64, 128)
    assert get_weights(network)["layer2.0.conv1.weight"][17, 5, 2, 0] == kernel[2, 0, 5, 17]


def test_round_trip(network: keras.Model) -> None:
    other = build_network("psp", "resnet-tiny", 5)
    rng = np.random.default_rng(0)
    arrays = {name: rng.random(a.shape).astype(np.float32) for name, a in get_weights(network).items()}
    set_weights(other, arrays)
    for name, array in get_weights(other).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    set_weights(other, get_weights(network))
    x = rng.standard_normal((1, 9, 17, 3)).astype(np.float32)
    np.testing.assert_array_equal(*(ops.convert_to_numpy(n(x, training=False)[0]) for n in (network, other)))


def test_arrays_are_copies(network: keras.Model, unchanged: dict[str, np.ndarray]) -> None:
    for array in get_weights(network).values():
        array[...] = 7


def test_every_fault_at_once_and_nothing_changed(network: keras.Model, unchanged: dict[str, np.ndarray]) -> None:
    arrays = {name: array + 1 for name, array in unchanged.items()}
    del arrays["bn1.gamma"]
    arrays["layer9.0.conv1.weight"] = np.zeros(3, np.float32)
    arrays["head.block.4.weight"] = np.zeros((21, 128, 1, 1), np.float32)
    arrays["head.block.4.bias"] = np.zeros(21, np.float32)
    arrays["conv1.weight"] = arrays["conv1.weight"].transpose(2, 3, 1, 0)
    arrays["layer1.0.bn1.beta"] = np.array(["x"] * 64)
    arrays["layer1.0.bn2.beta"] = np.zeros((64, 1), np.float32)
    with pytest.raises(ArtifactError, match="psp_resnet-tiny") as error:
        set_weights(network, arrays)
    faults = {fault.where: fault.what for fault in error.value.faults}
    assert len(faults) == len(error.value.faults) == 7
    assert faults["bn1.gamma"] == "missing"
    assert faults["layer9.0.conv1.weight"] == "the network has no such weight"
    assert faults["head.block.4.weight"] == "shape (21, 128, 1, 1), the network needs (5, 128, 1, 1)"
    assert faults["head.block.4.bias"] == "shape (21,), the network needs (5,)"
    assert faults["conv1.weight"] == "shape (7, 7, 3, 64), the network needs (64, 3, 7, 7)"
    assert "not a type of numbers" in faults["layer1.0.bn1.beta"]
    assert faults["layer1.0.bn2.beta"] == "shape (64, 1), the network needs (64,)"


def test_nothing_at_all(network: keras.Model, unchanged: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArtifactError) as error:
        set_weights(network, {})
    assert [fault.where for fault in error.value.faults] == list(unchanged)


def test_other_types_of_numbers(network: keras.Model) -> None:
    """Half and double precision, Fortran order, arrays that can't be written to."""
    before = get_weights(network)
    arrays = {}
    for i, (name, array) in enumerate(before.items()):
        arrays[name] = np.asfortranarray(array.astype((np.float16, np.float32, np.float64)[i % 3]))
        arrays[name].flags.writeable = False
    set_weights(network, arrays)
    for name, array in get_weights(network).items():
        np.testing.assert_array_equal(array, arrays[name].astype(np.float32), err_msg=name)
    set_weights(network, before)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
def test_other_precisions(network: keras.Model, dtype: str) -> None:
    """Whatever the network computes in, weights come out in float32."""
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only where its x64 mode is on")
    other = build_network("psp", "resnet-tiny", 5, dtype=dtype)
    arrays = get_weights(network)
    set_weights(other, arrays)
    for name, array in get_weights(other).items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)
    assert {v.dtype for _, v in named_variables(other)} == {"float64" if dtype == "float64" else "float32"}
