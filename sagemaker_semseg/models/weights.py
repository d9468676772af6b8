"""The weights of a network as named arrays, out and in.

Names are the reference engine's (``layer3.2.bn2.running_mean``): the layer's own name, with dots, and the role of the
variable. Convolution kernels are (out, in, height, width), "OIHW", as the reference and PyTorch keep them, or (height,
width, in, out), "HWIO", as Keras does. Called by ``training`` (writing an artifact) and by whoever loads one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from sagemaker_semseg.errors import ArtifactError, Fault

ROLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
LAYOUTS = {"OIHW": (3, 2, 0, 1), "HWIO": (0, 1, 2, 3)}
BACK = {"OIHW": (2, 3, 1, 0), "HWIO": (0, 1, 2, 3)}

# The reference's order within one level of a name; numbers are in order by themselves.
PARTS = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "conv4", "downsample", "layer1", "layer2", "layer3", "layer4",
         "psp", "aspp", "concurent", "project", "block", "gap", "head", "auxlayer")  # fmt: skip


def named_variables(network: keras.Model) -> Iterator[tuple[str, Any]]:
    """Every weight with its structural name, in the reference's order (Keras orders layers by their depth)."""
    layers = [layer for layer in network.layers if layer.weights]
    for layer in sorted(layers, key=lambda layer: [_place(part) for part in layer.name.split("_")]):
        for variable in layer.weights:
            if variable.name in ROLES:
                yield f"{layer.name.replace('_', '.')}.{ROLES[variable.name]}", variable


def _place(part: str) -> int:
    return int(part) if part.isdigit() else PARTS.index(part)


def get_weights(network: keras.Model, layout: str = "OIHW") -> dict[str, np.ndarray]:
    """A copy of every weight, in float32, under its structural name."""
    arrays = {}
    for name, variable in named_variables(network):
        array = np.asarray(keras.ops.convert_to_numpy(variable.value), dtype=np.float32)
        arrays[name] = np.ascontiguousarray(array.transpose(LAYOUTS[layout])) if array.ndim == 4 else array.copy()
    return arrays


def set_weights(network: keras.Model, arrays: Mapping[str, np.ndarray], layout: str = "OIHW") -> None:
    """Fill the network. Raises ArtifactError with every missing, unknown or misshapen array, nothing changed."""
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
            needed = tuple(needed[axis] for axis in LAYOUTS[layout])
        if array.shape != needed:
            faults.append(Fault(name, f"shape {array.shape}, the network needs {needed}"))
            continue
        try:
            array = array.astype(keras.backend.standardize_dtype(variable.dtype))
        except (TypeError, ValueError):
            faults.append(Fault(name, f"{array.dtype} is not a type of numbers"))
        values[name] = array.transpose(BACK[layout]) if array.ndim == 4 else array
    if faults:
        raise ArtifactError(f"these weights don't fit {network.name}", faults)
    for name, variable in variables.items():
        variable.assign(values[name])
