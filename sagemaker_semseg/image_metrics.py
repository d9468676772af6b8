"""Scores that a confusion matrix doesn't give: boundary IoU, calibration, and intervals over images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BOUNDARY_SHARE: Final = 0.02
"""Width of a boundary over the image's diagonal."""

BINS: Final = 10
"""Of the calibration."""

SAMPLES: Final = 1000
"""Of the bootstrap."""

Labels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of a score over resampled images (percentile bootstrap, Efron 1979).

    The images count as independent, which those of one video aren't.
    """

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often a prediction is right, by its probability.

    Attributes:
        pixels: (BINS,) labeled pixels by the probability of their predicted class.
        confidence: (BINS,) mean probability; NaN for no pixel.
        accuracy: (BINS,) share of them that is right; NaN for no pixel.
        error: expected calibration error: mean of |confidence - accuracy| over the pixels (Guo et al. 2017,
            arXiv:1706.04599, eq. 5).
    """

    pixels: Counts
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    error: float

    @classmethod
    def of(cls, bins: npt.NDArray[np.float64]) -> Calibration | None:
        """Return the calibration of summed ``count_bins``; None if they count no pixel."""
        pixels = bins[0]
        if not pixels.any():
            return None
        with np.errstate(invalid="ignore"):
            confidence, accuracy = bins[1] / pixels, bins[2] / pixels
        error = float(np.nansum(pixels * np.abs(confidence - accuracy)) / pixels.sum())
        return cls(pixels.astype(np.int64), confidence, accuracy, error)


@dataclass(frozen=True, eq=False)
class DetailedScores:
    """Scores of a model on a set of images, beside those of its confusion matrix.

    Attributes:
        boundary_iou: (C,) float64: IoU of the pixels of each class within ``BOUNDARY_SHARE`` of the image's diagonal
            from its contour (Cheng et al. 2021, arXiv:2103.16562), over all images; NaN for a class that occurs in
            neither labels nor predictions.
        calibration: None if no pixel has a label.
        miou_interval: of mIOU.
        class_intervals: of each class's IoU; None where the class doesn't occur.
    """

    boundary_iou: npt.NDArray[np.float64]
    calibration: Calibration | None
    miou_interval: Interval
    class_intervals: tuple[Interval | None, ...]

    @property
    def boundary_miou(self) -> float:
        """The mean boundary IoU of the classes that occur; 0 if none does."""
        present = self.boundary_iou[~np.isnan(self.boundary_iou)]
        return float(present.mean()) if present.size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with None where there is no figure."""
        return {
            "boundary_mIOU": self.boundary_miou,
            "boundary_IoU": [None if math.isnan(iou) else iou for iou in self.boundary_iou.tolist()],
            "expected_calibration_error": self.calibration.error if self.calibration else None,
            "mIOU_interval_95": [self.miou_interval.low, self.miou_interval.high],
            "IoU_intervals_95": [i and [i.low, i.high] for i in self.class_intervals],
        }


class DetailedScoresBuilder:
    """Adds up images one at a time; memory grows by two numbers a class with each."""

    def __init__(self, num_classes: int):
        self._classes = num_classes
        self._boundary = np.zeros((2, num_classes), np.int64)  # intersection and union
        self._bins = np.zeros((3, BINS))
        self._hits: list[Counts] = []
        self._unions: list[Counts] = []

    def add(self, labels: Labels, predictions: Labels, probabilities: npt.NDArray[np.float32]) -> None:
        """Add an image.

        Args:
            labels: (H, W), 255 = ignored.
            predictions: (H, W), the most probable label.
            probabilities: (H, W), its probability.
        """
        self._boundary += boundary_counts(labels, predictions, self._classes)
        valid = labels < self._classes
        right = labels == predictions
        self._bins += count_bins(probabilities, right, valid)
        hits, labelled, predicted = (
            np.bincount(values, minlength=self._classes)
            for values in (labels[valid & right], labels[valid], predictions[valid])
        )
        self._hits.append(hits)
        self._unions.append(labelled + predicted - hits)

    def build(self) -> DetailedScores:
        """Return the scores of all images."""
        both, union = self._boundary
        with np.errstate(invalid="ignore"):
            boundary = both / union
        return DetailedScores(boundary, Calibration.of(self._bins), *intervals(self._hits, self._unions))


def boundary_counts(labels: Labels, predictions: Labels, num_classes: int) -> Counts:
    """Count the pixels of each class in both boundaries and in either: (2, C) int64.

    Args:
        labels: (H, W), 255 = ignored: these pixels don't count, and labels that touch them end there.
        predictions: (H, W).
        num_classes: C.
    """
    distance = max(1, round(BOUNDARY_SHARE * math.hypot(*labels.shape)))
    valid = labels < num_classes
    truth, found = (is_boundary(mask, distance) & valid for mask in (labels, predictions))
    hits = truth & found & (labels == predictions)
    both, labelled, predicted = (
        np.bincount(pixels, minlength=num_classes) for pixels in (labels[hits], labels[truth], predictions[found])
    )
    return np.stack([both, labelled + predicted - both])


def is_boundary(mask: Labels, distance: int) -> npt.NDArray[np.bool_]:
    """Return (H, W) bool: whether another label, or the image's end, lies within ``distance`` rows and columns.

    A square of the mask is of one label where no two neighbors in it differ; sums over squares are differences of
    sums from the corner.
    """
    height, width = mask.shape
    result = np.ones(mask.shape, bool)
    side = 2 * distance + 1
    if height < side or width < side:
        return result
    changes = np.zeros((height - side + 1, width - side + 1), np.int64)
    for axis, (rows, columns) in enumerate(((side - 1, side), (side, side - 1))):
        sums = np.zeros((height + axis, width + 1 - axis), np.int64)
        sums[1:, 1:] = np.diff(mask.astype(np.int16), axis=axis).astype(bool).cumsum(0).cumsum(1)
        changes += sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    result[distance : height - distance, distance : width - distance] = changes > 0
    return result


def count_bins(
    probabilities: npt.NDArray[np.float32], right: npt.NDArray[np.bool_], labeled: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return (3, BINS): pixels by the probability of their predicted class, the sum of it, and how many are right."""
    chosen, right = probabilities[labeled], right[labeled]
    place = np.minimum((chosen * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(place, weights, BINS) for weights in (None, chosen, right)]).astype(np.float64)


def intervals(hits: Sequence[Counts], unions: Sequence[Counts]) -> tuple[Interval, tuple[Interval | None, ...]]:
    """Resample the images, and return the middle 95 % of mIOU and of each class's IoU.

    Args:
        hits: of each image, (C,) pixels of each class that are predicted right.
        unions: of each image, (C,) pixels of each class in labels or predictions.
    """
    if not len(hits):
        return Interval(0.0, 0.0), ()
    count = len(hits)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), SAMPLES).astype(np.float64)
    with np.errstate(invalid="ignore"):
        iou = np.divide(drawn @ np.asarray(hits), drawn @ np.asarray(unions))  # NaN: the class isn't among those drawn
    occurring = np.isfinite(iou)
    miou = np.where(occurring, iou, 0).sum(1) / np.maximum(occurring.sum(1), 1)
    classes = [_middle(iou[occurring[:, i], i]) if occurring[:, i].any() else None for i in range(iou.shape[1])]
    return _middle(miou), tuple(classes)


def _middle(values: npt.NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))
