"""YOLO's polygons: masks by hand, the places of images, faults together, and hostile files."""

import random

import numpy as np
import pytest

from sagemaker_semseg.convert import yolo
from sagemaker_semseg.convert.annotations import ClassSelection
from sagemaker_semseg.errors import DataError

# 32 x 24 pixels: x 4 to 12, y 6 to 18
SQUARE = "0.125 0.25 0.375 0.25 0.375 0.75 0.125 0.75"
SETTINGS = "path: ../datasets/none\ntrain: images/train\nval: images/val\nnames:\n  0: person\n  1: car\n"


@pytest.fixture
def source(write_image, file, tmp_path):
    for split in ("train", "val"):
        write_image(f"set/images/{split}/a.jpg")
        file(f"set/labels/{split}/a.txt", f"1 {SQUARE}\n\n0 0.5 0.5 0.75 0.5 0.75 1 0.5 1\n")
    return file("set/data.yaml", SETTINGS)


def test_polygons(source, converted):
    dataset = yolo.read(source, ClassSelection())
    masks, _ = converted(dataset)
    assert dataset.classes == ("background", "person", "car")
    expected = np.zeros((24, 32), np.uint8)
    expected[6:18, 4:12] = 2
    expected[12:24, 16:24] = 1
    assert masks.keys() == {"train/a", "validation/a"}
    for mask in masks.values():
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    "settings",
    [
        "train: ../images/train\nval: ../images/val\nnc: 2\nnames: ['person', 'car']",
        "path: .\ntrain: [images/train]\nval: [images/val]\nnames: [person, car]",
        "train: train.txt\nval: val.txt\nnames: {0: person, 1: car}",
    ],
)
def test_ways_to_say_where_images_are(source, file, settings):
    file("set/train.txt", "./images/train/a.jpg\n")
    file("set/val.txt", "images/val/a.jpg\n")
    source.write_text(settings)
    dataset = yolo.read(source.parent, ClassSelection())
    assert [item.split for item in dataset.items] == ["train", "validation"]
    assert dataset.items[0].draw(24, 32)[7, 5] == 2
    assert not dataset.faults.kinds


def test_a_folder_without_settings(write_image, file, tmp_path, converted):
    for name in ("a", "b", "c"):
        write_image(f"set/images/{name}.png", kind="PNG")
    file("set/labels/a.txt", f"0 {SQUARE}")
    file("set/labels/b.txt", "")
    file("set/classes.txt", "car\n")
    masks, written = converted(yolo.read(tmp_path / "set", ClassSelection()))
    assert {name: int(mask.max()) for name, mask in masks.items()} == {"a": 1, "b": 0, "c": 0}
    assert "1 images without annotations" in written.notes[0]


@pytest.mark.parametrize(("boxes", "inside"), [("ignore", 255), ("fill", 2)])
def test_boxes(source, boxes, inside):
    (source.parent / "labels/train/a.txt").write_text("1 0.25 0.5 0.25 0.5\n")
    mask = yolo.read(source, ClassSelection(), boxes).items[0].draw(24, 32)
    expected = np.zeros((24, 32), np.uint8)
    expected[6:18, 4:12] = inside
    np.testing.assert_array_equal(mask, expected)


FAULTS = {
    "1 0.5 0.5 0.1 0.1": "a box without an outline",
    "7 " + SQUARE: "class 7 has no name",
    "-1 " + SQUARE: "class -1 has no name",
    "0.5 " + SQUARE: "class 0.5 has no name",
    "1 0.1 0.1 0.2 0.1 0.2": "5 numbers after the class",
    "1 10 10 20 10 20 20": "not between 0 and 1",
    "1 nan 0.1 0.2 0.1 0.2 0.2": "not between 0 and 1",
    "1 0.1 0.1 0.2 inf 0.2 0.2": "not between 0 and 1",
    "car 0.1 0.1 0.2 0.1 0.2 0.2": "numbers are expected",
    "1": "0 numbers after the class",
}


def test_all_faults_together(source, write_image, file, converted):
    (source.parent / "labels/train/a.txt").write_text("\n".join(FAULTS))
    write_image("set/images/train/b.jpg")
    (source.parent / "images/train/c.webp").write_bytes(b"RIFF")
    file("set/labels/train/b.txt", b"1 \xff\xfe")
    file("set/labels/train/lonely.txt", f"1 {SQUARE}")
    with pytest.raises(DataError) as error:
        converted(yolo.read(source, ClassSelection()))
    message = "\n".join(map(str, error.value.faults))
    for number, what in enumerate(FAULTS.values(), start=1):
        assert any(f"a.txt, line {number}:" in line and what in line for line in message.splitlines()), what
    for part in ("c.webp", "lonely.txt", "b.txt, line 1: is no text"):
        assert part in message
    assert len(error.value.faults) == len(FAULTS) + 3


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ("", "no settings"),
        ("[1", "YAML"),
        ("a: !!python/object/apply:os.system ['true']", "YAML"),
        ("names: [a, b]", "neither train nor val"),
        ("names: {a: b}\ntrain: images/train", "a number and a name"),
        ("names: {0: [a]}\ntrain: images/train", "a number and a name"),
        ("train: images/train", "a list of the classes"),
        ("names: [a, b]\ntrain: 5", "the path of a folder"),
        ("{[1]: 2}", "YAML"),
        ("- " * 100_000, "nested too deeply"),
        ("a: " + "9" * 5000, "YAML"),
        ("a: 2026-99-99", "YAML"),
    ],
)
def test_settings_that_are_refused(source, settings, what):
    source.write_text(settings)
    with pytest.raises(DataError, match=what):
        yolo.read(source, ClassSelection())


@pytest.mark.parametrize("place", ["../../outside", "/etc", "nowhere"])
def test_images_outside_are_not_read(source, write_image, place):
    write_image("outside/x.jpg")
    source.write_text(f"names: [a, b]\ntrain: {place}\nval: images/val")
    dataset = yolo.read(source, ClassSelection())
    assert [fault.where for fault in dataset.faults.kinds["missing folder"]] == [str(source.parent)]
    assert [item.split for item in dataset.items] == ["validation"]


def test_aliases_that_grow_take_no_memory(source):
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    source.write_text("\n".join(lines) + "\nnames: *a39\ntrain: images/train\n")
    with pytest.raises(DataError, match="a number and a name"):
        yolo.read(source, ClassSelection())


def test_hostile_files(source):
    draw_from = random.Random(7)
    words = ["0", "1", "0.5", "-0", "1e400", "nan", "x", "\0", "\ud7ff", "9" * 50, "\n", "0.1 0.2", "１"]
    text, seen = source.parent / "labels/train/a.txt", set()
    for _ in range(400):
        parts = f"1 {SQUARE}".split()
        for _ in range(draw_from.randrange(4)):
            parts[draw_from.randrange(len(parts))] = draw_from.choice(words)
        text.write_text(" ".join(parts), encoding="utf-8")
        try:
            assert yolo.read(source, ClassSelection()).items[0].draw(24, 32).shape == (24, 32)
            seen.add("drawn")
        except DataError as error:
            str(error).encode()
            seen.add("refused")
    for _ in range(400):
        letters = list(SETTINGS)
        for _ in range(draw_from.randrange(1, 4)):
            letters[draw_from.randrange(len(letters))] = draw_from.choice("{}[]&*!%:-#\n\t\0'\"x0é")
        source.write_text("".join(letters), encoding="utf-8")
        try:
            yolo.read(source, ClassSelection())
            seen.add("read")
        except DataError as error:
            str(error).encode()
            seen.add("bad settings")
    assert seen == {"drawn", "refused", "read", "bad settings"}
