"""Finds the weights that a training starts from, before TensorFlow is loaded.

A model in the channel ``model`` is trained further, as a whole or, with ``new_head``, for other classes. Without one,
``use_pretrained_model`` asks for ImageNet weights of the backbone. They are downloaded only when nothing else is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sagemaker_semseg.architectures import is_classifier
from sagemaker_semseg.artifact import Artifact, locate_artifact
from sagemaker_semseg.environment import WeightLocations
from sagemaker_semseg.errors import ArtifactError, Fault, HyperparameterError, UserError
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.weights import pretrained
from sagemaker_semseg.weights.model import DECISIVE, read_any


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a training starts from, and where they come from.

    weights: under structural names; weights that are left out are random, with None all of them.
    description: for people. notes: what is worth knowing. class_names: those of the model that is trained further.
    """

    weights: Mapping[str, np.ndarray[Any, Any]] | None = None
    description: str = "random weights"
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


RANDOM_INIT = InitialWeights()


def find_local(hp: Hyperparameters, folders: Mapping[str, Path], places: WeightLocations) -> InitialWeights | None:
    """Return the weights if they are on this machine; None if they have to be downloaded.

    Raises UserError with what is wrong.
    """
    if "model" in folders:
        path = locate_artifact(folders["model"])
        return _from_earlier_model(hp, read_any(path), path)
    if hp.new_head:
        fault = Fault("new_head", "there is no earlier model whose head could be replaced", "give one or leave it out")
        raise HyperparameterError("This training can't be started:", [fault])
    if not hp.use_pretrained_model:
        return RANDOM_INIT
    found = pretrained.find(hp.backbone, places, folders.get("pretrained"))
    if found:
        return _pretrained(hp, found)
    if places.offline:
        raise _missing(hp, places, "HF_HUB_OFFLINE forbids to ask the hub")
    return None


def download(hp: Hyperparameters, places: WeightLocations) -> InitialWeights:
    """Download the backbone's ImageNet weights into the cache and return them. Raises UserError."""
    with progress_bar(f"fetching ImageNet weights of {hp.backbone}") as update:
        try:
            found = pretrained.fetch_weights(hp.backbone, places, update)
        except UserError as error:
            reason = "; ".join(fault.what for fault in error.faults) or error.message
            raise _missing(hp, places, f"the hub's {reason}") from None
    return _pretrained(hp, found)


def _missing(hp: Hyperparameters, places: WeightLocations, reason: str) -> HyperparameterError:
    return HyperparameterError(
        "This training can't be started:", [pretrained.missing_weights_error(hp.backbone, places, reason)]
    )


def _pretrained(hp: Hyperparameters, found: pretrained.Found) -> InitialWeights:
    return InitialWeights(pretrained.load(hp.backbone, found), f"ImageNet weights ({found.path})")


def _from_earlier_model(hp: Hyperparameters, artifact: Artifact, path: Path) -> InitialWeights:
    """Weights of a model with the same network; a new head may have other classes."""
    before = resolve(artifact.hyperparameters)
    faults = []
    for name in DECISIVE:
        now, then = getattr(hp, name), getattr(before, name)
        if now == then or (name == "num_classes" and hp.new_head):
            continue
        remedy = f"give --{name.replace('_', '-')} {then}, or train without that channel"
        if name == "num_classes":
            remedy += "; --new-head True keeps all but what tells the classes apart"
        faults.append(Fault(name, f"is {now}, the model in the channel model was trained with {then}", remedy))
    if faults:
        raise ArtifactError(f"{path} can't be trained further:", faults)
    notes = []
    if hp.crop_size != before.crop_size:
        notes.append(f"crop_size is {hp.crop_size}, the model was trained with {before.crop_size}")
    if hp.new_head:
        kept = {name: array for name, array in artifact.weights.items() if not is_classifier(name)}
        classes = f"{hp.num_classes} classes in the place of {before.num_classes}"
        return InitialWeights(kept, f"the model {path} with a new head for {classes}", tuple(notes))
    names = tuple(artifact.labels.get("class_names") or ())
    return InitialWeights(artifact.weights, f"the model {path}", tuple(notes), names)
