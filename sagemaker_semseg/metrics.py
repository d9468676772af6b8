"""The confusion matrix and what follows from it: mIOU, IoU and accuracy per class, pixel accuracy.

Counts come in (integers, rows = labels, columns = predictions), scores go out. Called by ``training`` after each
validation, by ``evaluate``, and later by the data set's doctor. ``METRIC_DEFINITIONS`` read a job's scores from its
log. numpy alone.
"""

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
"""The regular expressions that find the numbers of a job in the lines of ``training.report.LogLines``, in the form that
SageMaker is told them for a container that it doesn't know."""


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of every (label, prediction); labels outside 0..num_classes-1 are left out.

    labels, predictions: integer arrays of one shape. Returns int64 (num_classes, num_classes).
    """
    labels, predictions = np.asarray(labels).ravel(), np.asarray(predictions).ravel()
    valid = (labels >= 0) & (labels < num_classes)
    cells = labels[valid].astype(np.int64) * num_classes + predictions[valid]
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says; every figure lies in 0..1.

    miou is the mean IoU of the classes that occur in labels or predictions; miou_all_classes counts an absent class
    as 0 (the reference engine's mean). iou and accuracy are (num_classes,) with NaN for a class that has none.
    """

    confusion: np.ndarray
    iou: np.ndarray
    accuracy: np.ndarray
    miou: float
    miou_all_classes: float
    pixel_accuracy: float

    @classmethod
    def of(cls, confusion: np.ndarray) -> Scores:
        """confusion: integer (n, n), rows = labels, columns = predictions. With no valid pixel at all, scores are 0."""
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
        )

    def to_dict(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """Plain numbers for JSON: None where a class has no figure."""
        classes = []
        for i, (iou, accuracy) in enumerate(zip(self.iou.tolist(), self.accuracy.tolist(), strict=True)):
            classes.append({
                "label": i,
                "name": names[i] if i < len(names) else str(i),
                "iou": None if np.isnan(iou) else iou,
                "accuracy": None if np.isnan(accuracy) else accuracy,
                "pixels": int(self.confusion[i].sum()),
            })  # fmt: skip
        return {
            "mIOU": self.miou,
            "mIOU_all_classes": self.miou_all_classes,
            "pixel_accuracy": self.pixel_accuracy,
            "classes": classes,
            "confusion_matrix": self.confusion.tolist(),
        }
