"""Confusion matrix and scores: mIOU, IoU and accuracy of each class, pixel accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

METRIC_DEFINITIONS = (
    {"Name": "train:loss", "Regex": r"train loss <loss>=(\S+)"},
    {"Name": "train:throughput", "Regex": r"train throughput=(\S+) records/second"},
    {"Name": "train:progress", "Regex": r"#progress_metric: host=\S+, completed (\S+) %"},
    {"Name": "validation:mIOU", "Regex": r"validation mIOU <score>=\(?([0-9.eE+-]+)"},
    {"Name": "validation:pixel_accuracy", "Regex": r"validation pixel_accuracy <score>=\(?([0-9.eE+-]+)"},
    {"Name": "validation:throughput", "Regex": r"validation throughput=(\S+) records/second"},
)
"""Names of a job's metrics and the regular expressions that find them in its log, in SageMaker's form."""


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of every (label, prediction).

    Args:
        labels: true labels, integers of any shape; those outside 0..num_classes-1 are left out.
        predictions: predicted labels, integers of the same shape.
        num_classes: the number of classes.

    Returns:
        (num_classes, num_classes) int64: rows are labels, columns are predictions.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1, 255]), np.array([0, 0, 1, 1]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    labels, predictions = np.asarray(labels).ravel(), np.asarray(predictions).ravel()
    valid = (labels >= 0) & (labels < num_classes)
    cells = labels[valid].astype(np.int64) * num_classes + predictions[valid]
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """Scores that follow from a confusion matrix; each is from 0 to 1.

    Attributes:
        confusion: (num_classes, num_classes) integers: rows are labels, columns are predictions.
        iou: (num_classes,) float64, hits / (labels + predictions - hits); NaN for a class that occurs in neither.
        accuracy: (num_classes,) float64, hits / labels; NaN for a class without labels.
        miou: mean IoU of the classes that occur in labels or predictions.
        miou_all_classes: mean IoU that counts an absent class as 0, as the reference implementation does.
        pixel_accuracy: share of the labeled pixels whose prediction is right.
        mean_accuracy: mean accuracy of the classes that have labels.
        frequency_weighted_iou: mean IoU of the classes, weighted by their shares of the labeled pixels.
    """

    confusion: np.ndarray
    iou: np.ndarray
    accuracy: np.ndarray
    miou: float
    miou_all_classes: float
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float

    @classmethod
    def of(cls, confusion: np.ndarray) -> Scores:
        """Return the scores of a confusion matrix; 0 if it counts no pixel."""
        hits = np.diag(confusion).astype(np.float64)
        labelled, predicted = confusion.sum(1), confusion.sum(0)
        union = labelled + predicted - hits
        with np.errstate(invalid="ignore"):
            iou, accuracy = hits / union, hits / labelled
        total = int(confusion.sum())
        return cls(
            confusion=confusion,
            iou=iou,
            accuracy=accuracy,
            miou=float(iou[union > 0].mean()) if total else 0.0,
            miou_all_classes=float(np.where(union > 0, iou, 0.0).mean()) if total else 0.0,
            pixel_accuracy=float(hits.sum() / total) if total else 0.0,
            mean_accuracy=float(accuracy[labelled > 0].mean()) if total else 0.0,
            frequency_weighted_iou=float((labelled * np.where(union > 0, iou, 0.0)).sum() / total) if total else 0.0,
        )

    def warning(self, names: Sequence[str] = ()) -> str:
        """Return why the mIOU says nothing, where it doesn't: all labels are of one class, or there are none."""
        present = np.flatnonzero(self.confusion.sum(1))
        if len(present) > 1:
            return ""
        label = int(present[0]) if len(present) else None
        only = "no pixel is labelled" if label is None else f"every labelled pixel is class {label}"
        if label is not None and label < len(names) and names[label] != str(label):
            only += f" ({names[label]})"
        return f"this mIOU says nothing about the model: {only}"

    def to_dict(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """Return plain values for JSON, with None where a class has no figure; ``warning`` only if there is one."""
        classes = []
        for i, (iou, accuracy) in enumerate(zip(self.iou.tolist(), self.accuracy.tolist(), strict=True)):
            classes.append({
                "label": i,
                "name": names[i] if i < len(names) else str(i),
                "iou": None if np.isnan(iou) else iou,
                "accuracy": None if np.isnan(accuracy) else accuracy,
                "pixels": int(self.confusion[i].sum()),
            })  # fmt: skip
        warning = self.warning(names)
        return {
            "mIOU": self.miou,
            "mIOU_all_classes": self.miou_all_classes,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "frequency_weighted_IOU": self.frequency_weighted_iou,
            "classes": classes,
            "confusion_matrix": self.confusion.tolist(),
            **({"warning": warning} if warning else {}),
        }
