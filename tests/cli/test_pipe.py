"""``train`` in Pipe mode: played on this machine, from a folder of FIFOs, and as a container is started."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from sagemaker_semseg.cli import main
from sagemaker_semseg.data.channels import ImageMaskPair
from sagemaker_semseg.data.pipe_simulator import ChannelConfig, running

COUNT = ["--num-training-samples", "8"]


def pairs(data: Path, split: str) -> list[ImageMaskPair]:
    masks = data / f"{split}_annotation"
    return [ImageMaskPair(path.stem, path, masks / f"{path.stem}.png") for path in sorted((data / split).iterdir())]


@pytest.fixture
def command(data, tmp_path, settings):
    return ["train", "--output", str(tmp_path / "out"), "--epochs", "1", *settings]


def test_a_job_in_pipe_mode_is_tried_on_one_machine(command, data, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for split in ("train", "validation"):
        lines = [{"source-ref": str(pair.image), "x-ref": str(pair.mask)} for pair in pairs(data, split)]
        (tmp_path / f"{split}.manifest").write_text("\n".join(map(json.dumps, lines)))
    assert main([*command, "--data", str(tmp_path / "train.manifest"), "--pipe", *COUNT]) == 0
    text = capsys.readouterr().out
    assert "train_0 on, 8 pairs in a pass" in text
    assert "validation_0 on\n" in text
    assert "classes     4 (ground, disc, box, triangle)" in text
    assert "best epoch 1 of 1" in text
    assert not list(tmp_path.glob("sagemaker-semseg-*"))


def test_what_cant_be_known_of_a_stream_has_to_be_given(command, data, capsys):
    assert main([*command, "--data", str(data), "--pipe", "--class-weights", "auto"]) == 2
    error = capsys.readouterr().err
    assert "num_training_samples: is missing: in Pipe mode nothing else tells how long an epoch is" in error
    assert "give the number of training images, 8" in error
    assert "class_weights: is 'auto'" in error


def test_the_players_trouble_is_the_cause(command, data, capsys, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    mask = tmp_path / "data/train_annotation/0003.png"
    mask.unlink()
    mask.symlink_to("nowhere.png")
    assert main([*command, "--data", str(tmp_path / "data"), "--pipe", *COUNT]) == 2
    error = capsys.readouterr().err
    assert "while reading the data: the data can't be played" in error
    assert f"{mask}: can't be read: No such file or directory" in error


def test_names_of_files_are_looked_at_before(command, data, capsys, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data/train_annotation/0003.png").unlink()
    assert main([*command, "--data", str(tmp_path / "data"), "--pipe", *COUNT]) == 2
    assert "0003.jpg: no mask of this name" in capsys.readouterr().err


@pytest.fixture
def job(settings, tmp_path):
    """A tree as a container finds it."""
    base = tmp_path / "ml"
    (base / "input/config").mkdir(parents=True)
    (base / "input/data").mkdir()
    values = dict(zip(settings[::2], settings[1::2], strict=True)) | {"--epochs": "1", "--num-training-samples": "8"}
    values.pop("--class-names")
    hyperparameters = {name[2:].replace("-", "_"): value for name, value in values.items()}
    (base / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    return base


def configure(base: Path, **channels: dict[str, str]) -> None:
    (base / "input/config/inputdataconfig.json").write_text(json.dumps(channels))


PIPE = {"TrainingInputMode": "Pipe", "ContentType": "application/x-recordio", "RecordWrapperType": "RecordIO"}


def test_a_container_with_a_pipe_and_folders(job, data, capsys):
    configure(job, train=PIPE, validation={"TrainingInputMode": "File"}, validation_annotation={})
    with running([ChannelConfig("train", pairs(data, "train"), 0)]) as player:
        (job / "input/data").rmdir()
        (job / "input/data").symlink_to(player.folder)
        for channel in ("validation", "validation_annotation"):
            (player.folder / channel).symlink_to(data / channel)
        assert main(["train", "--job", str(job)]) == 0
    text = capsys.readouterr().out
    assert "input/data/train_0 on, 8 pairs in a pass" in text
    assert "validation  3 images" in text
    assert (job / "model").is_dir()
    assert not (job / "output/failure").exists()


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ({"train": PIPE}, "validation: the channel is missing"),
        ({"train": PIPE, "train_annotation": PIPE}, "train_annotation: comes in Pipe mode, in which train"),
        ({"train": {**PIPE, "RecordWrapperType": "None"}, "validation": PIPE}, "train: comes in Pipe mode with Rec"),
    ],
)
def test_channels_that_cant_come_through_a_pipe(job, channels, expected):
    configure(job, **channels)
    assert main(["train", "--job", str(job)]) == 2
    assert expected in (job / "output/failure").read_text()


def test_a_bad_stream_is_the_jobs_failure(job):
    configure(job, train=PIPE, validation=PIPE)

    def send():
        os.mkfifo(job / "input/data/train_0")
        with open(job / "input/data/train_0", "wb") as file:
            file.write(b"\xff\xd8\xff\xe0 not RecordIO")

    threading.Thread(target=send, daemon=True).start()
    assert main(["train", "--job", str(job)]) == 2
    failure = (job / "output/failure").read_text()
    assert failure.startswith("ClientError: while reading the data: the records can't be read")
    assert "train_0, record 1 at byte 0: begins with the bytes ff d8 ff e0" in failure
