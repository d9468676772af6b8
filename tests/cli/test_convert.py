"""``convert``: flags to folders, what is message, and the command that is message works."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.cli import main
from sagemaker_semseg.cli.convert_formats import FORMATS
from sagemaker_semseg.cli.parser import parse
from sagemaker_semseg.data.datasets import find_channels, read_channels

SQUARE = [4, 4, 9, 4, 9, 9, 4, 9]


@pytest.fixture
def coco(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
    names = {1: "a", 2: "b", 3: "c", 4: "d"}
    content = {
        "images": [{"id": id, "file_name": f"{name}.jpg"} for id, name in names.items()],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "stop sign, old"}],
        "annotations": [
            {"id": id, "image_id": id, "category_id": 1 + id % 2, "segmentation": [SQUARE]} for id in names
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_and_the_command_that_trains_on_it(coco, tmp_path, capsys):
    output = tmp_path / "my data"
    given = ["coco", str(coco), "--images", str(tmp_path / "images"), "--output", str(output)]
    assert main(["convert", *given, "--validation-share", "0.5", "--seed", "3"]) == 0
    text = capsys.readouterr().out
    assert "4 images: 2 train, 2 validation" in text
    options = parse(shlex.split(text.splitlines()[-1])[1:])
    assert (str(options.data), options.class_names) == (str(output), "background,car,stop sign old")
    assert options.faults == []
    read_channels(find_channels(output), 3)


def test_a_list_for_validation(coco, tmp_path):
    (tmp_path / "val.txt").write_text("b\nd.jpg\n")
    given = ["coco", str(coco), "--images", str(tmp_path / "images"), "--output", str(tmp_path / "out")]
    assert main(["convert", *given, "--validation-list", str(tmp_path / "val.txt")]) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "validation").iterdir()) == ["b.jpg", "d.jpg"]


def test_flags_at_fault_come_together(coco, tmp_path, capsys):
    given = ["coco", str(coco), "--output", str(tmp_path / "out"), "--image", "images", "--validation-share", "20"]
    assert main(["convert", *given, "--seed", "x"]) == 2
    message = capsys.readouterr().err
    for part in ("did you mean --images?", "--validation-share: 20 came", "--seed: x is no number"):
        assert part in message


def test_what_was_left_out_is_reported(coco, tmp_path, capsys):
    (tmp_path / "images" / "c.jpg").write_bytes(b"GIF89a")
    given = ["coco", str(coco), "--images", str(tmp_path / "images"), "--output", str(tmp_path / "out")]
    assert main(["convert", *given]) == 2
    assert not (tmp_path / "out").exists()
    assert main(["convert", *given, "--skip-faulty"]) == 0
    out, err = capsys.readouterr()
    assert "3 images" in out
    assert err.count("c.jpg") == 2


@pytest.mark.parametrize("name", FORMATS)
def test_the_examples_of_the_help_are_accepted(name, capsys):
    with pytest.raises(SystemExit):
        main(["convert", name, "--help"])
    assert "--output" in capsys.readouterr().out
    lines = [line for line in FORMATS[name].epilog.replace("\\\n", " ").splitlines() if "convert" in line]
    assert lines
    for line in lines:
        options = parse(shlex.split(line)[1:])
        assert (options.format, options.faults) == (name, [])
