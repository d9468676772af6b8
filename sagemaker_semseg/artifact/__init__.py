"""A trained model as a file: an ``Artifact`` of plain values and arrays goes in and comes out of ``model.tar.gz``.

    hyperparams.json     format version and every resolved hyperparameter, as strings
    labels.json          num_classes; class names, ignored label and label map where they are known
    metrics.json         what validation measured
    model.safetensors    float32 arrays under the reference engine's names, convolutions as (out, in, height, width)
    model.onnx           the runtime graph, where there is one

There is no code in it, and nothing is loaded that could run any. Training writes artifacts; evaluation and export read
them with the weights, prediction and serving with the graph in place of those. ``members`` takes the bytes out of an
archive or a folder that may be hostile, ``content`` turns bytes into values and back.
"""

from __future__ import annotations

import os
from pathlib import Path

from sagemaker_semseg.artifact.content import (
    FORMAT_VERSION,
    Artifact,
    InferenceArtifact,
    pack,
    unpack,
    unpack_inference_artifact,
)
from sagemaker_semseg.artifact.members import MAX_BYTES, REQUIRED, read_members, write_members
from sagemaker_semseg.storage import atomic_write

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "InferenceArtifact",
    "read_artifact",
    "read_inference_artifact",
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


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """The artifact in ``path``, without its graph: a ``model.tar.gz``, or a folder with the files of one.

    Nothing is unpacked to disk, and memory stays within twice the limits in ``members``, whatever the file claims.
    Raises ``ArtifactError`` with all faults if it is missing, damaged, foreign or unsafe.
    """
    return unpack(Path(path), read_members(Path(path), REQUIRED))


def read_inference_artifact(path: str | os.PathLike[str]) -> InferenceArtifact:
    """The artifact in ``path`` as it is used, with the graph and without weights: safe and checked as by
    ``read_artifact``. Raises ``ArtifactError``, also where there is no graph.
    """
    return unpack_inference_artifact(
        Path(path), read_members(Path(path), ("hyperparams.json", "labels.json", "model.onnx"))
    )
