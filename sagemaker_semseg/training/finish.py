"""Writes a training's artifact from its checkpoints."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.artifact import Artifact, write_artifact
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.export.runtime_graph import with_graph
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.checkpoint import TrainingState


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        artifact: The path of the model.
        history: The metrics of each epoch.
        best_epoch: From 0; None if no epoch has ended.
        scores: Of the best epoch; None if there is none.
        signal: The number of the signal that stopped the training, if one did.
    """

    artifact: Path
    history: list[dict[str, Any]]
    best_epoch: int | None
    scores: Scores | None
    signal: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether a signal stopped the training."""
        return self.signal is not None


def write_model(
    path: Path,
    state: TrainingState,
    best: Path,
    weights: Mapping[str, np.ndarray] | None = None,
    signal: int | None = None,
) -> TrainingResult:
    """Write the artifact with the best epoch's weights.

    Args:
        path: The archive or folder.
        state: The state of the training.
        best: The file with the best epoch's weights.
        weights: Those to write if no epoch has ended.
        signal: Goes into the result.
    """
    scores, best_epoch = None, None
    if state.progress.best_epoch >= 0:
        weights, confusion = checkpoint.load_weights(best)
        scores, best_epoch = Scores.of(confusion), state.progress.best_epoch
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "python": platform.python_version()}
    metrics = {
        "best_epoch": best_epoch,
        "validation": scores.to_dict(state.class_names) if scores else None,
        "history": state.history,
        "made_with": versions,
    }
    labels: dict[str, Any] = {"num_classes": int(state.hyperparameters["num_classes"]), "ignore": IGNORE}
    if state.class_names:
        labels["class_names"] = list(state.class_names)
    assert weights is not None
    artifact = Artifact(state.hyperparameters, dict(weights), labels, metrics)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            artifact = with_graph(artifact)
        finally:  # whatever is wrong with the graph, the weights are not lost
            write_artifact(path, artifact)
    except OSError as error:
        again = f"sagemaker-semseg train --finish --checkpoints {best.parent} --output FOLDER"
        vars(error)["__notes__"] = [f"the training is kept in {best.parent}, the model can't be written ({again})"]
        raise
    return TrainingResult(path, state.history, best_epoch, scores, signal)


def finish(checkpoints: Path, path: Path) -> TrainingResult:
    """Write the artifact of the training in a folder of checkpoints: of its best epoch, or of its last step.

    Raises:
        DataError: There is no checkpoint, or it is damaged.
        OSError: The artifact can't be written.
    """
    last, best = checkpoint.paths(checkpoints)
    state = checkpoint.read_state(last)
    if not checkpoint.agree_on_best(best, state):
        state.forget_best()
    weights = None if state.progress.best_epoch >= 0 else _last_weights(last, state)
    return write_model(path, state, best, weights)


def _last_weights(last: Path, state: TrainingState) -> dict[str, np.ndarray]:
    hp = resolve(state.hyperparameters)
    network = build_network(hp.algorithm, hp.backbone, hp.num_classes, output_stride=hp.stride, dtype=hp.precision)
    checkpoint.restore_weights(last, network)
    return get_weights(network)
