"""Reads what inference needs of a model on this machine or in S3."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from sagemaker_semseg.artifact import InferenceArtifact, locate_artifact, read_inference_artifact
from sagemaker_semseg.artifact.members import MAX_TOTAL_BYTES
from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.storage import is_s3, locate


def load_inference_artifact(model: str) -> InferenceArtifact:
    """Read what inference needs of a model, which may be in S3. Raises ArtifactError; UserError if S3 can't be used."""
    if not is_s3(model):
        return read_inference_artifact(locate_artifact(Path(model)))
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
