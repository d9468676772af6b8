"""Reads the artifact of AWS's built-in algorithm: a ``model.tar.gz`` or a folder with its files.

The files are:

    hyperparams.json     the job's hyperparameters; its exact content is not on record, so the reader is lenient
    model_best.params    weights of the epoch with the best validation mIOU, as Gluon's save_parameters writes them
    model_algo-1         those of the last epoch
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagemaker_semseg.artifact.members import ORIGINAL_MAX_BYTES, read_members
from sagemaker_semseg.errors import ArtifactError, Fault, HyperparameterError
from sagemaker_semseg.hyperparameters import TABLE, resolve
from sagemaker_semseg.weights import mxnet
from sagemaker_semseg.weights.mxnet import Array

BEST, LAST = "model_best.params", "model_algo-1"


def read_original(path: Path, member: str = BEST) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a member and the job's unchecked hyperparameters. Raises ArtifactError with all faults."""
    members = read_members(path, ("hyperparams.json", member), ORIGINAL_MAX_BYTES, ())
    try:
        values = json.loads(members["hyperparams.json"])
        if not isinstance(values, dict):
            raise ValueError("is not a JSON object")
    except (ValueError, RecursionError) as error:
        fault = Fault(f"{path}: hyperparams.json", f"can't be read: {error}", "download the artifact again")
        raise ArtifactError(f"{path} can't be used as a model:", [fault]) from None
    return mxnet.read(members[member], f"{path}: {member}"), values


def known_hyperparameters(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The hyperparameters that this package knows and can use, and a line about each of the others.

    A job has more settings than the use of its model needs, so one that can't be read is no reason to refuse it.
    """
    names = {row.name for row in TABLE}
    known = {name: value for name, value in values.items() if name in names}
    notes = [f"{name[:60]!a} is not known here" for name in values if name not in names]
    while True:
        try:
            resolve({"num_classes": 2, **known})
            return known, notes
        except HyperparameterError as error:
            broken = [fault for fault in error.faults if fault.where in known]
            if not broken:  # one that is missing, because of another
                known.pop("lr_scheduler", None)
                notes.append(f"lr_scheduler can't be used: {error.faults[0]}")
            for fault in broken:
                del known[fault.where]
                notes.append(str(fault)[:200])
