"""Where a training stands, as one file that appears whole or not at all.

Everything a run needs to go on as if it had never stopped: weights, the optimizer's slots, the state of dropout, the
step, the best epoch, the curve. Arrays by name and one JSON text, in safetensors: nothing in it can run. ``trainer``
saves one after every epoch and when it is asked to stop, and looks for one when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.hyperparameters import Hyperparameters, to_strings
from sagemaker_semseg.storage import atomic_write

if TYPE_CHECKING:  # the command line looks into a checkpoint before TensorFlow is loaded
    import keras

STATE = "__state__"
MEND = "train from the start (--restart, or remove the file), or give another folder"


def _variables(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[tuple[str, Any]]:
    """Every variable that training changes, under a name that a second run gives it too."""
    for layer in network.layers:
        for i, variable in enumerate(layer.variables):
            yield f"{layer.name}/{i}/{variable.name}", variable
    for i, variable in enumerate(optimizer.variables):
        yield f"optimizer/{i}", variable


def save(path: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer, state: Mapping[str, Any]) -> None:
    """Write the file. state: JSON values. Raises OSError as ``open`` does."""
    arrays = {name: np.asarray(variable) for name, variable in _variables(network, optimizer)}
    arrays = {name: _plain(array) for name, array in arrays.items()}
    arrays[STATE] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        save_file(arrays, str(temporary))


def _plain(array: np.ndarray) -> np.ndarray:
    # safetensors' numpy form has no bfloat16; float32 holds it exactly
    return np.array(array, np.float32 if array.dtype.kind == "V" else array.dtype, order="C")


def read_state(path: Path) -> dict[str, Any]:
    """The state in a checkpoint without its arrays. Raises DataError if the file can't be read as one."""
    try:
        with safe_open(str(path), "np") as file:
            state = json.loads(file.get_tensor(STATE).tobytes())
        if not isinstance(state, dict):
            raise ValueError("the state is no object")
    except (SafetensorError, OSError, ValueError) as error:
        fault = Fault(str(path), f"not a checkpoint of this program, or damaged: {error}", MEND)
        raise DataError("the checkpoint can't be read", [fault]) from error
    return state


def check_same_training(path: Path, state: Mapping[str, Any], hp: Hyperparameters, samples: int) -> None:
    """Raises DataError if the checkpoint at ``path`` is of a training with other hyperparameters or data."""
    before, now = dict(state.get("hyperparameters", {})), to_strings(hp)
    for settings in (before, now):
        settings.pop("class_names", None)  # what a class is called changes no number
    before["training images"], now["training images"] = str(state.get("samples")), str(samples)
    faults = [
        Fault(name, f"was {before.get(name)} when {path} was written, and is {now.get(name)} now", MEND)
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if faults:
        raise DataError("the output folder holds an unfinished training with other settings", faults)


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the state of a checkpoint. Raises DataError if the file can't be read as one."""
    try:
        arrays = load_file(str(path))
        state = json.loads(arrays.pop(STATE).tobytes())
        if not isinstance(state, dict):
            raise ValueError("the state is no object")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        fault = Fault(str(path), f"not a checkpoint of this program, or damaged: {error}", MEND)
        raise DataError("the checkpoint can't be read", [fault]) from error
    return arrays, state


def restore(path: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Fill network and optimizer from the file and return its state. Raises DataError if they don't fit."""
    arrays, state = load(path)
    variables = dict(_variables(network, optimizer))
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        fault = Fault(str(path), "holds the weights of another network or optimizer", MEND)
        raise DataError("the checkpoint can't be continued", [fault])
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return state


def save_weights(path: Path, weights: Mapping[str, np.ndarray], confusion: np.ndarray) -> None:
    """Write the best epoch's weights and confusion matrix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        save_file({**weights, STATE: np.ascontiguousarray(confusion)}, str(temporary))


def load_weights(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What ``save_weights`` wrote. Raises DataError if the file can't be read."""
    try:
        arrays = load_file(str(path))
        return arrays, arrays.pop(STATE)
    except (SafetensorError, OSError, KeyError) as error:
        fault = Fault(str(path), f"missing or damaged: {error}", MEND)
        raise DataError("the best epoch's weights can't be read", [fault]) from error
