"""Settings, epochs and scores of a training, from its model or from the checkpoint while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sagemaker_semseg.artifact import read_summary
from sagemaker_semseg.errors import ArtifactError, DataError, Fault, UserError
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.report.sample_rows import Drawing, read_sample_rows
from sagemaker_semseg.report.training_start import TrainingStart
from sagemaker_semseg.training import checkpoint

__all__ = ["EPOCH_KEYS", "TrainingFiles", "TrainingRecord", "read_record"]

EPOCH_KEYS: Final = ("loss", "learning_rate", "throughput", "val_mIOU", "val_pixel_accuracy", "val_throughput")

_MAX_EPOCHS: Final = 100_000
_MAX_PIXELS: Final = 2**53


@dataclass(frozen=True)
class TrainingFiles:
    """Where a training's files are; each may be missing.

    Attributes:
        model: ``model.tar.gz``, or a folder of its files.
        checkpoints: The folder of the checkpoints.
        reports: The folder of ``report.html`` and ``training.json``.
    """

    model: Path
    checkpoints: Path
    reports: Path

    @property
    def page(self) -> Path:
        """Where the report is written."""
        return self.reports / "report.html"

    @property
    def samples(self) -> Path:
        """The folder of the predictions after some epochs."""
        return self.reports / "samples"


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """What a training's files say about it.

    Attributes:
        source: The file that was read, as it is shown.
        hyperparameters: As they were resolved.
        class_names: From label 0 on; empty if they aren't known.
        history: For each finished epoch the numbers of ``EPOCH_KEYS``.
        best_epoch: From 0; None if there is none.
        scores: Of the best epoch on the validation data.
        finished: False if it comes from a checkpoint: the training runs, or was stopped.
        versions: Of the libraries it was made with.
        start: How it was started, if that is known.
        samples: For a few validation images the image, its labels, and predictions after some epochs.
    """

    source: str
    hyperparameters: Hyperparameters
    class_names: tuple[str, ...] = ()
    history: tuple[Mapping[str, float], ...] = ()
    best_epoch: int | None = None
    scores: Scores | None = None
    finished: bool = True
    versions: Mapping[str, str] | None = None
    start: TrainingStart | None = None
    samples: Sequence[Sequence[Drawing]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names, or their labels as text."""
        return self.class_names or tuple(map(str, range(self.hyperparameters.num_classes)))

    def series(self, key: str) -> list[float]:
        """Return one number of every epoch, NaN where it is missing."""
        return [epoch.get(key, float("nan")) for epoch in self.history]


def read_record(files: TrainingFiles) -> TrainingRecord:
    """Read what is known of a training: from the checkpoint if that is newer than the model.

    Raises:
        ArtifactError: The model is missing, damaged or foreign.
        DataError: The checkpoint or ``training.json`` is damaged.
        UserError: No epoch has ended yet.
    """
    return replace(_read_record(files), samples=read_sample_rows(files.samples))


def _read_record(files: TrainingFiles) -> TrainingRecord:
    start = TrainingStart.read(files.reports)
    last, model = files.checkpoints / "last.safetensors", _model_file(files.model)
    if last.is_file() and (model is None or last.stat().st_mtime > model.stat().st_mtime):
        return _of_checkpoint(last, start)
    if model is None and start is not None:
        fault = Fault(str(files.reports), "no epoch of this training has ended", "wait for the first one")
        raise UserError("There is nothing to report yet:", [fault])
    return _of_model(files.model, start)


def _model_file(model: Path) -> Path | None:
    path = model / "metrics.json" if model.is_dir() else model
    return path if path.is_file() else None


def _of_checkpoint(last: Path, start: TrainingStart | None) -> TrainingRecord:
    state = checkpoint.read_state(last)
    hp = resolve(state.hyperparameters)
    best: int | None = state.progress.best_epoch
    scores, best_file = None, last.with_name("best.safetensors")
    if best is not None and best >= 0 and best_file.is_file():
        scores = _scores(checkpoint.load_confusion(best_file), hp.num_classes)
    try:
        history = _history(state.history)
    except ValueError as error:
        raise DataError("the report can't be written:", [Fault(str(last), str(error))]) from None
    return TrainingRecord(
        str(last),
        hp,
        hp.class_names or (start.class_names if start else ()),
        history,
        best if scores else None,
        scores,
        finished=False,
        start=start,
    )


def _of_model(model: Path, start: TrainingStart | None) -> TrainingRecord:
    summary = read_summary(model)
    hp, metrics = resolve(summary.hyperparameters), summary.metrics
    try:
        history, best = _history(metrics.get("history") or []), metrics.get("best_epoch")
        if best is not None and not (isinstance(best, int) and 0 <= best < len(history)):
            raise ValueError("best_epoch is not the number of an epoch")
        validation = metrics.get("validation") or {}
        confusion = validation.get("confusion_matrix") if isinstance(validation, dict) else None
        scores = _scores(confusion, hp.num_classes) if confusion is not None else None
    except ValueError as error:
        fault = Fault("metrics.json", str(error), "give a model that a training of this package has written")
        raise ArtifactError(f"{model} can't be reported on:", [fault]) from None
    made_with = metrics.get("made_with")
    versions = {str(name): str(value) for name, value in made_with.items()} if isinstance(made_with, dict) else {}
    names = tuple(summary.labels.get("class_names") or ())
    return TrainingRecord(str(model), hp, names, history, best, scores, versions=versions, start=start)


def _history(value: Any) -> tuple[dict[str, float], ...]:
    if not isinstance(value, list) or len(value) > _MAX_EPOCHS or not all(isinstance(epoch, dict) for epoch in value):
        raise ValueError("history is not a list of epochs")
    return tuple({key: float(epoch[key]) for key in EPOCH_KEYS if _is_number(epoch.get(key))} for epoch in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _scores(confusion: Any, num_classes: int) -> Scores:
    try:
        counts = np.array(confusion, np.int64)
    except (TypeError, ValueError, OverflowError):
        counts = np.zeros(0, np.int64)
    if counts.shape != (num_classes, num_classes) or counts.min() < 0 or counts.max() > _MAX_PIXELS:
        raise ValueError(f"the confusion matrix doesn't have {num_classes} x {num_classes} counts of pixels")
    return Scores.of(counts)
