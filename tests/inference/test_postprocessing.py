"""Labels from coarse logits: only classes that can be one are resized, and no label is another for it."""

import numpy as np
import pytest

from sagemaker_semseg.inference import postprocessing
from sagemaker_semseg.inference.postprocessing import to_labels
from sagemaker_semseg.inference.test_time_augmentation import AugmentedView
from sagemaker_semseg.inference.tiling import LogitRows


def label(coarse, height, width):
    """The labels of an image from its (C, rows, columns) coarse logits."""
    view = AugmentedView(np.zeros((height, width, 3), np.uint8))
    rows = LogitRows(view, lambda pixels: coarse, 2**15, 8)
    assert (rows.rows, rows.columns) == coarse.shape[1:]
    return to_labels([rows], height, width, len(coarse), lambda: None)


def random_logits(kind, classes=21, rows=15, columns=20):
    random = np.random.default_rng(3)
    logits = random.normal(0, 3, (classes, rows, columns)).astype(np.float32)
    if kind == "far apart":
        logits += np.linspace(-40, 0, classes, dtype=np.float32)[:, None, None]
    if kind == "with equal ones":
        logits = np.round(logits)
    if kind == "nearly equal":
        logits = logits[:1] * (1 + random.integers(-2, 3, (classes, 1, 1)) * np.float32(2**-24)) + 0 * logits
    if kind == "flat, one rounding apart":  # where rounding makes them equal, the first one is the label
        logits = np.full_like(logits, 1.7) * (1 + np.arange(classes) * np.float32(2**-23))[:, None, None]
    return logits.astype(np.float32)


KINDS = ("normal", "far apart", "with equal ones", "nearly equal", "flat, one rounding apart")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(120, 160), (113, 157)])
def test_leaving_classes_out_changes_no_label(monkeypatch, kind, size):
    logits = random_logits(kind)
    found = label(logits, *size)
    monkeypatch.setattr(postprocessing, "_possible_labels", lambda coarse: np.arange(len(coarse)))
    np.testing.assert_array_equal(found, label(logits, *size))


@pytest.mark.parametrize("kind", KINDS[:2])
def test_labels_are_those_of_resized_logits(kind):
    """Computed once more: all classes, in float64, pixel by pixel."""
    logits, (height, width) = random_logits(kind, 5, 3, 4), (24, 31)
    rows, columns = np.arange(height) * 2 / (height - 1), np.arange(width) * 3 / (width - 1)
    expected = np.empty((5, height, width))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            top, left = min(int(y), 1), min(int(x), 2)
            corners = logits[:, top : top + 2, left : left + 2].astype(np.float64)
            vertical = np.array([1 - (y - top), y - top])
            horizontal = np.array([1 - (x - left), x - left])
            expected[:, i, j] = np.einsum("cyx,y,x->c", corners, vertical, horizontal)
    best = np.sort(expected, axis=0)
    sure = best[-1] - best[-2] > 1e-5
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(label(logits, height, width)[sure], expected.argmax(0)[sure])


def test_a_class_that_is_the_largest_between_cells_alone():
    logits = np.array([[10, -10], [-10, 10], [9, 9]], np.float32)[:, None]
    assert set(label(logits, 8, 16)[0]) == {0, 1, 2}
    assert set(label(logits.transpose(0, 2, 1), 16, 8)[:, 0]) == {0, 1, 2}


def test_one_cell():
    assert (label(np.array([1, 3, 2], np.float32).reshape(3, 1, 1), 5, 7) == 1).all()


def test_a_class_without_numbers_hides_no_other():
    logits = random_logits("normal", 4)
    expected = label(logits, 120, 160)
    damaged = np.concatenate([logits, np.full_like(logits[:1], np.nan)])
    np.testing.assert_array_equal(label(damaged, 120, 160), expected)


def test_classes_that_are_nowhere_are_not_resized(monkeypatch):
    """150 classes, of which two are in the left half and a third one in the right half."""
    logits = np.random.default_rng(0).normal(-30, 2, (150, 16, 20)).astype(np.float32)
    logits[[7, 90]] += np.where(np.arange(20) < 10, 60, 30).astype(np.float32)
    logits[123] += np.where(np.arange(20) < 10, 30, 60).astype(np.float32)
    seen, resized = [], postprocessing._widened
    monkeypatch.setattr(
        postprocessing, "_widened", lambda coarse, *rest: (seen.append(len(coarse)), resized(coarse, *rest))[1]
    )
    assert set(np.unique(label(logits, 128, 160))) == {7, 90, 123}
    assert set(seen) == {3}


def test_labels_of_many_classes():
    """The argmax by bytes, up to the largest label: each class is the largest one somewhere."""
    logits = np.random.default_rng(1).normal(0, 1, (254, 16, 300)).astype(np.float32)
    logits[np.arange(254), 3, np.arange(254)] = 9
    logits[[7, 200], 5] = 9  # equal ones
    found = np.empty((16, 300), np.uint8)
    postprocessing._argmax(logits, range(254), found)
    np.testing.assert_array_equal(found, logits.argmax(0))
    assert set(np.unique(found)) == set(range(254))
