"""What to try next, by rules over the epochs and the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.report.training_record import TrainingRecord

__all__ = ["Suggestion", "suggest"]

FEW_EPOCHS: Final = 4
"""With fewer, curves say nothing."""

_STEADY: Final = 0.98  # a loss that falls by less than 2 % has stopped falling
_LISTED: Final = 5


@dataclass(frozen=True)
class Suggestion:
    """what: to do, as an imperative. why: what in this training suggests it."""

    what: str
    why: str


def suggest(record: TrainingRecord, scores: Scores | None = None) -> list[Suggestion]:
    """Return what to try next, the most promising first; empty if nothing stands out.

    Args:
        record: The training.
        scores: On labeled images; the best epoch's on the validation data if None.
    """
    scores = scores or record.scores
    if not record.finished and len(record.history) < FEW_EPOCHS:
        return []
    found = [*_of_curves(record)]
    if scores is not None and scores.confusion.any():
        found = [*_of_classes(record, scores), *found]
    return found


def _of_classes(record: TrainingRecord, scores: Scores) -> Iterator[Suggestion]:
    hp, names, confusion = record.hyperparameters, record.names, scores.confusion
    labeled, predicted = confusion.sum(1), confusion.sum(0)
    never = np.flatnonzero((labeled > 0) & (predicted == 0))
    if never.size:
        shares = ", ".join(f"{names[i]} ({labeled[i] / labeled.sum():.2%} of the pixels)" for i in never[:_LISTED])
        more = f" and {never.size - _LISTED} more" if never.size > _LISTED else ""
        remedy = "Show these classes more often: more images of them"
        remedy += "" if hp.class_weights else ', or class_weights="auto"'
        yield Suggestion(f"{remedy}; check their masks", f"never predicted: {shares}{more}")
    rows = confusion / np.maximum(labeled, 1)[:, None]
    np.fill_diagonal(rows, 0)
    taken = [i for i in np.argsort(-rows.max(1)) if rows[i].max() > 0.3 and i not in never]
    for i in taken[:3]:
        other = int(rows[i].argmax())
        yield Suggestion(
            f"Compare the masks of {names[i]} and {names[other]}: are they labeled by one rule?",
            f"{rows[i, other]:.0%} of the pixels of {names[i]} are predicted as {names[other]}",
        )
    if not never.size and not hp.class_weights and scores.pixel_accuracy - scores.miou > 0.3:
        yield Suggestion(
            'Weigh rare classes more: class_weights="auto"',
            f"pixel accuracy is {scores.pixel_accuracy:.2f}, mIOU {scores.miou:.2f}: rare classes are neglected",
        )


def _of_curves(record: TrainingRecord) -> Iterator[Suggestion]:
    hp, best, done = record.hyperparameters, record.best_epoch, len(record.history)
    losses = np.array(record.series("loss"))
    if done < FEW_EPOCHS or not np.isfinite(losses).all():
        return
    lower, halves = f"{hp.learning_rate / 3:.2g}", np.array_split(losses, 2)
    jumps = int((losses[1:] > 1.5 * losses[:-1]).sum())
    if losses[-1] > losses[0] or jumps >= 2:
        what = (
            "the loss is higher at the end than at the start" if losses[-1] > losses[0] else f"it jumps {jumps} times"
        )
        yield Suggestion(
            f"Lower the learning rate, for instance to {lower}, or warm it up: warmup_epochs=1", f"loss: {what}"
        )
    elif halves[1].mean() > _STEADY * halves[0].mean():
        yield Suggestion(
            f"Raise the learning rate, for instance to {hp.learning_rate * 3:.2g}; check that masks fit their images",
            f"the loss hardly falls: {halves[0].mean():.3g} in the first half, {halves[1].mean():.3g} in the second",
        )
    if best is None:
        return
    if best >= done - max(1, done // 10) and record.finished and done >= hp.epochs:
        yield Suggestion(
            f"Train longer, for instance epochs={2 * hp.epochs}",
            f"the best epoch is {best + 1} of {done}: validation mIOU was still rising",
        )
    score = np.array(record.series("val_mIOU"))
    if best < 0.6 * done and losses[-1] < 0.8 * losses[best] and score[-1] < score[best] - 0.02:
        yield Suggestion(
            "Stop earlier (early_stopping=True), or give more images: the network learns the training images by heart",
            f"after epoch {best + 1} the loss still fell from {losses[best]:.3g} to {losses[-1]:.3g}, "
            f"and validation mIOU fell from {score[best]:.2f} to {score[-1]:.2f}",
        )
    if not hp.use_pretrained_model and score[best] < 0.5:
        yield Suggestion(
            "Begin with ImageNet weights: use_pretrained_model=True",
            f"it began with random weights, and validation mIOU is {score[best]:.2f}",
        )
