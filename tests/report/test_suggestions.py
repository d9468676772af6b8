"""What to try next: each rule speaks where it should, and only there."""

import dataclasses

import numpy as np
import pytest

from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.report.suggestions import suggest
from sagemaker_semseg.report.training_record import TrainingRecord

GOOD = np.array([[900, 10, 10], [5, 300, 5], [5, 5, 200]])


def record(losses, scores, best=None, confusion=GOOD, **settings):
    hp = resolve({"num_classes": 3, "epochs": len(losses), "use_pretrained_model": True, **settings})
    history = tuple({"loss": loss, "val_mIOU": score} for loss, score in zip(losses, scores, strict=True))
    best = int(np.argmax(scores)) if best is None else best
    return TrainingRecord("m", hp, ("road", "car", "tree"), history, best, Scores.of(confusion))


FALLING = [1.0, 0.7, 0.5, 0.4, 0.35, 0.33, 0.31, 0.3, 0.29, 0.28]
SETTLED = [0.3, 0.5, 0.6, 0.65, 0.68, 0.7, 0.71, 0.715, 0.714, 0.713]


def said(*arguments, **more):
    return [f"{item.what} | {item.why}" for item in suggest(record(*arguments, **more))]


def test_a_good_training_needs_nothing():
    assert said(FALLING, SETTLED) == []


def test_a_class_that_is_never_predicted():
    (text,) = said(FALLING, SETTLED, confusion=np.array([[900, 20, 0], [5, 300, 0], [10, 10, 0]]))
    assert "tree (1.61% of the pixels)" in text
    assert "class_weights" in text
    (text,) = said(FALLING, SETTLED, confusion=np.array([[900, 20, 0], [5, 300, 0], [10, 10, 0]]), class_weights="auto")
    assert 'class_weights="auto"' not in text


def test_a_class_that_does_not_occur_is_no_fault():
    assert said(FALLING, SETTLED, confusion=np.array([[900, 20, 0], [5, 300, 0], [0, 0, 0]])) == []


def test_two_classes_that_are_mixed_up():
    (text,) = said(FALLING, SETTLED, confusion=np.array([[900, 10, 10], [5, 300, 5], [5, 110, 95]]))
    assert "tree and car" in text
    assert "52% of the pixels of tree are predicted as car" in text


def test_rare_classes_are_neglected():
    (text,) = said(FALLING, SETTLED, confusion=np.array([[9000, 70, 60], [20, 60, 5], [20, 5, 60]]))
    assert text.startswith("Weigh rare classes more")


def test_a_training_that_still_improves():
    (text,) = said(FALLING, [0.1 * n for n in range(10)])
    assert "epochs=20" in text


def test_the_training_images_are_learned_by_heart():
    scores = [0.3, 0.6, 0.62, 0.6, 0.58, 0.57, 0.55, 0.54, 0.53, 0.52]
    (text,) = said(FALLING, scores)
    assert "early_stopping=True" in text
    assert "after epoch 3" in text


@pytest.mark.parametrize(
    ("losses", "what"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.2, 1.3, 1.2, 1.3, 1.2, 1.3], "Lower the learning rate"),
        ([1.0, 0.5, 0.9, 0.4, 0.8, 0.4, 0.9, 0.3, 0.3, 0.3], "Lower the learning rate"),
        ([1.0] * 10, "Raise the learning rate"),
    ],
)
def test_the_learning_rate(losses, what):
    (text,) = said(losses, SETTLED)
    assert text.startswith(what)


def test_random_weights():
    scores = [score - 0.4 for score in SETTLED]
    (text,) = said(FALLING, scores, use_pretrained_model=False)
    assert "use_pretrained_model=True" in text


def test_few_epochs_say_nothing():
    assert said([1, 2, 3], [0, 0, 0.1]) == []
    assert suggest(TrainingRecord("m", resolve({"num_classes": 3}))) == []
    begun = record([1, 1], [0, 0.1], confusion=np.array([[900, 20, 0], [5, 300, 0], [10, 10, 0]]))
    assert suggest(begun)
    assert suggest(dataclasses.replace(begun, finished=False)) == []
