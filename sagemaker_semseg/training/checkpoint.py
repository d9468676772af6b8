"""Checkpoints: a training's state, weights and optimizer in one safetensors file, from which it resumes.

    last.safetensors        the state, all variables of the network and of the optimizer
    best.safetensors        the best epoch's weights; the state in ``last`` has its checksum
    best.new.safetensors    those of a better epoch, until ``last`` has been written and has its checksum

A file holds arrays by name and one JSON text: nothing in it can run code. It appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.hyperparameters import Hyperparameters, to_strings
from sagemaker_semseg.storage import remove_leftovers
from sagemaker_semseg.training.checked_arrays import checksum, read_arrays, write_arrays
from sagemaker_semseg.training.early_stopping import EarlyStopping

if TYPE_CHECKING:  # jobs read a checkpoint before TensorFlow is loaded
    import keras

_STATE = "__state__"
_ADDED = {"class_names", "seconds", "best_checksum"}  # earlier checkpoints don't have them
_REMEDY = "train from the start (--restart, or remove the file), or give another folder"


@dataclass
class TrainingState:
    """The state of a training beside its weights and its optimizer.

    Attributes:
        hyperparameters: Of the training, as strings.
        samples: The number of training images.
        class_names: From label 0 on, for the artifact.
        step: Updates done.
        loss_sum: The sum of the losses of the current epoch.
        seconds: Spent on training in the current epoch.
        rate_scale: What callbacks have multiplied the learning rate's schedule by.
        progress: The best epoch, and for how long none has improved.
        best_checksum: Of the file with the best epoch's weights; empty in checkpoints of earlier releases.
        history: The metrics of each finished epoch.
        confusion: The last validation's confusion matrix, which isn't saved.
    """

    hyperparameters: dict[str, str]
    samples: int
    class_names: list[str] = field(default_factory=list)
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    rate_scale: float = 1.0
    progress: EarlyStopping = field(default_factory=EarlyStopping)
    best_checksum: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    confusion: np.ndarray | None = field(default=None, compare=False)

    def saved(self) -> dict[str, Any]:
        """Return the JSON values of a checkpoint."""
        return {name: value for name, value in asdict(self).items() if name != "confusion"}

    def finished(self, hp: Hyperparameters) -> bool:
        """Return whether all epochs are done, or early stopping has ended the training."""
        done = len(self.history)
        return done >= hp.epochs or (done > 0 and self.progress.should_stop(done - 1, hp))

    def forget_best(self) -> None:
        """Forget the best epoch, whose weights are missing (a folder was copied incompletely)."""
        self.progress = replace(self.progress, best=-1.0, best_epoch=-1)
        self.best_checksum = ""

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> TrainingState:
        """Restore the state from ``saved`` values. Raises LookupError or TypeError for other values."""
        names = {field.name for field in fields(cls)} - {"confusion"}
        missing = names - set(saved) - _ADDED
        if missing:
            raise LookupError(f"it has no {min(missing)}")
        values = {name: saved[name] for name in names & set(saved)}
        return cls(**{**values, "progress": EarlyStopping(**saved["progress"])})


def paths(folder: Path) -> tuple[Path, Path]:
    """Return the files of the last and of the best epoch's checkpoint."""
    return folder / "last.safetensors", folder / "best.safetensors"


def _variables(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[tuple[str, Any]]:
    """Every variable that training changes, by a name that is the same in every process."""
    yield from _variables_of_layers(network)
    for i, variable in enumerate(optimizer.variables):
        yield f"optimizer/{i}", variable
    for name, variable in getattr(network, "averages", {}).items():  # of ema_decay
        yield f"average/{name}", variable


def _variables_of_layers(network: keras.Model) -> Iterator[tuple[str, Any]]:
    for layer in network.layers:
        for i, variable in enumerate(layer.variables):
            yield f"{layer.name}/{i}/{variable.name}", variable


def save(path: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer, state: TrainingState) -> None:
    """Write a checkpoint. Raises OSError as ``open`` does."""
    arrays = {name: _without_bfloat16(np.asarray(variable)) for name, variable in _variables(network, optimizer)}
    arrays[_STATE] = np.frombuffer(json.dumps(state.saved()).encode(), np.uint8)
    write_arrays(path, arrays)


def _without_bfloat16(array: np.ndarray) -> np.ndarray:
    # safetensors' numpy form has no bfloat16; float32 holds it exactly
    return np.array(array, np.float32 if array.dtype.kind == "V" else array.dtype, order="C")


def read_state(path: Path) -> TrainingState:
    """Read the state of a checkpoint without its arrays. Raises DataError if the file is no checkpoint."""
    try:
        with safe_open(str(path), "np") as file:
            return TrainingState.of(json.loads(file.get_tensor(_STATE).tobytes()))
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        fault = Fault(str(path), f"not a checkpoint of this program, or damaged: {error}", _REMEDY)
        raise DataError("the checkpoint can't be read", [fault]) from error


def with_chosen_precision(hp: Hyperparameters, state: TrainingState) -> Hyperparameters:
    """Return the hyperparameters with the precision that ``auto`` has chosen when the training began."""
    chosen = state.hyperparameters.get("precision", "float32")
    return replace(hp, precision=chosen) if hp.precision == "auto" else hp


_CHANGE_NO_NUMBER = ("class_names", "allow_doubtful_labels", "checkpoint_minutes", "quantize", "recompute")


def check_same_training(path: Path, state: TrainingState, hp: Hyperparameters, samples: int) -> None:
    """Raise DataError if the checkpoint at ``path`` is of a training with other hyperparameters or data."""
    before, now = dict(state.hyperparameters), to_strings(hp)
    for settings in (before, now):
        for name in _CHANGE_NO_NUMBER:
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
    arrays = _read(path)
    variables = dict(_variables(network, optimizer))
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        raise _other_network(path)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _read(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays without the state. Raises DataError if the file is damaged."""
    try:
        arrays = read_arrays(path)
        del arrays[_STATE]
    except (SafetensorError, OSError, LookupError, ValueError) as error:
        fault = Fault(str(path), f"not a checkpoint of this program, or damaged: {error}", _REMEDY)
        raise DataError("the checkpoint can't be read", [fault]) from error
    return arrays


def _other_network(path: Path) -> DataError:
    fault = Fault(str(path), "holds the weights of another network or optimizer", _REMEDY)
    return DataError("the checkpoint can't be continued", [fault])


def restore_weights(path: Path, network: keras.Model) -> None:
    """Set the weights of a network alone: their averages, if the training has some. Raises as ``restore``."""
    from sagemaker_semseg.models.weights import named_variables  # and Keras

    arrays = _read(path)
    averages = any(name.startswith("average/") for name in arrays)
    named = ((f"average/{name}", variable) for name, variable in named_variables(network))
    for name, variable in named if averages else _variables_of_layers(network):
        array = arrays.get(name)
        if array is None or array.shape != tuple(variable.shape):
            raise _other_network(path)
        variable.assign(array)


def save_weights(path: Path, weights: Mapping[str, np.ndarray], confusion: np.ndarray) -> str:
    """Write the best epoch's weights and confusion matrix, and return the file's checksum."""
    return write_arrays(path, {**weights, _STATE: np.ascontiguousarray(confusion)})


def load_weights(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Read weights and confusion matrix of ``save_weights``. Raises DataError if the file can't be read."""
    try:
        arrays = read_arrays(path)
        return arrays, arrays.pop(_STATE)
    except (SafetensorError, OSError, LookupError, ValueError) as error:
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


def new_best(best: Path) -> Path:
    """Return where the weights of a better epoch are until ``last`` has been written."""
    return best.with_name("best.new.safetensors")


def agree_on_best(best: Path, state: TrainingState) -> bool:
    """Make ``best`` the file that the state in ``last`` was written with. Returns whether there is one.

    A training may be killed after any write: before ``last`` is written, ``best`` belongs to it, and then ``new_best``.
    """
    new, expected = new_best(best), state.best_checksum
    if expected and checksum(new) == expected:
        os.replace(new, best)
    new.unlink(missing_ok=True)  # of an epoch that will be validated again
    return best.is_file() and expected in ("", checksum(best))


def remove_leftovers_of_kill(folder: Path) -> None:
    """Remove temporary files of writes that were killed; those of earlier releases are called ``.tmpXXXXXX``."""
    last, best = paths(folder)
    for path in (last, best, new_best(best)):
        remove_leftovers(path)
    with contextlib.suppress(OSError):
        for path in folder.glob(".tmp??????"):
            path.unlink()


def remove_all(folder: Path) -> None:
    """Remove the checkpoints of an earlier training; other files stay."""
    last, best = paths(folder)
    for path in (last, best, new_best(best)):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it isn't there, or holds something else
        folder.rmdir()
