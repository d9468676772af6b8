"""Boundary IoU, calibration and the interval of mIOU, computed once more the slow way."""

import math

import numpy as np
import pytest

from sagemaker_semseg.image_metrics import DetailedScoresBuilder, Interval, boundary_counts, intervals, is_boundary
from sagemaker_semseg.metrics import Scores, confusion_matrix


def example(seed, height=60, width=80, classes=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (height // 20, width // 20)).repeat(20, 0).repeat(20, 1).astype(np.uint8)
    predictions = np.roll(labels, (2, 3), (0, 1))
    labels[:5, :7] = 255
    return labels, predictions, rng.uniform(0.2, 1, (height, width)).astype(np.float32)


def eroded(mask, distance):
    """Erosion by a square, zeros around the image."""
    padded = np.pad(mask, distance)
    result = np.ones_like(mask)
    for row in range(2 * distance + 1):
        for column in range(2 * distance + 1):
            result &= padded[row : row + mask.shape[0], column : column + mask.shape[1]]
    return result


@pytest.mark.parametrize("distance", [1, 2, 5])
@pytest.mark.parametrize("shape", [(60, 80), (11, 40), (10, 10), (1, 1), (3, 70)], ids=str)
def test_boundaries_are_masks_without_their_erosion(distance, shape):
    rng = np.random.default_rng(distance)
    mask = rng.integers(0, 3, (shape[0] // 9 + 1, shape[1] // 9 + 1)).repeat(9, 0).repeat(9, 1)[: shape[0], : shape[1]]
    mask = mask.astype(np.uint8)
    mask[0, -1] = 255
    expected = np.zeros(shape, bool)
    for label in np.unique(mask):
        expected |= (mask == label) & ~eroded(mask == label, distance)
    np.testing.assert_array_equal(is_boundary(mask, distance), expected)


def test_boundary_counts():
    labels, predictions, _ = example(1)
    distance = round(0.02 * math.hypot(60, 80))
    both, union = boundary_counts(labels, predictions, 4)
    for label in range(4):
        truth = (labels == label) & ~eroded(labels == label, distance)
        found = (predictions == label) & ~eroded(predictions == label, distance) & (labels != 255)
        assert both[label] == (truth & found).sum()
        assert union[label] == (truth | found).sum()


def test_scores():
    builder = DetailedScoresBuilder(5)  # the fifth class never occurs
    right, confidence = [], []
    for seed in range(6):
        labels, predictions, probabilities = example(seed)
        builder.add(labels, predictions, probabilities)
        right.append((labels == predictions)[labels != 255])
        confidence.append(probabilities[labels != 255])
    right, confidence = np.concatenate(right), np.concatenate(confidence)
    scores = builder.build()
    expected = 0.0
    for i in range(10):
        inside = (confidence >= i / 10) & ((confidence < (i + 1) / 10) | (i == 9))
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert scores.calibration.error == pytest.approx(expected, abs=1e-4)
    assert np.isnan(scores.boundary_iou[4])
    assert not np.isnan(scores.boundary_iou[:4]).any()
    assert scores.to_dict()["boundary_IoU"][4] is None
    assert scores.boundary_miou == pytest.approx(np.mean(scores.boundary_iou[:4]))


def test_the_interval_is_that_of_drawn_sets():
    rng = np.random.default_rng(3)
    images = []
    for _ in range(25):
        labels = rng.integers(0, 3, 400)
        predictions = np.where(rng.random(400) < rng.uniform(0.3, 0.9), labels, rng.integers(0, 3, 400))
        images.append(confusion_matrix(labels, predictions, 3))
    hits = [np.diag(m) for m in images]
    interval, classes = intervals(hits, [m.sum(1) + m.sum(0) - np.diag(m) for m in images])
    low, high = interval.low, interval.high
    scores = [Scores.of(sum(images[i] for i in rng.integers(0, 25, 25))) for _ in range(2000)]
    drawn = [score.miou for score in scores]
    assert low == pytest.approx(np.percentile(drawn, 2.5), abs=0.01)
    assert high == pytest.approx(np.percentile(drawn, 97.5), abs=0.01)
    assert low < Scores.of(sum(images)).miou < high
    for label, found in enumerate(classes):
        assert found.low == pytest.approx(np.percentile([score.iou[label] for score in scores], 2.5), abs=0.015)
    assert intervals([], []) == (Interval(0, 0), ())


def test_nothing_but_ignored_pixels():
    builder = DetailedScoresBuilder(2)
    builder.add(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8), np.ones((4, 4), np.float32))
    scores = builder.build()
    assert (scores.boundary_miou, scores.calibration, scores.miou_interval) == (0, None, Interval(0, 0))
