"""Scores by image: compared with sums over the pixels, and with intervals and bins that were computed otherwise."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.datasets import find_channels, read_split
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.data.images import decode_mask, encode_mask
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.report import image_scores
from sagemaker_semseg.report.image_scores import draw_panels, measure


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("scores")
    make_demo_set(root, train=1, validation=5, test=0, size=48)
    first = sorted((root / "validation_annotation").iterdir())[0]
    labels = decode_mask(first.read_bytes()).copy()
    labels[:10] = 255
    first.write_bytes(encode_mask(labels))
    return read_split(find_channels(root), 4)


@pytest.fixture(scope="module")
def segmenter(small_model):
    return Segmenter(small_model, threads=1)


@pytest.fixture(scope="module")
def measured(segmenter, dataset):
    return measure(segmenter, dataset)


def truth_and_prediction(segmenter, dataset):
    for pair in dataset.pairs:
        yield decode_mask(pair.mask.read_bytes()), segmenter.labels(pair.image)


def test_scores_of_each_image_and_of_all(segmenter, dataset, measured):
    hits, unions = np.zeros(4), np.zeros(4)
    for number, (labels, predicted) in enumerate(truth_and_prediction(segmenter, dataset)):
        valid = labels != 255
        here = [((labels == c) & (predicted == c)).sum() for c in range(4)]
        union = [(valid & ((labels == c) | (predicted == c))).sum() for c in range(4)]
        expected = np.mean([h / u for h, u in zip(here, union, strict=True) if u])
        assert measured.iou[number] == pytest.approx(expected)
        assert measured.wrong[number] == pytest.approx((labels != predicted)[valid].mean())
        hits, unions = hits + here, unions + union
    assert measured.scores.iou == pytest.approx(hits / unions, nan_ok=True)
    ranked = measured.ranked()
    assert list(measured.iou[ranked]) == sorted(measured.iou)


def test_intervals_are_those_of_a_loop(segmenter, dataset, measured):
    """The same bootstrap, drawn with choice and another seed: the ends agree within its noise."""
    random, scores = np.random.default_rng(7), []
    hits, unions = [], []
    for labels, predicted in truth_and_prediction(segmenter, dataset):
        hits.append([((labels == c) & (predicted == c)).sum() for c in range(4)])
        unions.append([((labels != 255) & ((labels == c) | (predicted == c))).sum() for c in range(4)])
    hits, unions = np.array(hits), np.array(unions)
    for _ in range(2000):
        chosen = random.choice(5, 5)
        union = unions[chosen].sum(0)
        scores.append((hits[chosen].sum(0)[union > 0] / union[union > 0]).mean())
    low, high = np.quantile(scores, (0.025, 0.975))
    assert (measured.miou_interval.low, measured.miou_interval.high) == pytest.approx((low, high), abs=0.01)
    assert measured.miou_interval.low <= measured.scores.miou <= measured.miou_interval.high
    for interval, iou in zip(measured.class_intervals, measured.scores.iou, strict=True):
        assert interval is None if np.isnan(iou) else interval.low <= iou <= interval.high


def test_calibration(segmenter, dataset, measured):
    confidence, right = [], []
    for pair in dataset.pairs:
        labels, probabilities = decode_mask(pair.mask.read_bytes()), segmenter.probabilities(pair.image)
        confidence.append(probabilities.max(0)[labels != 255])
        right.append((probabilities.argmax(0) == labels)[labels != 255])
    confidence, right = np.concatenate(confidence), np.concatenate(right)
    error = 0.0
    for number in range(10):
        inside = (confidence >= number / 10) & (confidence < (number + 1) / 10 if number < 9 else True)
        assert measured.calibration.pixels[number] == inside.sum()
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert measured.calibration.error == pytest.approx(error, abs=1e-6)


def test_large_images_have_labels_alone(segmenter, dataset, measured, monkeypatch):
    monkeypatch.setattr(image_scores, "MAX_PROBABILITIES", 1)
    again = measure(segmenter, dataset)
    assert again.calibration is None
    assert (again.scores.confusion == measured.scores.confusion).all()


def test_panels_show_what_is_wrong(segmenter, dataset):
    panels = draw_panels(segmenter, dataset, 0)
    labels, predicted = next(truth_and_prediction(segmenter, dataset))
    data = base64.b64decode(panels.wrong.partition(",")[2])
    drawn = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert drawn.shape == (panels.height, panels.width, 3)
    factor = panels.height // 48
    red = (drawn[..., 0] - drawn[..., 1])[factor // 2 :: factor, factor // 2 :: factor] > 60
    wrong = (labels != predicted) & (labels != 255)
    assert (red == wrong).mean() > 0.97  # JPEG blurs the borders


def test_progress_counts_images(segmenter, dataset):
    seen = []
    measure(segmenter, dataset, lambda done, total: seen.append((done, total)))
    assert seen == [(n + 1, 5) for n in range(5)]
