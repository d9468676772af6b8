"""Trainings and evaluations on labels that look wrong: refused with the label map to write, unless that is allowed."""

import json

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.cli import main
from sagemaker_semseg.container import job_directory, train
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.data.recordio import packed
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.jobs.api import evaluate
from sagemaker_semseg.jobs.api import train as train_from_python
from sagemaker_semseg.training import checkpoint

SMALL = {
    "num_classes": 2, "backbone": "resnet-tiny", "use_pretrained_model": False, "crop_size": 32, "base_size": 48,
    "mini_batch_size": 2, "epochs": 1,
}  # fmt: skip
FLAGS = [part for name, value in SMALL.items() for part in ("--" + name.replace("_", "-"), str(value))]
MAP = '{"scale": 255}'


def binary(root, foreground, splits=("train", "validation")):
    """Write the demo set's ground and objects as two values."""
    for split in splits:
        for path in (root / f"{split}_annotation").iterdir():
            with Image.open(path) as mask:
                objects = np.asarray(mask) > 0
            path.write_bytes(encode_mask((objects * foreground).astype(np.uint8)))


@pytest.fixture(scope="module")
def black_and_white(tmp_path_factory):
    root = tmp_path_factory.mktemp("black_and_white")
    make_demo_set(root, train=2, validation=2, test=1, size=48)
    binary(root, 255)
    return root


def test_a_training_is_refused_before_it_starts(black_and_white, tmp_path, capsys):
    assert main(["train", "--data", str(black_and_white), "--output", str(tmp_path / "out"), *FLAGS]) == 2
    error = capsys.readouterr().err
    assert f"{black_and_white}/train_annotation: every labelled pixel of train is class 0" in error
    assert f"{black_and_white}/validation_annotation: every labelled pixel of validation is class 0" in error
    assert f"give the label map {MAP}" in error
    assert "--allow-doubtful-labels" in error
    assert not (tmp_path / "out").exists()


def test_a_job_in_a_container_fails_with_the_remedy(black_and_white, tmp_path, monkeypatch):
    names = ("train", "train_annotation", "validation", "validation_annotation")
    job_directory.write_job_directory(
        tmp_path, {name: str(value) for name, value in SMALL.items()}, {name: {} for name in names},
        {name: black_and_white / name for name in names}, instance_type="ml.g5.xlarge",
    )  # fmt: skip
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert train.main() == 2
    failure = (tmp_path / "output/failure").read_text()
    assert failure.startswith("ClientError: the labels are doubtful")
    assert MAP in failure
    assert "allow_doubtful_labels" in failure


def test_a_stream_is_refused_once_its_first_epoch_has_come(black_and_white, tmp_path):
    for split in ("train", "validation"):
        masks = sorted((black_and_white / f"{split}_annotation").iterdir())
        files = [file for mask in masks for file in (black_and_white / split / f"{mask.stem}.jpg", mask)]
        records = b"".join(b"".join(packed(file.read_bytes())) for file in files)
        (tmp_path / f"{split}_0").write_bytes(records)  # a file may stand for a FIFO
    with pytest.raises(DataError, match="every labelled pixel of train is class 0"):
        train_from_python(None, tmp_path / "out", **SMALL, num_training_samples=2, fifos=tmp_path, quiet=True)


@pytest.fixture(scope="module")
def allowed(black_and_white, tmp_path_factory):
    output = tmp_path_factory.mktemp("allowed") / "out"
    result = train_from_python(black_and_white, output, **SMALL, allow_doubtful_labels=True, quiet=True)
    return output, result


def test_it_runs_where_that_is_allowed_and_the_score_has_its_warning(allowed, black_and_white, capsys):
    output, result = allowed
    expected = "this mIOU says nothing about the model: every labelled pixel is class 0"
    assert result.scores.warning() == expected
    assert main(["train", "--data", str(black_and_white), "--output", str(output), *FLAGS,
                 "--allow-doubtful-labels"]) == 0  # fmt: skip
    text = capsys.readouterr().out
    assert "warning     doubtful labels (2 x): " in text
    assert f"warning: {expected}" in text


def test_the_flag_changes_no_number_and_a_training_resumes_without_it(allowed):
    path = allowed[0] / "checkpoints/last.safetensors"
    state = checkpoint.read_state(path)
    assert state.hyperparameters["allow_doubtful_labels"] == "True"
    checkpoint.check_same_training(path, state, resolve(SMALL), state.samples)


def test_an_evaluation_is_refused_or_warned_about(allowed, black_and_white, tmp_path, capsys):
    output, _ = allowed
    with pytest.raises(DataError, match="every labelled pixel of validation is class 0"):
        evaluate(output, black_and_white)
    arguments = ["evaluate", str(output), "--data", str(black_and_white), "--allow-doubtful-labels"]
    assert main([*arguments, "--json", str(tmp_path / "scores.json")]) == 0
    assert "warning: this mIOU says nothing" in capsys.readouterr().out.splitlines()[-1]
    assert "class 0" in json.loads((tmp_path / "scores.json").read_text())["warning"]


def test_the_label_map_that_check_writes_makes_it_right(black_and_white, tmp_path, capsys):
    root = tmp_path / "data"
    root.mkdir()
    for folder in black_and_white.iterdir():
        (root / folder.name).symlink_to(folder)
    check = ["check", "--data", str(root), "--num-classes", "2", "--crop-size", "32", "--write-label-map"]
    assert main(check) == 2
    assert f"label map written: {root}/label_map/validation_label_map.json" in capsys.readouterr().out
    assert json.loads((root / "label_map/train_label_map.json").read_text()) == {"scale": 255}
    assert main(check) == 0
    assert "no label map is proposed" in capsys.readouterr().out
    assert main([*check, "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["findings"] is not None
    assert "no label map is proposed" in printed.err
    (root / "label_map/validation_label_map.json").unlink()
    assert main(check) == 2
    assert main(["train", "--data", str(root), "--output", str(tmp_path / "out"), *FLAGS, "--epochs", "0"]) == 2
    error = capsys.readouterr().err
    assert "epochs: an integer > 0" in error
    assert "of validation is class 0" in error
    assert "of train" not in error


def test_labels_0_and_1_with_an_ignored_border_are_trained(tmp_path, capsys):
    make_demo_set(tmp_path, train=2, validation=2, test=1, size=48)
    binary(tmp_path, 1)
    for path in tmp_path.glob("*_annotation/*.png"):
        with Image.open(path) as mask:
            labels = np.array(mask)
        labels[:4] = 255
        path.write_bytes(encode_mask(labels))
    assert main(["train", "--data", str(tmp_path), "--output", str(tmp_path / "out"), *FLAGS, "--epochs", "0"]) == 2
    assert "doubtful" not in capsys.readouterr().err
