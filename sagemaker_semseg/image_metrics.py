"""Scores that a confusion matrix doesn't give: boundary IoU, calibration, and an interval for mIOU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BOUNDARY_SHARE = 0.02
"""Width of a boundary over the image's diagonal."""
_BINS = 15
_DRAWS = 1000

Labels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageScores:
    """Scores of a model on a set of images.

    Attributes:
        boundary_iou: (C,) float64: IoU of the pixels of each class within ``BOUNDARY_SHARE`` of the image's diagonal
            from its contour (Cheng et al. 2021, arXiv:2103.16562), over all images; NaN for a class that occurs in
            neither labels nor predictions.
        calibration_error: expected calibration error, 0 to 1: the mean distance between the probability of the
            predicted class and the share of right predictions, over 15 bins of probability (Guo et al. 2017,
            arXiv:1706.04599, eq. 5).
        miou_interval: the 2.5th and the 97.5th percentile of mIOU over 1000 sets of as many images, drawn with
            replacement (bootstrap); the images count as independent, those of one video aren't.
    """

    boundary_iou: npt.NDArray[np.float64]
    calibration_error: float
    miou_interval: tuple[float, float]

    @property
    def boundary_miou(self) -> float:
        """The mean boundary IoU of the classes that occur; 0 if none does."""
        present = self.boundary_iou[~np.isnan(self.boundary_iou)]
        return float(present.mean()) if present.size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with None where a class has no figure."""
        return {
            "boundary_mIOU": self.boundary_miou,
            "boundary_IoU": [None if math.isnan(iou) else iou for iou in self.boundary_iou.tolist()],
            "expected_calibration_error": self.calibration_error,
            "mIOU_interval_95": list(self.miou_interval),
        }


class ImageScoresBuilder:
    """Adds up images one at a time; memory grows by three numbers a class with each."""

    def __init__(self, num_classes: int):
        self._classes = num_classes
        self._boundary = np.zeros((2, num_classes), np.int64)  # intersection and union
        self._bins = np.zeros((3, _BINS))  # pixels, right ones, probabilities
        self._of_images: list[Counts] = []

    def add(self, labels: Labels, predictions: Labels, probabilities: npt.NDArray[np.floating[Any]]) -> None:
        """Add an image.

        Args:
            labels: (H, W), 255 = ignored.
            predictions: (H, W), the most probable label.
            probabilities: (H, W), its probability.
        """
        self._boundary += boundary_counts(labels, predictions, self._classes)
        valid = labels < self._classes
        truth, found = labels[valid].astype(np.intp), predictions[valid].astype(np.intp)
        right = truth == found
        self._of_images.append(
            np.stack([np.bincount(pixels, minlength=self._classes) for pixels in (truth[right], truth, found)])
        )
        confidence = probabilities[valid].astype(np.float64)
        bins = np.clip(np.ceil(confidence * _BINS).astype(np.intp) - 1, 0, _BINS - 1)
        for row, weights in enumerate((None, right, confidence)):
            self._bins[row] += np.bincount(bins, weights, minlength=_BINS)

    def build(self, seed: int = 0) -> ImageScores:
        """Return the scores of all images. seed: of the draws for the interval."""
        both, union = self._boundary
        with np.errstate(invalid="ignore"):
            boundary = both / union
        pixels, right, confidence = self._bins
        error = float(np.abs(right - confidence).sum() / max(pixels.sum(), 1))
        counts = np.array(self._of_images, np.float64).reshape(-1, 3, self._classes)
        return ImageScores(boundary, error, bootstrap_interval(counts, seed))


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


def bootstrap_interval(counts: npt.NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of mIOU over sets of images drawn with replacement.

    Args:
        counts: (images, 3, C): hits, labels and predictions of each class.
        seed: of the draws.
    """
    images = len(counts)
    if not images:
        return 0.0, 0.0
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), _DRAWS)
    hits, labels, predictions = np.moveaxis(np.tensordot(draws, counts, 1), 1, 0)
    union = labels + predictions - hits
    with np.errstate(invalid="ignore"):
        iou = np.where(union > 0, hits / union, np.nan)
    present = (union > 0).sum(1)
    miou = np.nansum(iou, 1) / np.maximum(present, 1)
    low, high = np.percentile(miou, [2.5, 97.5])
    return float(low), float(high)
