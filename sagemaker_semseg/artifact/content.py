"""Converts the members of an artifact to checked values and back.

Writing and reading make the same checks, so that what was written can be read. The safetensors library reads the
weights, a format of numbers and nothing else; JSON is read strictly.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from sagemaker_semseg.artifact.graph import check_graph
from sagemaker_semseg.artifact.members import MAX_BYTES, MIB
from sagemaker_semseg.errors import AlgorithmError, ArtifactError, Fault, HyperparameterError
from sagemaker_semseg.hyperparameters import MAX_CLASSES, resolve

FORMAT_VERSION = 1

_MAX_DEPTH = 20
_MAX_DIGITS = 20
_MAX_HEADER_BYTES = 4 * MIB
_T = TypeVar("_T")
_WEIGHT_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,200}")


@dataclass(frozen=True, eq=False)
class Artifact:
    """A trained model as data.

    Attributes:
        hyperparameters: Every resolved hyperparameter as a string (``hyperparameters.to_strings``).
        weights: float32 arrays under the reference implementation's names (``layer3.2.bn2.running_mean``), convolutions
            as (out, in, height, width).
        labels: JSON values: ``num_classes`` (int), and where they are known ``class_names`` (a list of that many
            strings), ``ignore`` (the mask's value for pixels without a label) and ``label_map`` (how masks were read).
        metrics: What validation measured, as JSON values; None stands for a number that isn't defined.
        graph: The runtime graph (ONNX), made from the weights by ``export``; None where there is none.
        int8_graph: The runtime graph with int8 convolutions, of the same form; None where there is none.
    """

    hyperparameters: dict[str, str]
    weights: dict[str, npt.NDArray[np.float32]]
    labels: dict[str, Any]
    metrics: dict[str, Any]
    graph: bytes | None = field(default=None, repr=False)
    int8_graph: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class InferenceArtifact:
    """The part of an ``Artifact`` that inference needs; ``graph`` is empty where int8 alone was read."""

    hyperparameters: dict[str, str]
    labels: dict[str, Any]
    graph: bytes = field(repr=False)
    int8_graph: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ArtifactSummary:
    """The small part of an ``Artifact``: no weights and no graph."""

    hyperparameters: dict[str, str]
    labels: dict[str, Any]
    metrics: dict[str, Any]


_GRAPHS = ("model.int8.onnx", "model.onnx")
"""The members of the runtime graphs, the small one first: a reader that takes it can leave the other out."""


def pack(artifact: Artifact) -> dict[str, bytes]:
    """Returns the members' bytes in the archive's order, the small ones first, so that they are found quickly.

    Raises ``AlgorithmError`` with all faults for an artifact that ``unpack`` would refuse.
    """
    faults: list[Fault] = []
    versioned = {"format_version": FORMAT_VERSION, "hyperparameters": artifact.hyperparameters}
    texts = {"hyperparams.json": versioned, "labels.json": artifact.labels, "metrics.json": artifact.metrics}
    members: dict[str, bytes] = {}
    for name, value in texts.items():
        try:
            members[name] = json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
            _json(members[name])
        except (TypeError, ValueError, RecursionError) as error:
            faults.append(Fault(name, f"is not strict JSON: {error}", "write None for a number that isn't defined"))
    faults += _faults_of_values(artifact.hyperparameters, artifact.labels) + _faults_of_weights(artifact.weights)
    both = zip(_GRAPHS, (artifact.int8_graph, artifact.graph), strict=True)
    graphs = {name: graph for name, graph in both if graph is not None}
    labels = None if faults else artifact.labels
    faults += [fault for name, graph in graphs.items() for fault in _faults_of_graph(name, graph, labels)]
    if not faults:
        contiguous = {name: np.ascontiguousarray(array) for name, array in artifact.weights.items()}
        members["model.safetensors"] = safetensors.numpy.save(contiguous)
        members.update(graphs)
        faults = [
            Fault(name, f"has {len(data)} bytes, {MAX_BYTES[name]} are the limit")
            for name, data in members.items()
            if len(data) > MAX_BYTES[name]
        ]
    if faults:
        raise AlgorithmError("The model can't be written as an artifact:", faults)
    return members


def unpack(path: Path, members: dict[str, bytes]) -> Artifact:
    """Returns the artifact; takes each member out of ``members`` to free its memory early.

    Raises ``ArtifactError`` with all faults; ``path`` is for its message.
    """
    reading = _Unpacking(members)
    hyperparameters = reading.read("hyperparams.json", _hyperparameters)
    labels = reading.read("labels.json", _json)
    metrics = reading.read("metrics.json", _json)
    weights = reading.read("model.safetensors", _weights)
    reading.faults += _faults_of_values(hyperparameters, labels)
    if weights is not None:
        reading.faults += _faults_of_weights(weights)
    if reading.faults or hyperparameters is None or labels is None or metrics is None or weights is None:
        raise ArtifactError(f"{path} can't be used as a model:", reading.faults)
    return Artifact(hyperparameters, weights, labels, metrics)


def unpack_inference_artifact(path: Path, members: dict[str, bytes]) -> InferenceArtifact:
    """As ``unpack``, without weights and metrics."""
    reading = _Unpacking(members)
    hyperparameters = reading.read("hyperparams.json", _hyperparameters)
    labels = reading.read("labels.json", _json)
    reading.faults += _faults_of_values(hyperparameters, labels)
    known = None if reading.faults else labels
    graphs = {name: members.pop(name) for name in _GRAPHS if name in members}
    for name, graph in graphs.items():
        reading.faults += _faults_of_graph(name, graph, known)
    if reading.faults or hyperparameters is None or labels is None:
        raise ArtifactError(f"{path} can't be used as a model:", reading.faults)
    return InferenceArtifact(hyperparameters, labels, graphs.get("model.onnx", b""), graphs.get("model.int8.onnx"))


def unpack_summary(path: Path, members: dict[str, bytes]) -> ArtifactSummary:
    """As ``unpack``, without the weights."""
    reading = _Unpacking(members)
    hyperparameters = reading.read("hyperparams.json", _hyperparameters)
    labels, metrics = reading.read("labels.json", _json), reading.read("metrics.json", _json)
    reading.faults += _faults_of_values(hyperparameters, labels)
    if reading.faults or hyperparameters is None or labels is None or metrics is None:
        raise ArtifactError(f"{path} can't be used as a model:", reading.faults)
    return ArtifactSummary(hyperparameters, labels, metrics)


class _Unpacking:
    """The remaining members, and the faults of those that were read."""

    def __init__(self, members: dict[str, bytes]):
        self.members = members
        self.faults: list[Fault] = []

    def read(self, name: str, parse: Callable[[bytes], _T]) -> _T | None:
        try:
            return parse(self.members.pop(name))
        except (ValueError, RecursionError) as error:
            self.faults.append(Fault(name, str(error), "give an undamaged artifact that this package has written"))
            return None


# ---- checks of values, the same for writing and reading


def _faults_of_values(hyperparameters: Mapping[str, Any] | None, labels: Mapping[str, Any] | None) -> list[Fault]:
    """Faults of both; None is one that couldn't be read and has its fault already."""
    faults: list[Fault] = []
    classes = None
    if hyperparameters is not None:
        if not all(isinstance(value, str) for value in hyperparameters.values()):
            faults.append(Fault("hyperparams.json", "holds a value that is not a string"))
        try:
            classes = resolve(hyperparameters).num_classes
        except HyperparameterError as error:
            faults += [Fault(f"hyperparams.json: {f.where}", f.what, f.remedy) for f in error.faults]
    if labels is not None:
        given, names = labels.get("num_classes"), labels.get("class_names")
        if not isinstance(given, int) or isinstance(given, bool) or not 2 <= given <= MAX_CLASSES:
            faults.append(Fault("labels.json: num_classes", f"an integer from 2 to {MAX_CLASSES} is expected"))
        elif classes is not None and given != classes:
            what = f"is {given}, but hyperparams.json has {classes}"
            faults.append(Fault("labels.json: num_classes", what))
        elif names is not None and not (
            isinstance(names, list) and len(names) == given and all(isinstance(name, str) for name in names)
        ):
            faults.append(Fault("labels.json: class_names", f"a list of {given} strings is expected"))
    return faults


def _faults_of_weights(weights: Mapping[str, Any]) -> list[Fault]:
    faults = [] if weights else [Fault("model.safetensors", "holds no weights")]
    for name, array in weights.items():
        where = f"model.safetensors: {name if _WEIGHT_NAME.fullmatch(name) else ascii(name[:60])}"
        if not _WEIGHT_NAME.fullmatch(name):
            faults.append(Fault(where, "is not a name for an array"))
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim > 4:
            faults.append(Fault(where, "an array of float32 with up to 4 dimensions is expected"))
        elif not np.isfinite(array).all():
            what = "holds NaN or infinite numbers, which would make every prediction meaningless"
            faults.append(Fault(where, what, "train again with a lower learning rate"))
    return faults


def _faults_of_graph(member: str, graph: bytes, labels: Mapping[str, Any] | None) -> list[Fault]:
    """Faults of a graph, and whether it agrees with ``labels`` where those are right."""
    command = "export MODEL -o NEW" if member == "model.onnx" else "quantize MODEL --data DIR -o NEW"
    remedy = f"write it again with: sagemaker-semseg {command}"
    try:
        classes = check_graph(graph)
    except ValueError as error:
        return [Fault(member, str(error), remedy)]
    if labels is not None and labels["num_classes"] != classes:
        return [Fault(member, f"has {classes} classes, but labels.json has {labels['num_classes']}", remedy)]
    return []


# ---- bytes to values; each raises ValueError with what a fault says


def _hyperparameters(data: bytes) -> dict[str, Any]:
    content = _json(data)
    version = content.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise ValueError("has no format_version, so this package has not written it")
    if version != FORMAT_VERSION:
        raise ValueError(f"has format version {version}, this release reads {FORMAT_VERSION}")
    hyperparameters = content.get("hyperparameters")
    if not isinstance(hyperparameters, dict):
        raise ValueError("has no hyperparameters")
    return hyperparameters


def _weights(data: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Arrays of a safetensors file. The header is checked here, its offsets by the library."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise ValueError("is cut off, or not a safetensors file")
    for name, entry in _json(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict) or entry.get("dtype") != "F32":
            raise ValueError(f"{name[:60]!a} is not an array of float32")
        shape = entry.get("shape")
        if not isinstance(shape, list) or len(shape) > 4:
            raise ValueError(f"{name[:60]!a} has no shape of up to 4 dimensions")
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, TypeError, OverflowError) as error:
        raise ValueError(f"is damaged: {error}") from None


def _json(data: bytes) -> dict[str, Any]:
    """A JSON object, read strictly: UTF-8, every key once, finite numbers, at most 20 levels deep."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_float
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    _check_tree(value)
    return value


def _check_tree(value: object) -> None:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str):
                item.encode("utf-8")  # raises ValueError for half a surrogate pair
        level = inner
    if level:
        raise ValueError("is nested too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("has a key twice")
    return result


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("holds an integer of too many digits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("holds a number that is not finite")
    return number
