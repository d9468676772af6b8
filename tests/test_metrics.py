"""Scores against a naive loop over pixels, numbers worked out by hand, and the reference engine's metric."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sagemaker_semseg.metrics import Scores, confusion_matrix


def test_by_hand() -> None:
    """Class 2 occurs only as a prediction, class 3 not at all."""
    labels = np.array([[0, 0, 0, 0], [1, 1, 255, 255]], np.uint8)
    predictions = np.array([[0, 0, 1, 2], [1, 1, 3, 0]], np.uint8)
    confusion = confusion_matrix(labels, predictions, 4)
    assert confusion.tolist() == [[2, 1, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert confusion.dtype == np.int64
    scores = Scores.of(confusion)
    np.testing.assert_array_equal(scores.iou, [2 / 4, 2 / 3, 0, np.nan])
    np.testing.assert_array_equal(scores.accuracy, [2 / 4, 1, np.nan, np.nan])
    assert scores.miou == pytest.approx((1 / 2 + 2 / 3 + 0) / 3, abs=1e-15)
    assert scores.miou_all_classes == pytest.approx((1 / 2 + 2 / 3) / 4, abs=1e-15)
    assert scores.pixel_accuracy == pytest.approx(4 / 6, abs=1e-15)


def test_perfect() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % 5
    scores = Scores.of(confusion_matrix(labels, labels, 5))
    assert (scores.miou, scores.miou_all_classes, scores.pixel_accuracy) == (1, 1, 1)
    assert scores.iou.tolist() == [1] * 5


def test_nothing_to_count() -> None:
    """No valid pixel: scores are 0, and there are no figures per class."""
    confusion = confusion_matrix(np.full((2, 3), 255, np.uint8), np.zeros((2, 3), np.uint8), 3)
    assert confusion.tolist() == [[0] * 3] * 3
    scores = Scores.of(confusion)
    assert (scores.miou, scores.miou_all_classes, scores.pixel_accuracy) == (0, 0, 0)
    assert np.isnan(scores.iou).all()
    assert np.isnan(scores.accuracy).all()
    assert Scores.of(confusion_matrix(np.zeros(0, np.uint8), np.zeros(0, np.uint8), 2)).miou == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_labels_out_of_range_are_left_out(dtype: type) -> None:
    """Also where label * num_classes would not fit the labels' own type."""
    labels = np.array([200, 253, 254, 255, 0], dtype)
    if np.issubdtype(dtype, np.signedinteger):
        labels[4] = -1
    confusion = confusion_matrix(labels, np.array([200, 0, 0, 0, 0], np.uint8), 254)
    assert confusion.sum() == (2 if labels[4] == -1 else 3)
    assert confusion[200, 200] == confusion[253, 0] == 1


def test_dictionary_is_json() -> None:
    """NaN is no JSON: a class without figures has null."""
    confusion = np.array([[5, 1, 0], [2, 4, 0], [0, 0, 0]])
    found = json.loads(json.dumps(Scores.of(confusion).to_dict(["sky", "road"]), allow_nan=False))
    assert found["mIOU"] == pytest.approx((5 / 8 + 4 / 7) / 2)
    assert found["mIOU_all_classes"] == pytest.approx((5 / 8 + 4 / 7) / 3)
    assert found["pixel_accuracy"] == 0.75
    assert found["confusion_matrix"] == confusion.tolist()
    assert found["classes"][0] == {"label": 0, "name": "sky", "iou": 5 / 8, "accuracy": 5 / 6, "pixels": 6}
    assert found["classes"][2] == {"label": 2, "name": "2", "iou": None, "accuracy": None, "pixels": 0}
    assert json.dumps(Scores.of(np.zeros((2, 2), np.int64)).to_dict(), allow_nan=False)


shapes = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)


@given(st.integers(1, 6), shapes, st.data())
def test_like_a_loop_over_pixels(n: int, shape: tuple[int, ...], data: st.DataObject) -> None:
    values = st.one_of(st.integers(0, n - 1), st.integers(0, 255))
    labels = data.draw(arrays.arrays(np.uint8, shape, elements=values))
    predictions = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, n - 1)))
    pairs = [(a, b) for a, b in zip(labels.ravel().tolist(), predictions.ravel().tolist(), strict=True) if a < n]
    confusion = confusion_matrix(labels, predictions, n)
    assert confusion.tolist() == [[pairs.count((i, j)) for j in range(n)] for i in range(n)]

    scores = Scores.of(confusion)
    ious = []
    for c in range(n):
        both = sum(1 for a, b in pairs if a == c and b == c)
        either = sum(1 for a, b in pairs if a == c or b == c)
        ious.append(both / either if either else math.nan)
    np.testing.assert_allclose(scores.iou, ious, rtol=1e-12)
    present = [iou for iou in ious if not math.isnan(iou)]
    assert scores.miou == pytest.approx(sum(present) / len(present) if present else 0, rel=1e-12)
    assert scores.miou_all_classes == pytest.approx(sum(present) / n, rel=1e-12)
    assert scores.pixel_accuracy == pytest.approx(sum(a == b for a, b in pairs) / len(pairs) if pairs else 0, rel=1e-12)


def test_against_the_reference(reference: Callable[[str], dict[str, np.ndarray]]) -> None:
    """Running pixel accuracy and mIOU after each of two updates, and the counts after both; class 5 never occurs."""
    numbers = reference("loss_metric.npz")
    confusion = np.zeros((6, 6), np.int64)
    for update in ("u1", "u2"):
        confusion += confusion_matrix(numbers[f"{update}_label"], numbers[f"{update}_logits"].argmax(1), 6)
        scores = Scores.of(confusion)
        accuracy, miou = numbers[f"{update}_pixAcc_mIoU_running"]
        assert scores.pixel_accuracy == pytest.approx(accuracy, abs=1e-12)
        assert scores.miou_all_classes == pytest.approx(miou, abs=1e-12)
    inter, union = numbers["total_inter"], numbers["total_union"]
    assert np.diag(confusion).tolist() == inter.tolist()
    assert (confusion.sum(0) + confusion.sum(1) - np.diag(confusion)).tolist() == union.tolist()
    assert np.trace(confusion) == numbers["total_correct"]
    assert confusion.sum() == numbers["total_label"]
    assert union.tolist().count(0) == 1
    assert scores.miou == pytest.approx((inter / np.maximum(union, 1)).sum() / 5, abs=1e-12)
