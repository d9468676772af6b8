"""``predict``: the masks' form and names, bad images among good ones, and what is never overwritten."""

import shutil

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.cli import main, predict
from sagemaker_semseg.data.images import palette
from sagemaker_semseg.errors import DataError


def test_masks_and_overlays(trained, data, tmp_path, capsys):
    images = sorted((data / "test").iterdir())
    assert main(["predict", str(trained.output), *map(str, images), "-o", str(tmp_path / "o"), "--overlay"]) == 0
    assert capsys.readouterr().out == f"2 masks in {tmp_path / 'o'}\n"
    names = sorted(path.name for path in (tmp_path / "o").iterdir())
    assert names == ["0000.png", "0000_overlay.png", "0001.png", "0001_overlay.png"]
    for image in images:
        with Image.open(image) as picture, Image.open(tmp_path / "o" / f"{image.stem}.png") as mask:
            assert (mask.format, mask.mode, mask.size) == ("PNG", "P", picture.size)
            assert np.asarray(mask).max() < 4
            assert mask.getpalette()[:12] == palette()[:4].ravel().tolist()
        with Image.open(tmp_path / "o" / f"{image.stem}_overlay.png") as overlay:
            assert (overlay.mode, overlay.size) == ("RGB", picture.size)


def test_a_bad_image_is_told_and_the_others_are_done(trained, data, tmp_path, capsys):
    photos = tmp_path / "photos"
    (photos / "deeper").mkdir(parents=True)
    (photos / ".hidden").mkdir()
    good = data / "test" / "0000.jpg"
    for name in ("b.JPG", "deeper/c.jpeg", ".hidden/d.jpg"):
        shutil.copy(good, photos / name)
    (photos / "a.jpg").write_bytes(good.read_bytes()[:400])
    (photos / "notes.txt").write_text("no image")
    out = tmp_path / "out"
    assert main(["predict", str(trained.output), str(photos), str(tmp_path / "gone.jpg"), "-o", str(out)]) == 2
    captured = capsys.readouterr()
    assert f"{photos / 'a.jpg'}: " in captured.err
    assert f"{tmp_path / 'gone.jpg'}: no such file" in captured.err
    assert captured.out == f"2 masks in {out}\n"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.png")) == ["b.png", "deeper/c.png"]


def test_one_file_given_twice_is_done_once_and_two_of_one_name_both(data, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(data / "test" / "0000.jpg", tmp_path / folder / "a.jpg")
    shutil.copy(data / "test" / "0000.jpg", tmp_path / "y" / "A.png")
    given = [tmp_path / "x", tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg", tmp_path / "y" / "A.png"]
    tasks, faults = predict.plan(given, tmp_path / "out", overlays=True)
    assert [task.mask.name for task in tasks] == ["a.png", "a-2.png", "A-3.png"]
    assert [task.overlay.name for task in tasks] == ["a_overlay.png", "a-2_overlay.png", "A-3_overlay.png"]
    assert faults == []


def test_a_mask_does_not_take_the_name_of_anothers_overlay(tmp_path):
    for name in ("a.jpg", "a_overlay.jpg"):
        (tmp_path / name).touch()
    tasks, _ = predict.plan([tmp_path], tmp_path / "out", overlays=True)
    written = [path for task in tasks for path in (task.mask, task.overlay)]
    assert len(set(written)) == 4


@pytest.mark.parametrize("overlays", [False, True])
def test_an_input_is_never_overwritten(tmp_path, overlays):
    image = tmp_path / ("a_overlay.png" if overlays else "a.png")
    image.write_bytes(b"image")
    given = [image, tmp_path / "a.jpg"]
    given[1].touch()
    with pytest.raises(DataError, match="another folder") as caught:
        predict.plan(given, tmp_path / "sub" / "..", overlays=overlays)
    assert str(image.name) in caught.value.faults[0].where
    assert image.read_bytes() == b"image"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["predict", "{model}", "/nowhere.jpg", "-o", "{out}"], "/nowhere.jpg: no such file"),
        (["predict", "{model}", "{empty}", "-o", "{out}"], "no image in this folder"),
        (["predict", "/nowhere", "{image}", "-o", "{out}"], "/nowhere"),
        (["predict", "{model}", "{image}"], "the following arguments are required: -o/--output"),
        (["predict", "{model}", "-o", "{out}"], "the following arguments are required: IMAGE"),
        (["predict", "{model}", "{image}", "-o", "{out}", "--overlays"], "did you mean --overlay?"),
        (["predict", "{model}", "{image}", "-o", "{image}"], "File exists"),
    ],
)
def test_what_is_wrong_is_told(trained, data, tmp_path, capsys, arguments, expected):
    (tmp_path / "empty").mkdir()
    words = {
        "empty": tmp_path / "empty",
        "model": trained.output,
        "out": tmp_path / "out",
        "image": data / "test" / "0000.jpg",
    }
    assert main([part.format(**words) for part in arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
