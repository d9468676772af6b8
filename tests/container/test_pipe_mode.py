"""A training in a container whose data comes in Pipe mode."""

import json
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from sagemaker_semseg.container import train
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.sdk.local.pipe_inputs import PipeChannel, PipeWriter


def pairs(data: Path, split: str) -> list[ImageMaskPair]:
    masks = data / f"{split}_annotation"
    return [ImageMaskPair(path.stem, path, masks / f"{path.stem}.png") for path in sorted((data / split).iterdir())]


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
    for channel in ("validation", "validation_annotation"):
        (job / "input/data" / channel).symlink_to(data / channel)
    with PipeWriter(job / "input/data", [PipeChannel("train", pairs(data, "train"), 0)]):
        assert train.run(job) == 0
    text = capsys.readouterr().out
    assert "input/data/train_0 on, 8 pairs in a pass" in text
    assert "validation  3 images" in text
    assert (job / "model" / "model.onnx").is_file()
    assert not (job / "output/failure").exists()


def test_what_a_stream_doesnt_tell_has_to_be_given(job):
    configure(job, train=PIPE, validation=PIPE)
    path = job / "input/config/hyperparameters.json"
    hyperparameters = {**json.loads(path.read_text()), "class_weights": "auto"}
    del hyperparameters["num_training_samples"]
    path.write_text(json.dumps(hyperparameters))
    with pytest.raises(UserError):
        train.run(job)
    failure = (job / "output/failure").read_text()
    assert "num_training_samples: is missing: in Pipe mode nothing else tells how long an epoch is" in failure
    assert "class_weights: is 'auto'" in failure


def test_a_stream_cant_be_read_again_to_quantize_the_model(job):
    configure(job, train=PIPE, validation=PIPE)
    path = job / "input/config/hyperparameters.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantize": "True"}))
    with pytest.raises(UserError):
        train.run(job)
    assert "quantize: is True, which reads images again after" in (job / "output/failure").read_text()


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
    with pytest.raises(UserError):
        train.run(job)
    assert expected in (job / "output/failure").read_text()


def test_a_bad_stream_is_the_jobs_failure(job):
    configure(job, train=PIPE, validation=PIPE)

    def send():
        os.mkfifo(job / "input/data/train_0")
        with open(job / "input/data/train_0", "wb") as file:
            file.write(b"\xff\xd8\xff\xe0 not RecordIO")

    threading.Thread(target=send, daemon=True).start()
    with pytest.raises(DataError):
        train.run(job)
    failure = (job / "output/failure").read_text()
    assert failure.startswith("ClientError: while reading the data: the records can't be read")
    assert "train_0, record 1 at byte 0: begins with the bytes ff d8 ff e0" in failure


def test_color_masks_are_the_data_s_fault_and_named_with_their_pair(job, tmp_path):
    """As SageMaker Ground Truth sends them: without the map of their colors, which only a manifest in File mode has."""
    configure(job, train=PIPE, validation=PIPE)
    image, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.new("RGB", (48, 48)).save(image)
    Image.effect_noise((48, 48), 64).convert("RGB").save(mask)
    sent = [PipeChannel("train", 8 * [ImageMaskPair("a", image, mask)])]
    with PipeWriter(job / "input/data", sent), pytest.raises(DataError) as caught:
        train.run(job)
    assert caught.value.exit_status == 2
    failure = (job / "output/failure").read_text()
    assert failure.startswith("ClientError: while reading the data")
    assert "train" in failure
    assert "RGB" in failure
