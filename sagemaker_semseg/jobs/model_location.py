"""Reads a model on this machine or in S3."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sagemaker_semseg.artifact import InferenceArtifact, locate_artifact, read_inference_artifact
from sagemaker_semseg.artifact.members import MAX_TOTAL_BYTES
from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.storage import is_s3, locate


def load_inference_artifact(model: str, *, prefer_int8: bool = False) -> InferenceArtifact:
    """Read what inference needs of a model, which may be in S3.

    The float32 graph is left out where there is one in int8 and ``prefer_int8`` is given. Raises ArtifactError;
    UserError if S3 can't be used.
    """
    with local_artifact(model) as path:
        return read_inference_artifact(path, prefer_int8=prefer_int8)


@contextlib.contextmanager
def local_artifact(model: str) -> Iterator[Path]:
    """Yield the path of a model; one in S3 is fetched, and removed at the end.

    Raises ArtifactError, in the block as well, with the model's address in S3; UserError if S3 can't be used.
    """
    if not is_s3(model):
        yield locate_artifact(Path(model))
        return
    store, entry = locate(model)
    if not entry:
        fault = Fault(model, "no such object", "give the s3:// of a model.tar.gz")
        raise ArtifactError(f"{model} can't be used as a model:", [fault])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tar.gz")
        path.write_bytes(store.read(entry, MAX_TOTAL_BYTES))
        try:
            yield path
        except ArtifactError as error:
            faults = [dataclasses.replace(fault, where=fault.where.replace(str(path), model)) for fault in error.faults]
            raise ArtifactError(f"{model} can't be used as a model:", faults) from None
