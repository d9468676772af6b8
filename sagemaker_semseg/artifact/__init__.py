"""A trained model as a file: ``Artifact``, read from and written to ``model.tar.gz`` or a folder.

    hyperparams.json     format version and every resolved hyperparameter, as strings
    labels.json          num_classes; class names, ignored label and label map where they are known
    metrics.json         what validation measured
    model.safetensors    float32 arrays, convolutions as (out, in, height, width)
    model.int8.onnx      the runtime graph quantized, where there is one
    model.onnx           the runtime graph, where there is one

It contains no code, and nothing is loaded that could run any. ``members`` reads the files' bytes from an archive or a
folder that may be hostile; ``content`` converts the bytes to values and back.
"""

from __future__ import annotations

import os
from pathlib import Path

from sagemaker_semseg.artifact.content import (
    FORMAT_VERSION,
    Artifact,
    ArtifactSummary,
    InferenceArtifact,
    pack,
    unpack,
    unpack_inference_artifact,
    unpack_summary,
)
from sagemaker_semseg.artifact.members import MAX_BYTES, REQUIRED, read_members, write_members
from sagemaker_semseg.storage import atomic_write

_FIRST = "hyperparams.json"

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "ArtifactSummary",
    "InferenceArtifact",
    "locate_artifact",
    "read_artifact",
    "read_inference_artifact",
    "read_summary",
    "write_artifact",
]


def write_artifact(path: str | os.PathLike[str], artifact: Artifact, *, archive: bool | None = None) -> None:
    """Writes an artifact as an archive or as a folder with the same files.

    Equal artifacts give equal bytes. The archive, or each file of a folder, is replaced whole or not at all.

    Args:
        path: The archive, or the folder; the folder is created, its parent has to exist.
        artifact: The model.
        archive: Whether an archive is written; by default where ``path`` ends in ``.tar.gz`` or ``.tgz``.

    Raises:
        AlgorithmError: ``read_artifact`` would refuse this artifact; with all faults.
        OSError: The files can't be written.
    """
    path, members = Path(path), pack(artifact)
    if path.name.lower().endswith((".tar.gz", ".tgz")) if archive is None else archive:
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            write_members(file, members)
        return
    path.mkdir(exist_ok=True)
    for name in MAX_BYTES.keys() - members.keys():
        (path / name).unlink(missing_ok=True)  # of an earlier artifact
    for name, data in members.items():
        with atomic_write(path / name) as temporary:
            temporary.write_bytes(data)


def locate_artifact(path: str | os.PathLike[str]) -> Path:
    """Returns the artifact that a file, a folder with its files or a training's output folder stands for.

    An output folder holds ``model.tar.gz`` or the folder ``model``. Other paths are returned as they are.
    """
    path = Path(path)
    if (path / "model.tar.gz").is_file():
        return path / "model.tar.gz"
    if not path.is_dir() or (path / _FIRST).exists():
        return path
    archives = list(path.glob("*.tar.gz"))  # an object in S3 may have any name
    if len(archives) == 1:
        return archives[0]
    return path / "model" if (path / "model").is_dir() else path


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Reads an artifact without its graph.

    Nothing is unpacked to disk, and memory stays within twice the limits in ``members``, whatever the file claims.

    Args:
        path: A ``model.tar.gz``, or a folder with its files.

    Raises:
        ArtifactError: It is missing, damaged, foreign or unsafe; with all faults.
    """
    return unpack(Path(path), read_members(Path(path), REQUIRED))


def read_inference_artifact(path: str | os.PathLike[str], *, prefer_int8: bool = False) -> InferenceArtifact:
    """Reads an artifact's graphs, hyperparameters and labels, as safely as ``read_artifact``.

    Args:
        path: A ``model.tar.gz``, or a folder with its files.
        prefer_int8: Whether ``graph`` is left empty where there is an int8 graph: float32 takes four times its memory.

    Raises:
        ArtifactError: As ``read_artifact``, also if there is no graph.
    """
    wanted = ("hyperparams.json", "labels.json", "model.onnx")
    left_out = {"model.onnx": "model.int8.onnx"} if prefer_int8 else {}
    members = read_members(Path(path), wanted, optional=("model.int8.onnx",), left_out=left_out)
    return unpack_inference_artifact(Path(path), members)


def read_summary(path: str | os.PathLike[str]) -> ArtifactSummary:
    """Reads an artifact's hyperparameters, labels and metrics, as safely as ``read_artifact``.

    Raises ``ArtifactError``.
    """
    members = read_members(Path(path), ("hyperparams.json", "labels.json", "metrics.json"))
    return unpack_summary(Path(path), members)
