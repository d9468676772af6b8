"""``train``, ``evaluate`` and ``predict`` from Python: the typed arguments, and what they do."""

import keras
import numpy as np
import pytest
from PIL import Image

import sagemaker_semseg
from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.errors import DataError, UserError

SMALL = {
    "num_classes": 4, "backbone": "resnet-tiny", "use_pretrained_model": False, "crop_size": 32, "base_size": 48,
    "mini_batch_size": 4, "epochs": 2, "class_names": ["ground", "disc", "box", "triangle"],
}  # fmt: skip


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(logs["loss"])


@pytest.fixture(scope="module")
def losses():
    return Losses()


@pytest.fixture(scope="module")
def result(data, losses, tmp_path_factory):
    output = tmp_path_factory.mktemp("api")
    channels = {name: data / name for name in ("train", "train_annotation", "validation", "validation_annotation")}
    result = sagemaker_semseg.train(
        channels, output / "out", **SMALL, model_path=output / "folder", callbacks=[losses], quiet=True
    )
    assert not result.stopped, f"signal {result.signal} came from another process and has stopped the training"
    return result


def test_typed_hyperparameters_callbacks_and_a_folder_for_the_model(result, losses, capsys):
    assert [epoch["loss"] for epoch in result.history] == losses.epochs
    assert result.artifact.is_dir()
    artifact = read_artifact(result.artifact)
    assert artifact.labels["class_names"] == SMALL["class_names"]
    assert artifact.hyperparameters["crop_size"] == "32"
    assert sorted(path.name for path in (result.artifact.parent / "out").iterdir()) == [
        "checkpoints", "metrics.csv", "metrics.json", "report.html", "samples", "training.json",
    ]  # fmt: skip


def test_quiet_prints_nothing_and_the_same_call_continues(result, data, capfd):
    output = result.artifact.parent / "out"
    again = sagemaker_semseg.train(data, output, **SMALL, quiet=True)
    assert again.history == result.history
    assert again.artifact == output / "model.tar.gz"
    assert capfd.readouterr().out == ""


def test_an_earlier_model_is_trained_further(result, data, tmp_path):
    further = sagemaker_semseg.train(
        data, tmp_path, **{**SMALL, "epochs": 1, "learning_rate": 1e-9}, model=result.artifact, quiet=True
    )
    assert further.scores.miou == pytest.approx(result.scores.miou, abs=0.01)


def test_evaluate_agrees_with_the_training(result, data):
    scores = sagemaker_semseg.evaluate(result.artifact, data)
    np.testing.assert_array_equal(scores.confusion, result.scores.confusion)
    assert sagemaker_semseg.evaluate(result.artifact, data, split="train", batch_size=2).confusion.sum() > 0


def test_predict_agrees_with_the_segmenter(result, data, tmp_path):
    image = next((data / "test").iterdir())
    done = sagemaker_semseg.predict(result.artifact, image, tmp_path, overlay=True, scales=[1, 1.5], flip=True)
    assert (done.written, done.kept, done.failed) == (1, 0, 0)
    segmenter = sagemaker_semseg.Segmenter(result.artifact, scales=(1, 1.5), flip=True)
    with Image.open(tmp_path / f"{image.stem}.png") as mask:
        np.testing.assert_array_equal(segmenter.labels(image), np.asarray(mask))
    assert (tmp_path / f"{image.stem}_overlay.png").is_file()
    assert sagemaker_semseg.predict(result.artifact, [image], tmp_path, overlay=True, scales=[1, 1.5], flip=True).kept


def test_all_that_is_wrong_comes_at_once(data, tmp_path):
    with pytest.raises(UserError) as caught:
        sagemaker_semseg.train(tmp_path / "nowhere", data / "train" / "out", num_classes=4, crop_siz=3, epochs=0)
    text = str(caught.value)
    for expected in ("crop_siz: there is no such hyperparameter (did you mean crop_size?)", "epochs: an integer > 0",
                     "nowhere: no such folder"):  # fmt: skip
        assert expected in text


def test_data_of_another_split_is_missing(result, data):
    with pytest.raises(DataError, match="validation_annotation"):
        sagemaker_semseg.evaluate(result.artifact, {"validation": data / "validation"})
