"""``demo``: the folder it takes and the ones it leaves alone; the whole of it with few images."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.cli import demo_command, main
from sagemaker_semseg.cli.flags import hyperparameter_arguments
from sagemaker_semseg.cli.parser import parse
from sagemaker_semseg.hyperparameters import resolve

FEW = {"train": 8, "validation": 2, "test": 3, "size": 48}
SHORT = {**demo_command.HYPERPARAMETERS, "crop_size": 32, "base_size": 48, "epochs": 1, "mini_batch_size": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "out"
    assert demo_command.run_demo(root, FEW, SHORT) == 0
    return root


def test_leaves_data_model_masks_and_overlays(made):
    assert (made / "model" / "model.tar.gz").is_file()
    for name in ("0000.png", "0001.png", "0002.png"):
        with Image.open(made / "masks" / name) as mask, Image.open(made / "data" / "test_annotation" / name) as truth:
            assert (mask.mode, mask.size) == ("P", truth.size)
            assert np.asarray(mask).max() < 4
        with Image.open(made / "overlays" / name) as overlay:
            assert overlay.width > 3 * mask.width
    with Image.open(made / "contact_sheet.png") as sheet:
        assert sheet.width > overlay.width


def test_a_second_run_takes_away_its_own_files_alone(made, capsys):
    own = ["data/train/0099.jpg", "data/train_annotation/0099.png", "masks/0099.png", "overlays/0099.png"]
    others = ["mine.txt", "data/mine.txt", "model/mine.bin", "masks/mine.png", "data/train/mine.jpg"]
    for name in own + others:
        (made / name).write_bytes(b"x")
    demo_command.claim_folder(made)
    assert [name for name in own if (made / name).exists()] == []
    assert [name for name in others if not (made / name).exists()] == []
    assert not (made / "model" / "model.tar.gz").exists()
    assert not (made / "model" / "checkpoints").exists()
    assert not (made / "data" / "train" / "0000.jpg").exists()


def test_the_end_of_what_it_prints(tmp_path, capsys, monkeypatch):
    """Without the training: what a finished one leaves is put in its place."""
    monkeypatch.setattr(demo_command, "IMAGES", FEW)
    monkeypatch.setattr(demo_command, "HYPERPARAMETERS", SHORT)
    root = tmp_path / "demo"
    assert main(["demo", "--output", str(root)]) == 0
    last = capsys.readouterr().out.splitlines()[-7:]
    assert last[0].startswith("validation mIOU 0.")
    assert len(last[0]) == len("validation mIOU 0.xx")
    assert [line.split()[-1] for line in last[1:]] == [
        str(root / name)
        for name in ("data", "model/model.tar.gz", "model/report.html", "masks", "overlays", "contact_sheet.png")
    ]


def test_the_data_alone(tmp_path, capsys, monkeypatch):
    """The commands that it prints are accepted, and use what it has written."""
    monkeypatch.setattr(demo_command, "IMAGES", FEW)
    root = tmp_path / "my shapes"
    assert main(["demo", "--data-only", str(root)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("13 images of 4 classes")
    check, train, predict = (shlex.split(line) for line in text.replace("\\\n", " ").splitlines()[1:])
    assert main(check[1:]) == 0
    settings = hyperparameter_arguments(parse(train[1:]))
    assert resolve(settings).crop_size == 64
    assert len(list(Path(predict[3]).glob("*.jpg"))) == 3
    capsys.readouterr()
    assert main(["demo", "--data-only", str(root)]) == 2
    assert "give a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_not_a_demos_is_left_alone(tmp_path, capsys, what):
    root = tmp_path / "root"
    if what == "file":
        root.write_text("mine")
    else:
        (root / "data" / "train").mkdir(parents=True)
        (root / "data" / "train" / "0000.jpg").write_text("mine")
    assert main(["demo", "--output", str(root)]) == 2
    assert str(root) in capsys.readouterr().err
    mine = root if what == "file" else root / "data" / "train" / "0000.jpg"
    assert mine.read_text() == "mine"


def test_contact_sheet():
    images = [
        Image.new("RGB", size, color) for size, color in (((30, 10), "red"), ((20, 16), "blue"), ((8, 4), "lime"))
    ]
    sheet = demo_command.contact_sheet(images, columns=2)
    assert sheet.size == (60, 20)
    assert [sheet.getpixel(at) for at in ((0, 0), (30, 0), (0, 16), (50, 0), (0, 10))] == [
        (255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255), (255, 255, 255)]  # fmt: skip


@pytest.mark.slow
def test_the_real_demo_learns(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "demo")]) == 0
    text = capsys.readouterr().out
    assert float(text.split("validation mIOU ")[-1].split()[0]) >= 0.80
