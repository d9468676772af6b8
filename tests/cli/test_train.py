"""``train``: what it prints and writes, what it refuses, how it stops and resumes."""

import json
import os
import re
import shutil
import signal

import keras
import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.cli import main, train_command
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.training import callbacks, precision_choice


def lines(text):
    return [line for line in text.splitlines() if not line.startswith("[")]


def test_tells_what_it_does_and_what_came_of_it(trained, data):
    text = lines(trained.text)
    assert text[0].startswith("train       8 images of 48-60 x 48-60 pixels")
    assert text[1].startswith("validation  3 images")
    assert "ground" in text[2]
    assert "triangle" in text[2]
    assert "1 epochs of 2 steps; 4 crops of 32 x 32" in trained.text
    assert text[-4] == "best epoch 1 of 1"
    assert text[-3].startswith("validation mIOU 0.")
    assert text[-2] == f"model {trained.output / 'model.tar.gz'}"
    assert text[-1] == f"report {trained.output / 'report.html'}"
    assert "#quality_metric: host=algo-1, epoch=0, validation mIOU <score>=" in trained.text


def test_the_artifact_has_the_settings_and_the_names(trained):
    artifact = read_artifact(trained.output / "model.tar.gz")
    assert artifact.labels["class_names"] == ["ground", "disc", "box", "triangle"]
    assert artifact.hyperparameters["crop_size"] == "32"
    assert artifact.hyperparameters["epochs"] == "1"


def test_all_faults_come_at_once(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "data"
    shutil.copytree(data, broken)
    (broken / "train" / "0001.jpg").write_bytes(b"no image")
    (broken / "validation_annotation" / "0002.png").unlink()
    arguments = ["--data", str(broken), "--num-classes", "4", "--crop-siz", "64", "--epochs", "none", "--seed=-1"]
    assert main(["train", *arguments, "--class-names", "a,b,,b"]) == 2
    error = capsys.readouterr().err
    expected = (
        "--crop-siz: there is no such flag (did you mean --crop-size?)",
        "epochs: an integer > 0 is expected, 'none' came",
        "seed: an integer >= 0 is expected",
        "use_pretrained_model: is True (the default)",
        "--output: is missing",
        "class_names: a name for every class",
        "a name is empty, b is there twice",
        str(broken / "train" / "0001.jpg"),
        str(broken / "validation" / "0002.jpg"),
    )
    for text in expected:
        assert text in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"--num-classes": None}, "num_classes: is missing"),
        ({"--num-classes": "300"}, "num_classes: an integer 2 <= x <= 254"),
        ({"--num-classes": "3", "--class-names": "a,b,c"}, "no label for pixel value 3"),
        ({"--class-names": "a,b"}, "class_names: num_classes is 4, but 2 names came"),
        ({"--use-pretrained-model": None, "--backbone": "resnet-18"}, "--use-pretrained-model False"),
        ({"--use-pretrained-model": "maybe"}, "True or False is expected, 'maybe' came"),
        (
            {"--algorithm": "psp", "--mini-batch-size": "1"},
            "mini_batch_size: is 1: batch normalization after the global",
        ),
        ({"--data": None}, "--data: is missing"),
        ({"--data": "/nowhere"}, "/nowhere: no such folder"),
        ({"--train": "/nowhere"}, "/nowhere: the folder of the channel train doesn't exist"),
        ({"--output": "{data}/train/out"}, "lies in the channel train"),
        ({"--tensorboard": "{data}/train/out"}, "lies in the channel train (keep the output apart from the data)"),
        ({"--tensorboard": "s3://bucket/x"}, "s3://bucket/x: TensorBoard's files can't be written into S3"),
        ({"--output": "{data}/train/0000.jpg/out"}, "0000.jpg is a file"),
        ({"--crop-size": None, "--crop_size": "64"}, "--crop_size: there is no such flag (did you mean --crop-size?)"),
        ({"--epochs": "1", "stray": None}, "stray: nothing is expected here"),
    ],
)
def test_what_is_wrong_is_reported(data, settings, tmp_path, capsys, monkeypatch, change, expected):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    flags = dict(zip(settings[::2], settings[1::2], strict=True))
    flags |= {"--data": str(data), "--output": str(tmp_path / "out")}
    flags |= {name: value and value.format(data=data) for name, value in change.items() if name != "stray"}
    arguments = [part for name, value in flags.items() if value is not None for part in (name, value)]
    assert main(["train", *arguments, *(["stray"] if "stray" in change else [])]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


def test_a_missing_channel_is_named_with_what_is_there(data, settings, tmp_path, capsys):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "validation_annotation").rename(tmp_path / "data" / "val_annotation")
    assert main(["train", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "out"), *settings]) == 2
    error = capsys.readouterr().err
    assert "validation_annotation: the channel is missing" in error
    assert "val_annotation to validation_annotation" in error


def test_channels_may_have_flags_of_their_own(data, settings, tmp_path, capsys):
    """The masks through a label map that shifts them: pixel value 10 + label."""
    for split in ("train", "validation"):
        (tmp_path / f"{split}_masks").mkdir()
        for path in (data / f"{split}_annotation").iterdir():
            with Image.open(path) as mask:
                labels = np.asarray(mask) + 10
            (tmp_path / f"{split}_masks" / path.name).write_bytes(encode_mask(labels.astype(np.uint8)))
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "label_map.json").write_text(json.dumps({"map": {str(i): i + 10 for i in range(4)}}))
    arguments = ["train", "--train", f"{data}/train", "--train-annotation", f"{tmp_path}/train_masks"]
    arguments += ["--validation", f"{data}/validation", "--validation-annotation", f"{tmp_path}/validation_masks"]
    wrong = [*arguments, "--output", str(tmp_path / "out"), *settings]
    assert main(wrong) == 2  # without the map, the values are no labels
    assert "no label for pixel value 10" in capsys.readouterr().err
    # with it, the only thing wrong is the learning rate
    assert main([*wrong, "--label-map", f"{tmp_path}/maps", "--learning-rate", "7"]) == 2
    error = capsys.readouterr().err
    assert "learning_rate" in error
    assert "no label" not in error


class Interrupt(keras.callbacks.Callback):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def on_train_batch_begin(self, batch, logs=None):
        os.kill(os.getpid(), self.number)


def test_stop_and_go_on_and_restart(data, settings, tmp_path, capsys, monkeypatch):
    output = tmp_path / "out"
    arguments = ["train", "--data", str(data), "--output", str(output), "--epochs", "2", *settings]
    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "logging_callback", lambda host: Interrupt(signal.SIGTERM))
        assert main(arguments) == 0  # SageMaker stops jobs so
    text = capsys.readouterr().out
    assert "stopped after 0 of 2 epochs" in text
    assert "no epoch was finished" in text
    assert (output / "model.tar.gz").is_file()

    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "continues after 0 of 2 epochs" in text
    assert "of 2\nvalidation mIOU 0." in text

    assert main([*arguments, "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert "seed: was 0" in error
    assert "--restart" in error

    (output / "checkpoints" / "mine.txt").write_text("stays")
    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "logging_callback", lambda host: Interrupt(signal.SIGINT))
        assert main([*arguments, "--seed", "1", "--restart"]) == 130  # Ctrl-C
    assert "stopped after 0 of 2 epochs" in capsys.readouterr().out
    assert (output / "checkpoints" / "mine.txt").read_text() == "stays"


def test_precision_is_measured_once(data, settings, tmp_path, capsys, monkeypatch):
    """A slow one brings a warning. Model and checkpoint have it, and auto keeps it. Measuring changes no weight."""
    output, measure = tmp_path / "out", precision_choice.measure
    arguments = ["train", "--data", str(data), "--output", str(output), *settings, "--epochs", "1"]
    monkeypatch.setattr(precision_choice, "measure", lambda hp, names: {"float32": 0.64, "mixed_float16": 1.1})
    assert main([*arguments, "--precision", "mixed_float16"]) == 0
    slow = "precision mixed_float16 is slow on this machine: convolutions take 1.72 times float32's time"
    assert f"warning     {slow}" in capsys.readouterr().out
    assert "mixed_float16 is slow on this machine" in (output / "report.html").read_text()
    assert read_artifact(output / "model.tar.gz").hyperparameters["precision"] == "mixed_float16"

    assert main([*arguments, "--precision", "auto"]) == 0
    text = capsys.readouterr().out
    assert "this training is finished" in text
    assert ", mixed_float16\n" in text  # the line of the network
    assert "convolutions" not in text  # nothing is measured again
    assert main([*arguments, "--precision", "float32"]) == 2
    assert "precision: was mixed_float16" in capsys.readouterr().err

    monkeypatch.setattr(
        precision_choice, "measure", lambda hp, names: {name: n for n, name in enumerate(measure(hp, names), start=1)}
    )
    assert main([*arguments, "--precision", "auto", "--restart"]) == 0
    assert "precision   float32, chosen by measurement: convolutions take 2.00 times" in capsys.readouterr().out
    found = read_artifact(output / "model.tar.gz")
    assert found.hyperparameters["precision"] == "float32"
    assert main([*arguments, "--restart"]) == 0
    for name, array in read_artifact(output / "model.tar.gz").weights.items():
        assert np.array_equal(array, found.weights[name]), name


def test_more_epochs_after_the_end_name_the_model_to_train_further(trained, data, settings, capsys):
    assert main(["train", "--data", str(data), "--output", str(trained.output), "--epochs", "2", *settings]) == 2
    error = capsys.readouterr().err
    assert "is finished after 1 epochs, and had other settings" in error
    assert "epochs: was 1 when" in error
    assert f"--model {trained.output / 'model.tar.gz'} and another --output" in error
    assert "unfinished" not in error


def test_a_training_that_stopped_early_is_finished_too(data, settings, tmp_path, capsys):
    arguments = ["train", "--data", str(data), "--output", str(tmp_path / "out"), *settings, "--epochs", "9"]
    stops = ["--early-stopping", "True", "--early-stopping-min-epochs", "1", "--early-stopping-patience", "1"]
    assert main([*arguments, *stops, "--learning-rate", "1e-7"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--seed", "3"]) == 2
    assert re.search("is finished after [2-8] epochs, and had other settings", capsys.readouterr().err)


class Damage(keras.callbacks.Callback):
    """Cuts the images of train short once the first epoch is done."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        for path in self.folder.iterdir():
            path.write_bytes(path.read_bytes()[:300])


def test_a_file_that_is_damaged_while_a_training_runs_is_named(data, settings, tmp_path, capsys, monkeypatch):
    shutil.copytree(data, tmp_path / "data")
    monkeypatch.setattr(callbacks, "logging_callback", lambda host: Damage(tmp_path / "data/train"))
    arguments = ["train", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "out"), *settings]
    assert main([*arguments, "--epochs", "9"]) == 2  # some of the second epoch was read before
    error = capsys.readouterr().err
    assert "while reading the data: " in error
    assert f"{tmp_path}/data/train/000" in error
    assert "cut short" in error


def test_a_damaged_checkpoint_is_reported_and_restart_passes_it(data, settings, tmp_path, capsys):
    output = tmp_path / "out"
    (output / "checkpoints").mkdir(parents=True)
    (output / "checkpoints" / "last.safetensors").write_bytes(b"damaged")
    arguments = ["train", "--data", str(data), "--output", str(output), *settings]
    assert main(arguments) == 2
    assert "not a checkpoint of this program, or damaged" in capsys.readouterr().err
    assert main([*arguments, "--restart", "--epochs", "0"]) == 2  # got past the checkpoint
    error = capsys.readouterr().err
    assert "epochs: an integer > 0" in error
    assert "checkpoint" not in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], True), (["--verbose"], True), (["--epochs", "3"], False), (["--data", "x"], False), (["--restart"], False)],
)
def test_without_flags_it_is_the_job_of_a_container(arguments, expected, tmp_path, monkeypatch, capsys):
    launched = []
    monkeypatch.setattr(train_command, "launch", lambda base, verbose: launched.append((base, verbose)) or 0)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert main(["train", *arguments]) == 2  # there is no such folder
    assert not launched
    (tmp_path / "input" / "config").mkdir(parents=True)
    assert main(["train", *arguments]) == (0 if expected else 2)
    assert launched == ([(tmp_path, "--verbose" in arguments)] if expected else [])


def test_finish_writes_the_model_from_the_checkpoints(trained, tmp_path, capsys):
    """Without data and hyperparameters. The weights and the metrics are the training's."""
    shutil.copytree(trained.output / "checkpoints", tmp_path / "kept")
    assert main(["train", "--finish", "--checkpoints", str(tmp_path / "kept"), "--output", str(tmp_path / "out")]) == 0
    assert "best epoch 1 of 1" in capsys.readouterr().out
    artifact, before = read_artifact(tmp_path / "out" / "model.tar.gz"), read_artifact(trained.output / "model.tar.gz")
    assert artifact.labels == before.labels
    assert artifact.metrics["history"] == before.metrics["history"]
    for name, array in before.weights.items():
        np.testing.assert_array_equal(artifact.weights[name], array)


def test_finish_without_checkpoints(tmp_path, capsys):
    assert main(["train", "--finish", "--output", str(tmp_path), "--epoch", "3"]) == 2
    assert "--epoch: there is no such flag" in capsys.readouterr().err
    assert main(["train", "--finish", "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'checkpoints' / 'last.safetensors'}: there is no such checkpoint" in error
    assert main(["train", "--finish"]) == 2
    assert "--output: is missing" in capsys.readouterr().err
