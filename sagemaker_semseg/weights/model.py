"""Imports models that other libraries trained as artifacts, and exports artifacts for GluonCV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.artifact import Artifact, read_artifact
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import ArtifactError, Fault, SageMakerArtifactError, printable
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.weights import mxnet
from sagemaker_semseg.weights.detect_architecture import network_weights, with_auxiliary
from sagemaker_semseg.weights.files import read_arrays
from sagemaker_semseg.weights.sagemaker_artifact import BEST, known_hyperparameters, read_original

# hyperparameters that have to agree with the weights
DECISIVE = ("algorithm", "backbone", "num_classes")


def read_any(path: Path) -> Artifact:
    """Reads an artifact of this package or of AWS's built-in algorithm. Raises ArtifactError."""
    try:
        return read_artifact(path)
    except SageMakerArtifactError:
        return import_weights(path)[0]


def import_weights(path: Path, member: str = BEST, class_names: Sequence[str] = ()) -> tuple[Artifact, list[str]]:
    """Imports an artifact of AWS's algorithm (or its folder), or a file of weights.

    Args:
        path: the file or folder.
        member: the file in AWS's artifact: ``BEST`` or ``LAST``.
        class_names: names of the classes, from label 0 on.

    Returns:
        An artifact without a runtime graph, and notes for the user.

    Raises:
        ArtifactError: with all faults. Hyperparameters that contradict the weights are faults.
    """
    original = path.is_dir() or _gzipped(path)
    arrays, values = read_original(path, member) if original else (read_arrays(path), {})
    where = f"{path}: {member}" if original else str(path)
    architecture, weights = network_weights(arrays, where)
    known, notes = known_hyperparameters(values)
    _check(architecture, known, where)
    hp = resolve({**known, **{name: getattr(architecture, name) for name in DECISIVE}})
    if not architecture.auxiliary:
        notes.append("there is no auxiliary decoder: predictions don't need one, training starts with a new one")
    labels: dict[str, Any] = {"num_classes": hp.num_classes, "ignore": IGNORE}
    if class_names:
        labels["class_names"] = list(class_names)
    source = {"file": printable(path.name), "member": member if original else None}
    metrics: dict[str, Any] = {"best_epoch": None, "validation": None, "history": [], "imported": source}
    return Artifact(to_strings(hp), with_auxiliary(architecture, weights), labels, metrics), notes


def gluoncv_params(artifact: Artifact, where: str) -> Iterator[bytes]:
    """The pieces of a ``.params`` file for ``load_parameters`` of GluonCV's FCN, PSPNet or DeepLabV3 (aux=True).

    Raises ArtifactError if the weights don't fit, and for backbones on which GluonCV has no such networks.
    """
    architecture, weights = network_weights(artifact.weights, where)
    if architecture.body.block == "basic":
        what = f"is on {architecture.backbone}; GluonCV's segmentation networks begin with resnet-50"
        raise ArtifactError("This model can't be exported for GluonCV:", [Fault(where, what)])
    return mxnet.write(weights)


def _gzipped(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError:
        return False  # the reader reports it


def _check(architecture: ArchitectureSpec, known: dict[str, Any], where: str) -> None:
    given = resolve({"num_classes": 2, **known})
    faults = [
        Fault(name, f"is {getattr(given, name)} in hyperparams.json, the weights are of {getattr(architecture, name)}")
        for name in DECISIVE
        if name in known and getattr(given, name) != getattr(architecture, name)
    ]
    if faults:
        raise ArtifactError(f"{where} and its hyperparameters don't belong together:", faults)
