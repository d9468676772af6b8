"""Reads and writes the weights of a network as named arrays.

Names are the reference implementation's (``layer3.2.bn2.running_mean``): the layer's own name, with dots, and the role
of the variable. Kernels are (out, in, height, width), as the reference and PyTorch keep them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.models.layers import layer_name

ROLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_TO_OIHW, _TO_HWIO = (3, 2, 0, 1), (2, 3, 1, 0)  # HWIO: Keras's (height, width, in, out)


def named_variables(network: keras.Model) -> Iterator[tuple[str, Any]]:
    """Every weight of a network with its structural name, in the order of ``network.architecture``."""
    architecture: ArchitectureSpec = network.architecture
    layers = {layer.name: layer for layer in network.layers}
    for convolution in architecture.convolutions():
        for name in filter(None, (convolution.name, convolution.norm)):
            for variable in layers[layer_name(name)].weights:
                if variable.name in ROLES:
                    yield f"{name}.{ROLES[variable.name]}", variable


def get_weights(network: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all weights, in float32, by structural name."""
    arrays = {}
    for name, variable in named_variables(network):
        array = np.asarray(keras.ops.convert_to_numpy(variable.value), dtype=np.float32)
        arrays[name] = np.ascontiguousarray(array.transpose(_TO_OIHW)) if array.ndim == 4 else array.copy()
    return arrays


def set_weights(network: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Fills the network. Raises ArtifactError with every missing, unknown or misshapen array; then nothing changed."""
    variables = dict(named_variables(network))
    faults = [Fault(name, "the network has no such weight") for name in arrays if name not in variables]
    values = {}
    for name, variable in variables.items():
        if name not in arrays:
            faults.append(Fault(name, "missing"))
            continue
        array = np.asarray(arrays[name])
        needed = tuple(variable.shape)
        if len(needed) == 4:
            needed = tuple(needed[axis] for axis in _TO_OIHW)
        if array.shape != needed:
            faults.append(Fault(name, f"shape {array.shape}, the network needs {needed}"))
            continue
        try:
            array = array.astype(keras.backend.standardize_dtype(variable.dtype))
        except (TypeError, ValueError):
            faults.append(Fault(name, f"{array.dtype} is not a type of numbers"))
        values[name] = array.transpose(_TO_HWIO) if array.ndim == 4 else array
    if faults:
        raise ArtifactError(f"these weights don't fit {network.name}", faults)
    for name, variable in variables.items():
        variable.assign(values[name])
