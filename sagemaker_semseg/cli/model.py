"""The model that a user means: a path from the command line comes in, its artifact, or what is needed of it, goes out.
The commands call it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from sagemaker_semseg.artifact import Artifact, InferenceArtifact, read_inference_artifact
from sagemaker_semseg.artifact.members import MAX_TOTAL_BYTES
from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.storage import is_s3, locate


def model_path(path: Path) -> Path:
    """The artifact meant by a file, by a folder with an artifact's files, or by a training's output folder."""
    inside = path / "model.tar.gz"
    if inside.is_file():
        return inside
    archives = list(path.glob("*.tar.gz")) if path.is_dir() else []  # an object in S3 may have any name
    return archives[0] if len(archives) == 1 else path


def runtime_of(model: str) -> InferenceArtifact:
    """The runtime of a model, which may lie in S3. Raises ``ArtifactError``, and ``UserError`` if S3 can't be used."""
    if not is_s3(model):
        return read_inference_artifact(model_path(Path(model)))
    store, entry = locate(model)
    if not entry:
        fault = Fault(model, "no such object", "give the s3:// of a model.tar.gz")
        raise ArtifactError(f"{model} can't be used as a model:", [fault])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tar.gz")
        path.write_bytes(store.read(entry, MAX_TOTAL_BYTES))
        try:
            return read_inference_artifact(path)
        except ArtifactError as error:
            faults = [dataclasses.replace(fault, where=fault.where.replace(str(path), model)) for fault in error.faults]
            raise ArtifactError(f"{model} can't be used as a model:", faults) from None


def class_names(artifact: Artifact) -> list[str]:
    """The artifact's class names, or the labels as text."""
    names = artifact.labels.get("class_names")
    return list(names) if names else [str(label) for label in range(artifact.labels["num_classes"])]
