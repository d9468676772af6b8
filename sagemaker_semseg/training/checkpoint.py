"""Checkpoints: a training's state, weights and optimizer in one safetensors file, from which it resumes.

A file holds arrays by name and one JSON text: nothing in it can run code. It appears whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.hyperparameters import Hyperparameters, to_strings
from sagemaker_semseg.storage import atomic_write
from sagemaker_semseg.training.early_stopping import EarlyStopping

if TYPE_CHECKING:  # jobs read a checkpoint before TensorFlow is loaded
    import keras

_STATE = "__state__"
_REMEDY = "train from the start (--restart, or remove the file), or give another folder"


@dataclass
class TrainingState:
    """The state of a training beside its weights and its optimizer.

    Attributes:
        hyperparameters: Of the training, as strings.
        samples: The number of training images.
        step: Updates done.
        loss_sum: The sum of the losses of the current epoch.
        rate_scale: What callbacks have multiplied the learning rate's schedule by.
        progress: The best epoch, and for how long none has improved.
        history: The metrics of each finished epoch.
        confusion: The last validation's confusion matrix, which isn't saved.
    """

    hyperparameters: dict[str, str]
    samples: int
    step: int = 0
    loss_sum: float = 0.0
    rate_scale: float = 1.0
    progress: EarlyStopping = field(default_factory=EarlyStopping)
    history: list[dict[str, Any]] = field(default_factory=list)
    confusion: np.ndarray | None = field(default=None, compare=False)

    def saved(self) -> dict[str, Any]:
        """Return the JSON values of a checkpoint."""
        return {name: value for name, value in asdict(self).items() if name != "confusion"}

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> TrainingState:
        """Restore the state from ``saved`` values. Raises LookupError or TypeError for other values."""
        names = [field.name for field in fields(cls) if field.name != "confusion"]
        return cls(**{**{name: saved[name] for name in names}, "progress": EarlyStopping(**saved["progress"])})


def _variables(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[tuple[str, Any]]:
    """Every variable that training changes, by a name that is the same in every process."""
    for layer in network.layers:
        for i, variable in enumerate(layer.variables):
            yield f"{layer.name}/{i}/{variable.name}", variable
    for i, variable in enumerate(optimizer.variables):
        yield f"optimizer/{i}", variable
    for name, variable in getattr(network, "averages", {}).items():  # of ema_decay
        yield f"average/{name}", variable


def save(path: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer, state: TrainingState) -> None:
    """Write a checkpoint. Raises OSError as ``open`` does."""
    arrays = {name: _without_bfloat16(np.asarray(variable)) for name, variable in _variables(network, optimizer)}
    arrays[_STATE] = np.frombuffer(json.dumps(state.saved()).encode(), np.uint8)
    _write(path, arrays)


def _without_bfloat16(array: np.ndarray) -> np.ndarray:
    # safetensors' numpy form has no bfloat16; float32 holds it exactly
    return np.array(array, np.float32 if array.dtype.kind == "V" else array.dtype, order="C")


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        save_file(arrays, str(temporary))


def read_state(path: Path) -> TrainingState:
    """Read the state of a checkpoint without its arrays. Raises DataError if the file is no checkpoint."""
    try:
        with safe_open(str(path), "np") as file:
            return TrainingState.of(json.loads(file.get_tensor(_STATE).tobytes()))
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        fault = Fault(str(path), f"not a checkpoint of this program, or damaged: {error}", _REMEDY)
        raise DataError("the checkpoint can't be read", [fault]) from error


def check_same_training(path: Path, state: TrainingState, hp: Hyperparameters, samples: int) -> None:
    """Raise DataError if the checkpoint at ``path`` is of a training with other hyperparameters or data."""
    before, now = dict(state.hyperparameters), to_strings(hp)
    for settings in (before, now):
        for name in ("class_names", "allow_doubtful_labels"):  # they change no number
            settings.pop(name, None)
    before["training images"], now["training images"] = str(state.samples), str(samples)
    faults = [
        Fault(name, f"was {before.get(name)} when {path} was written, and is {now.get(name)} now", _REMEDY)
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if faults:
        raise DataError("the output folder holds an unfinished training with other settings", faults)


def restore(path: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Set the variables of network and optimizer. Raises DataError if the file is damaged or doesn't fit them."""
    try:
        arrays = load_file(str(path))
        del arrays[_STATE]
    except (SafetensorError, OSError, LookupError) as error:
        fault = Fault(str(path), f"not a checkpoint of this program, or damaged: {error}", _REMEDY)
        raise DataError("the checkpoint can't be read", [fault]) from error
    variables = dict(_variables(network, optimizer))
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        fault = Fault(str(path), "holds the weights of another network or optimizer", _REMEDY)
        raise DataError("the checkpoint can't be continued", [fault])
    for name, variable in variables.items():
        variable.assign(arrays[name])


def save_weights(path: Path, weights: Mapping[str, np.ndarray], confusion: np.ndarray) -> None:
    """Write the best epoch's weights and confusion matrix."""
    _write(path, {**weights, _STATE: np.ascontiguousarray(confusion)})


def load_weights(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Read weights and confusion matrix of ``save_weights``. Raises DataError if the file can't be read."""
    try:
        arrays = load_file(str(path))
        return arrays, arrays.pop(_STATE)
    except (SafetensorError, OSError, LookupError) as error:
        raise _unreadable_best(path, error) from error


def load_confusion(path: Path) -> np.ndarray:
    """Read the confusion matrix of ``save_weights`` alone. Raises DataError if the file can't be read."""
    try:
        with safe_open(str(path), "np") as file:
            confusion: np.ndarray = file.get_tensor(_STATE)
    except (SafetensorError, OSError) as error:
        raise _unreadable_best(path, error) from error
    return confusion


def _unreadable_best(path: Path, error: Exception) -> DataError:
    fault = Fault(str(path), f"missing or damaged: {error}", _REMEDY)
    return DataError("the best epoch's weights can't be read", [fault])
