"""The report of a training: well-formed, loads nothing, safe for any name, and says what the training says."""

import base64
import hashlib
import re

import numpy as np
import pytest

from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.report.image_scores import Calibration, ImageScores, Interval, Panels
from sagemaker_semseg.report.training_page import Example, render
from sagemaker_semseg.report.training_record import TrainingRecord
from sagemaker_semseg.report.training_start import TrainingStart
from tests.html_document import HOSTILE, Document

CONFUSION = np.array([[900, 60, 40], [0, 80, 20], [30, 0, 0]])
HISTORY = tuple(
    {"loss": 1 / (n + 1), "learning_rate": 0.01, "throughput": 20.0 + n, "val_mIOU": 0.3 + 0.05 * n,
     "val_pixel_accuracy": 0.7, "val_throughput": 50.0}
    for n in range(6)
)  # fmt: skip
START = TrainingStart("2026-01-02T03:04:05+00:00", 7260.0, int(2.5e9), (), (("train", "5 images"),), ("a note",))


def record(names=("road", "car", "tree"), start=START, confusion=CONFUSION, **changes):
    hp = resolve({"num_classes": 3, "epochs": 6, "learning_rate": 0.01})
    values = {"history": HISTORY, "best_epoch": 4, "scores": Scores.of(confusion), "versions": {"keras": "3.14"}}
    return TrainingRecord("out/model.tar.gz", hp, names, start=start, **{**values, **changes})


def image_scores():
    calibration = Calibration(np.arange(10), np.linspace(0.05, 0.95, 10), np.linspace(0, 0.9, 10), 0.05)
    interval = Interval(0.2, 0.4)
    return ImageScores(
        "validation", [None] * 4, Scores.of(CONFUSION), np.arange(4) / 10, np.arange(4) / 10, interval,
        (interval, interval, None), calibration,
    )  # fmt: skip


def example(name="b/0001"):
    uri = "data:image/jpeg;base64,AAAA"
    return Example("Worst", name, 0.25, 0.5, Panels(uri, uri, uri, uri, 320, 240))


def test_what_it_says():
    seen = Document(render(record(), price_per_hour=1.5)).seen
    scores = Scores.of(CONFUSION)
    for text in (
        f"mIOU {scores.miou:.3f} on the validation data",
        "5 of 6",
        "2 h 01 min cost 3.02",
        "2.5 GB",
        "22.5",  # the median of images per second
        "5 images",
        "a note",
        "started 2026-01-02 03:04:05 UTC",
        "Keras 3.14",
        "learning_rate 0.01 0.001",
    ):
        assert text in seen, text
    assert "0 road 0.874 0.900 0.968 1 000 88.5 % car 6.0 %" in seen


def test_a_training_that_runs():
    seen = Document(render(record(finished=False, history=HISTORY[:3], best_epoch=2))).seen
    assert "3 of 6 epochs" in seen
    assert "Best mIOU so far" in seen


def test_a_model_without_epochs():
    seen = Document(render(record(start=None, history=(), best_epoch=None, scores=None, versions={}))).seen
    assert "No epochs are known" in seen
    assert "Curves" not in seen


def test_images_calibration_and_intervals():
    document = Document(render(record(), image_scores(), [example()]))
    assert "4 images, as the model is used; 95 % interval over images 0.200 to 0.400" in document.seen
    assert "0.20 to 0.40" in document.seen
    assert "Expected calibration error 0.050" in document.seen
    assert "Worst b/0001 mIOU 0.250, 50.0 % wrong" in document.seen
    assert len(document.all("img")) == 4


def test_it_loads_nothing_and_runs_nothing():
    html = render(record(), image_scores(), [example()])
    document = Document(html)
    assert not document.all("script")
    for tag, attributes in document.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("style", "srcset")}, tag
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), attributes
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(meta["content"] for meta in document.all("meta") if "http-equiv" in meta)
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_foreign_name_stays_text(name):
    def page(name):
        start = TrainingStart(name, 1.0, 1, (), ((name, name),), (name,))
        return render(record(names=(name,) * 3, start=start, versions={name: name}), image_scores(), [example(name)])

    page(name).encode()
    hostile, usual = Document(page(name)), Document(page("plain"))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in usual.elements]
    assert [sorted(attributes) for _, attributes in hostile.elements] == [
        sorted(attributes) for _, attributes in usual.elements
    ]


def test_it_can_be_read_aloud():
    document = Document(render(record(), image_scores(), [example()]))
    assert len(document.all("caption")) == len(document.all("table")) > 3
    assert all(image["alt"] for image in document.all("img"))
    assert all(svg.get("aria-hidden") == "true" or svg.get("aria-label") for svg in document.all("svg"))
    labels = {attributes["aria-labelledby"] for tag, attributes in document.elements if "aria-labelledby" in attributes}
    assert labels <= {attributes.get("id") for _, attributes in document.elements}


def test_many_epochs_and_classes_stay_small():
    hp = resolve({"num_classes": 254, "epochs": 1000})
    history = HISTORY * 166
    confusion = np.random.default_rng(0).integers(0, 9, (254, 254))
    page = render(TrainingRecord("m", hp, (), history, 3, Scores.of(confusion)))
    Document(page)
    assert len(page) < 600_000
