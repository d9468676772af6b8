"""``check``: its table, JSON and page, and the exit statuses for errors, warnings and neither."""

import json

import pytest
from PIL import Image

from sagemaker_semseg.cli import main
from sagemaker_semseg.data.demo_dataset import make_demo_set


@pytest.fixture
def small(tmp_path):
    """Make a demo set that a test may damage; its images are larger than the crop."""
    make_demo_set(tmp_path / "set", train=6, validation=5, test=0, size=48)
    return tmp_path / "set"


def check(folder, *flags):
    return main(["check", "--data", str(folder), "--num-classes", "4", "--crop-size", "32", *flags])


def test_a_clean_set(small, capsys):
    assert check(small, "--strict", "--class-names", "ground,disc,box,triangle") == 0
    text = capsys.readouterr().out
    for word in ("train", "validation", "48 x 48 (", "3 triangle", "--num-training-samples 6", "memory, estimated"):
        assert word in text
    assert text.splitlines()[-1] == "0 errors, 0 warnings"


def test_warnings_count_with_strict_alone(small, capsys):
    (small / "train/.DS_Store").write_bytes(b"?")
    assert check(small) == 0
    assert check(small, "--strict") == 1
    text = capsys.readouterr().out
    assert "hidden file" in text
    assert "why:" in text
    assert "fix:" in text
    assert text.splitlines()[-1] == "0 errors, 1 warning"


def test_errors_win(small, capsys):
    (small / "train/.DS_Store").write_bytes(b"?")
    first, *others = sorted((small / "train").glob("*.jpg"))
    for path in (first, *others):
        path.write_bytes(b"")
    assert check(small) == check(small, "--strict") == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "6 errors, 1 warning"
    assert any("6 x" in line for line in lines)
    assert sum(": the file is empty" in line for line in lines) == 2 * 3  # the first of each kind, on both runs
    assert str(small) not in "\n".join(lines)


def test_json_has_every_finding(small, tmp_path, capsys):
    for path in (small / "train").glob("*.jpg"):
        path.write_bytes(b"")
    assert check(small, "--json", "-") == 2
    printed = json.loads(capsys.readouterr().out)
    assert check(small, "--json", str(tmp_path / "report.json")) == 2
    assert json.loads((tmp_path / "report.json").read_text()) == printed
    assert (printed["errors"], printed["warnings"]) == (6, 0)
    wheres = {finding["where"] for finding in printed["findings"]}
    assert wheres == {str(path) for path in (small / "train").glob("*.jpg")}
    assert set(printed["findings"][0]) == {"level", "kind", "where", "what", "why", "remedy"}
    assert printed["splits"]["validation"]["pairs"] == 5
    sizes = printed["splits"]["validation"]["sizes"]
    assert sum(size["images"] for size in sizes) == 5
    counted = sum(printed["splits"]["validation"]["pixels_of_class"])
    pixels = sum(size["images"] * size["height"] * size["width"] for size in sizes)
    assert counted + printed["splits"]["validation"]["ignored_pixels"] == pixels


def test_the_page(small, tmp_path):
    assert check(small, "--html", str(tmp_path / "report.html")) == 0
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_the_number_of_classes_is_proposed(small, capsys):
    assert main(["check", "--data", str(small), "--crop-size", "32"]) == 0
    assert "num_classes wasn't given: 4 are proposed" in capsys.readouterr().out


def test_a_label_map_of_its_own(small, tmp_path, capsys):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/label_map.json").write_text('{"map": {"0": 0, "1": [1, 2]}}')
    arguments = ["check", "--data", str(small), "--num-classes", "2", "--crop-size", "32"]
    assert main([*arguments, "--label-map", str(tmp_path / "maps")]) == 0
    assert "pixel values left out" in capsys.readouterr().out


def test_names_with_brackets_are_no_markup(small, capsys):
    path = sorted((small / "train").glob("*.jpg"))[0]
    path.rename(path.with_name("a[red]b.jpg"))
    assert check(small) == 2
    assert "a[red]b.jpg" in capsys.readouterr().out


def test_train_points_to_it(small, tmp_path, capsys):
    (small / "train/more.jpg").write_bytes(b"")
    Image.new("RGB", (48, 48)).save(small / "train_annotation/more.png")
    flags = ["--output", str(tmp_path / "out"), "--num-classes", "4", "--use-pretrained-model", "False"]
    assert main(["train", "--data", str(small), *flags]) == 2
    message = capsys.readouterr().err
    assert "sagemaker-semseg check" in message
    assert check(small) == 2
    printed = capsys.readouterr().out
    for kind in ("empty file", "colour mask"):
        assert f"{kind}: 1" in message
        assert kind in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check"], "--data: is missing"),
        (["check", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["check", "--data", "{data}", "--num-classes", "1"], "num_classes"),
        (["check", "--data", "{data}", "--num-classes", "3", "--class-names", "a,b"], "2 names came"),
        (["check", "--data", "{data}", "--num-class", "3"], "did you mean --num-classes?"),
        (["check", "--data", "{data}", "--crop-size", "big"], "crop_size"),
    ],
)
def test_refused(small, capsys, arguments, expected):
    assert main([argument.format(data=small) for argument in arguments]) == 2
    assert expected in capsys.readouterr().err
