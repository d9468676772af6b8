"""Predictions that are drawn after some epochs: which epochs, which images, and what is drawn."""

import dataclasses

import keras
import numpy as np
import pytest

from sagemaker_semseg.data.images import decode_image, palette
from sagemaker_semseg.training.sample_predictions import SamplePredictions


class OneLabel(keras.layers.Layer):
    """Logits of two classes, of which label 1 is the larger."""

    def call(self, x):
        zeros = x[..., :1] * 0
        return [keras.ops.concatenate([zeros, zeros + 1], -1), zeros]


@pytest.fixture(scope="module")
def model():
    image = keras.Input((None, None, 3))
    return keras.Model(image, OneLabel()(image))


def draw(folder, dataset, model, epochs, initial_step=0):
    callback = SamplePredictions(folder, dataset, 2)
    callback.set_model(model)
    callback.set_params({"epochs": epochs, "initial_step": initial_step})
    callback.on_train_begin()
    for epoch in range(epochs):
        callback.on_epoch_end(epoch)
    return callback


@pytest.mark.parametrize(
    ("epochs", "drawn"), [(1, [1]), (3, [1, 2, 3]), (20, [1, *range(2, 21, 2)]), (100, [1, *range(12, 97, 12), 100])]
)
def test_about_eight_epochs_and_the_last(epochs, drawn, tiny_channels, model, tmp_path):
    callback = draw(tmp_path, tiny_channels.validation, model, epochs)
    assert [pair.name for pair in callback.pairs] == ["0", "1", "2"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{i}_{what}.jpg" for i in range(3) for what in ("image", "labels", *drawn)}


def test_the_prediction_is_drawn_over_the_image(tiny_channels, model, tmp_path):
    draw(tmp_path, tiny_channels.validation, model, 1)
    image, predicted = (decode_image((tmp_path / f"0_{what}.jpg").read_bytes()) for what in ("image", "1"))
    expected = image * 0.4 + palette()[1] * 0.6
    assert image.shape == predicted.shape == (200, 240, 3)
    assert np.abs(predicted - expected).mean() < 3
    labels = decode_image((tmp_path / "0_labels.jpg").read_bytes())
    assert np.abs(labels - expected).mean() > 10  # a part of it is label 0


def test_images_are_spread_and_large_ones_left_out(tiny_channels, tmp_path):
    pairs = tiny_channels.train.pairs
    assert [pair.name for pair in SamplePredictions(tmp_path, tiny_channels.train, 2).pairs] == [
        pairs[0].name, pairs[3].name, pairs[6].name,
    ]  # fmt: skip
    large = dataclasses.replace(tiny_channels.train, pairs=(dataclasses.replace(pairs[0], size=(2000, 2000)), pairs[1]))
    assert [pair.name for pair in SamplePredictions(tmp_path, large, 2).pairs] == [pairs[1].name]


def test_an_earlier_trainings_files_go_unless_it_resumes(tiny_channels, model, tmp_path):
    draw(tmp_path, tiny_channels.validation, model, 3)
    draw(tmp_path, tiny_channels.validation, model, 1, initial_step=4)
    assert (tmp_path / "0_3.jpg").is_file()
    draw(tmp_path, tiny_channels.validation, model, 1)
    assert not (tmp_path / "0_3.jpg").exists()
