"""Ground Truth's masks: labels by colour, one list of classes for all lines. Expected labels are computed here."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sagemaker_semseg.data.color_map import ColorMap, ColorMapEntry, class_list, parse_map
from sagemaker_semseg.data.color_masks import decode_color_mask
from sagemaker_semseg.data.datasets import Datasets, read_channels, read_split
from sagemaker_semseg.errors import DataError
from tests.data.test_datasets import image_bytes, write

CLASSES = {"BACKGROUND": "#ffffff", "road": "#2ca02c", "car": "#1f77b4", "sky": "#ff7f0e"}
SHAPE = (6, 8)


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def colored(names: list[str], colors: dict[str, str] = CLASSES) -> np.ndarray:
    """(6, 8, 3): each class fills one row, the last one also the rest."""
    rows = [*names, *[names[-1]] * SHAPE[0]][: SHAPE[0]]
    return np.array([[rgb(colors[name])] * SHAPE[1] for name in rows], np.uint8)


def png(pixels: np.ndarray, palette: list[str] | None = None) -> bytes:
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([value for color in palette for value in rgb(color)])
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def indexed(names: list[str], numbers: dict[str, int]) -> bytes:
    """A palette mask in which a class has the number ``numbers`` says, and its own colour."""
    rows = [*names, *[names[-1]] * SHAPE[0]][: SHAPE[0]]
    palette = ["#010203"] * 16
    for name, number in numbers.items():
        palette[number] = CLASSES[name]
    return png(np.array([[numbers[name]] * SHAPE[1] for name in rows], np.uint8), palette)


def metadata_map(keys: dict[str, int], colors: dict[str, str] = CLASSES) -> dict:
    return {
        str(key): {"class-name": name, "hex-color": colors[name], "confidence": 0.5 + key / 100}
        for name, key in keys.items()
    }


def line(root: Path, name: str, mask: bytes, content: dict | None, key: str = "labels-ref-metadata") -> str:
    write(root / f"{name}.jpg", image_bytes())
    write(root / f"{name}.png", mask)
    entry = {"source-ref": f"{name}.jpg", "labels-ref": f"{name}.png"}
    if content is not None:
        entry[key] = {"internal-color-map": content, "type": "groundtruth/semantic-segmentation"}
    return json.dumps(entry) + "\n"


def channels(root: Path, train: list[str], validation: list[str] | None = None) -> dict[str, Path]:
    (root / "t.manifest").write_text("".join(train))
    (root / "v.manifest").write_text("".join(validation or train))
    return {"train": root / "t.manifest", "validation": root / "v.manifest"}


def refused(root: Path, lines: list[str], num_classes: int = 4, **options: object) -> list[str]:
    with pytest.raises(DataError) as error:
        read_channels(channels(root, lines), num_classes, **options)
    return [str(fault) for fault in error.value.faults]


def color_map(**colors: int) -> ColorMap:
    """A map whose keys are the labels."""
    entries = (ColorMapEntry(key, name, color) for key, (name, color) in enumerate(colors.items()))
    return ColorMap(tuple(entries)).with_names(list(colors))


def labels_of(split_channels: Datasets, split: str) -> dict[str, np.ndarray]:
    return {
        sample.name: decode_color_mask(sample.mask.read_bytes(), sample.color_map).labels
        for sample in getattr(split_channels, split).pairs
    }


def expected(names: list[str], order: list[str]) -> np.ndarray:
    rows = [*names, *[names[-1]] * SHAPE[0]][: SHAPE[0]]
    return np.array([[order.index(name)] * SHAPE[1] for name in rows])


# ---- one list of classes for lines whose maps omit classes and change keys

KINDS = ("rgb", "rgba", "palette")


def mask(kind: str, names: list[str]) -> bytes:
    if kind == "palette":
        return indexed(names, {"sky": 3, "car": 7, "BACKGROUND": 1, "road": 0})
    pixels = colored(names)
    return png(pixels if kind == "rgb" else np.dstack([pixels, np.full(SHAPE, 255, np.uint8)]))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_omit_classes_and_change_keys(tmp_path: Path, kind: str) -> None:
    a, b, c = ["road", "car"], ["car", "BACKGROUND"], ["sky", "road"]
    train = [
        line(tmp_path, "a", mask(kind, a), metadata_map({"road": 0, "car": 1})),
        line(tmp_path, "b", mask(kind, b), metadata_map({"BACKGROUND": 0, "car": 5})),
    ]
    validation = [line(tmp_path, "c", mask(kind, c), metadata_map({"sky": 0, "road": 9}))]
    found = read_channels(channels(tmp_path, train, validation), 4)
    by_name = ["BACKGROUND", "car", "road", "sky"]
    assert list(found.train.class_names) == list(found.validation.class_names) == by_name
    assert any("by name, since the keys of the lines differ" in note for note in found.train.notes)
    labels = {**labels_of(found, "train"), **labels_of(found, "validation")}
    for name, names in (("a", a), ("b", b), ("c", c)):
        np.testing.assert_array_equal(labels[name], expected(names, by_name))
    total = sum(np.bincount(expected(names, by_name).ravel(), minlength=4) for names in (a, b))
    assert found.train.pixel_counts.tolist() == total.tolist()
    np.testing.assert_array_equal(found.train.label_map.lookup[[0, 1, 2, 3, 255]], [0, 1, 2, 3, 255])


def test_keys_that_agree_give_the_order(tmp_path: Path) -> None:
    keys = {"BACKGROUND": 0, "sky": 1, "road": 2, "car": 4}
    lines = [
        line(tmp_path, "a", mask("rgb", ["road", "sky"]), metadata_map({name: keys[name] for name in ("sky", "road")})),
        line(tmp_path, "b", mask("rgb", ["car"]), metadata_map({name: keys[name] for name in ("car", "BACKGROUND")})),
    ]
    found = read_channels(channels(tmp_path, lines), 4)
    assert found.train.class_names == ("BACKGROUND", "sky", "road", "car")
    assert found.train.notes[0] == "labels of the classes, by their keys: 0 BACKGROUND, 1 sky, 2 road, 3 car"
    np.testing.assert_array_equal(labels_of(found, "train")["b"], np.full(SHAPE, 3))


def test_given_names_are_the_order_and_a_background_may_be_left_out(tmp_path: Path) -> None:
    lines = [line(tmp_path, "a", mask("rgb", ["car", "BACKGROUND"]), metadata_map({"BACKGROUND": 0, "car": 1}))]
    found = read_channels(channels(tmp_path, lines), 3, class_names=("road", "sky", "car"))
    wanted = np.full(SHAPE, 255)
    wanted[0] = 2
    np.testing.assert_array_equal(labels_of(found, "train")["a"], wanted)
    assert found.train.class_names == ("road", "sky", "car")
    assert found.train.pixel_counts.tolist() == [0, 0, 8]


def test_one_split_by_the_names_of_a_model(tmp_path: Path) -> None:
    lines = [line(tmp_path, "a", mask("rgb", ["sky"]), metadata_map({"sky": 0}))]
    split = read_split(channels(tmp_path, lines), 4, class_names=tuple(CLASSES))
    assert split.pixel_counts.tolist() == [0, 0, 0, 48]


def test_the_spelling_of_the_algorithms_page(tmp_path: Path) -> None:
    lines = [line(tmp_path, "a", mask("rgb", ["sky"]), metadata_map({"sky": 0, "car": 1}), "labels-metadata")]
    assert read_channels(channels(tmp_path, lines), 2).train.class_names == ("sky", "car")


# ---- where numbers and colours disagree


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"BACKGROUND": 0, "road": 1, "car": 2, "sky": 3}, None),
        ({"BACKGROUND": 1, "road": 2, "car": 3, "sky": 4}, "the number is the map's key + 1: 2"),
        ({"BACKGROUND": 3, "road": 2, "car": 1, "sky": 0}, "the number is neither: 2"),
    ],
)
def test_numbers_that_are_not_the_labels(tmp_path: Path, numbers: dict[str, int], said: str | None) -> None:
    content = metadata_map({"BACKGROUND": 0, "road": 1, "car": 2, "sky": 3})
    names = [["road", "sky"], ["car", "BACKGROUND"]]
    lines = [line(tmp_path, name, indexed(rows, numbers), content) for name, rows in zip("ab", names, strict=True)]
    found = read_channels(channels(tmp_path, lines), 4)
    np.testing.assert_array_equal(labels_of(found, "train")["a"], expected(names[0], list(CLASSES)))
    notes = [note for note in found.train.notes if "not by their numbers" in note]
    assert notes == ([f"train: masks are read by their colours, not by their numbers ({said})"] if said else [])


def test_keys_that_are_not_the_labels(tmp_path: Path) -> None:
    lines = [line(tmp_path, "a", indexed(["car"], {"road": 4, "car": 7}), metadata_map({"road": 4, "car": 7}))]
    notes = read_channels(channels(tmp_path, lines), 2).train.notes
    assert "train: masks are read by their colours, not by their numbers (the number is the map's key: 1)" in notes


def test_with_a_label_map_the_numbers_count(tmp_path: Path) -> None:
    content = metadata_map({"road": 0, "car": 1})
    lines = [line(tmp_path, "a", indexed(["car", "road"], {"road": 1, "car": 0}), content)]
    write(tmp_path / "maps/label_map.json", b'{"scale": 1}')
    found = read_channels({**channels(tmp_path, lines), "label_map": tmp_path / "maps"}, 2)
    assert found.train.pixel_counts.tolist() == [8, 40]
    assert found.train.pairs[0].color_map is None
    assert "train: there is a label map, so the masks' numbers count, not their colours" in found.train.notes


# ---- pixels that have no colour of the map


def test_a_smoothed_edge_is_an_error_with_color_and_count(tmp_path: Path) -> None:
    pixels = colored(["road", "car"])
    pixels[1, 2:5] = (0x25, 0x8B, 0x70)
    lines = [line(tmp_path, "a", png(pixels), metadata_map({"road": 0, "car": 1}))]
    faults = refused(tmp_path, lines, 2)
    assert "its line doesn't have: #258b70 (3 pixels)" in faults[0]
    assert faults[0].startswith(f"{tmp_path}/a.png ({tmp_path}/t.manifest, line 1): ")
    index = np.zeros(SHAPE, np.uint8)
    index[0, :2] = 1
    lines = [line(tmp_path, "a", png(index, [CLASSES["road"], "#0a0b0c"]), metadata_map({"road": 0, "car": 1}))]
    assert "#0a0b0c (2 pixels)" in refused(tmp_path, lines, 2)[0]


@pytest.mark.parametrize("background", [True, False])
def test_transparent_and_white_pixels_are_background(background: bool) -> None:
    pixels = np.dstack([colored(["road", "car"]), np.full(SHAPE, 255, np.uint8)])
    pixels[2, :4, 3] = 0
    pixels[3] = 255
    names = ("car", "Background", "road") if background else ("car", "road")
    colors = ColorMap((ColorMapEntry(0, "road", 0x2CA02C), ColorMapEntry(1, "car", 0x1F77B4))).with_names(names)
    wanted = np.full(SHAPE, names.index("car"))
    wanted[0] = names.index("road")
    wanted[2, :4] = wanted[3] = 1 if background else 255
    np.testing.assert_array_equal(decode_color_mask(png(pixels), colors).labels, wanted)


def test_half_transparent_pixels_are_an_error() -> None:
    pixels = np.dstack([colored(["road"]), np.full(SHAPE, 255, np.uint8)])
    pixels[0, 0, 3] = 100
    colors = color_map(road=0x2CA02C)
    with pytest.raises(DataError) as error:
        decode_color_mask(png(pixels), colors)
    assert "#2ca02c half transparent (1 pixels)" in error.value.faults[0].what


def test_many_unknown_colors_are_counted(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8)
    colors = color_map(road=0x2CA02C)
    with pytest.raises(DataError) as error:
        decode_color_mask(png(noise), colors)
    assert "more" in error.value.faults[0].what


def test_gray_masks_and_jpegs_have_no_colors(tmp_path: Path) -> None:
    gray = png(np.zeros(SHAPE, np.uint8))
    lines = [
        line(tmp_path, "a", gray, metadata_map({"road": 0, "car": 1})),
        line(tmp_path, "b", image_bytes(), metadata_map({"road": 0})),
    ]
    faults = refused(tmp_path, lines, 2)
    assert "the mask is grey of 8 bits, but its line has a map of 8-bit colours" in faults[0]
    assert any("a JPEG can't be a mask" in fault for fault in faults)


def test_labels_lie_as_the_mask_is_displayed() -> None:
    pixels = colored(["road", "car"])
    image, tags, out = Image.fromarray(pixels), Image.Exif(), io.BytesIO()
    tags[0x0112] = 6
    image.save(out, "PNG", exif=tags)
    colors = ColorMap((ColorMapEntry(0, "road", 0x2CA02C), ColorMapEntry(1, "car", 0x1F77B4))).with_names(
        ["road", "car"]
    )
    wanted = np.rot90(expected(["road", "car"], ["road", "car"]), -1)
    np.testing.assert_array_equal(decode_color_mask(out.getvalue(), colors).labels, wanted)


def test_a_palette_is_as_long_as_the_file_says() -> None:
    colors = color_map(road=0)
    out = io.BytesIO()
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.save(out, "PNG", bits=8)
    data = out.getvalue()
    start = data.index(b"PLTE") - 4
    body = b"PLTE" + bytes(3)  # one colour, and an index of 1
    short = data[:start] + struct.pack(">I", 3) + body + struct.pack(">I", zlib.crc32(body)) + data[start + 18 :]
    with pytest.raises(DataError) as error:
        decode_color_mask(short, colors)
    assert "beyond the palette (1 pixels)" in error.value.faults[0].what


# ---- what is wrong with maps and lists


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], "isn't an object"),
        ({}, "isn't an object"),
        ({"0": 1}, "class-name is missing"),
        ({"x": {"class-name": "a", "hex-color": "#000000"}}, "the key is no number"),
        ({"-1": {"class-name": "a", "hex-color": "#000000"}}, "the key is no number"),
        ({"0": {"class-name": 5, "hex-color": "#000000"}}, "class-name is 5"),
        ({"0": {"class-name": " ", "hex-color": "#000000"}}, "class-name is ' '"),
        ({"0": {"class-name": "a", "hex-color": "000000"}}, "hex-color is '000000'"),
        ({"0": {"class-name": "a", "hex-color": "#0000000"}}, "hex-color is '#0000000'"),
        ({"0": {"class-name": "a", "hex-color": "#00000g"}}, "hex-color is '#00000g'"),
        ({"0": {"class-name": "a", "hex-color": "#000000\n"}}, "hex-color is"),
        ({"0": {"class-name": "a", "hex-color": "#00000\u0661"}}, "hex-color is"),
        ({str(n): {"class-name": str(n), "hex-color": f"#{n:06x}"} for n in range(600)}, "has 600 classes"),
        (
            {"0": {"class-name": "a", "hex-color": "#AABBCC"}, "1": {"class-name": "b", "hex-color": "#abc"}},
            "'a' and 'b' both have the colour #aabbcc",
        ),
    ],
)
def test_a_bad_map(tmp_path: Path, content: object, what: str) -> None:
    good = line(tmp_path, "a", mask("rgb", ["road"]), metadata_map({"road": 0, "car": 1}))
    faults = refused(tmp_path, [good, line(tmp_path, "b", mask("rgb", ["road"]), content)])  # type: ignore[arg-type]
    at_line = [fault for fault in faults if fault.startswith(f"{tmp_path}/t.manifest, line 2: labels-ref-metadata: ")]
    assert any(what in fault for fault in at_line)


def test_short_and_long_colors_of_any_case() -> None:
    entries = {"0": {"class-name": "a", "hex-color": "#ABC"}, "1": {"class-name": "b", "hex-color": "#aAbBcD"}}
    colors, wrong = parse_map(entries)
    assert not wrong
    assert colors == ColorMap((ColorMapEntry(0, "a", 0xAABBCC), ColorMapEntry(1, "b", 0xAABBCD)))


def test_num_classes_that_is_not_the_number_of_classes(tmp_path: Path) -> None:
    lines = [line(tmp_path, "a", mask("rgb", ["road"]), metadata_map({"road": 0, "car": 1, "sky": 2}))]
    for num_classes in (2, 4):
        (fault,) = refused(tmp_path, lines, num_classes)
        assert f"name 3 classes (road, car, sky), num_classes is {num_classes}" in fault
        assert "give num_classes 3, or class names" in fault


def test_a_class_that_is_not_among_the_given_ones(tmp_path: Path) -> None:
    lines = [line(tmp_path, "a", mask("rgb", ["road"]), metadata_map({"road": 0, "car": 1}))]
    faults = refused(tmp_path, lines, 2, class_names=("roads", "car"))
    assert faults[0].startswith(f"{tmp_path}/t.manifest, line 1: the class 'road' isn't among roads, car")
    assert "instead of 'roads'" in faults[0]


def test_a_line_without_map_among_those_with_one(tmp_path: Path) -> None:
    lines = [
        line(tmp_path, "a", mask("rgb", ["road"]), metadata_map({"road": 0, "car": 1})),
        line(tmp_path, "b", mask("palette", ["road"]), None),
    ]
    faults = refused(tmp_path, lines, 2)
    assert any(fault.startswith(f"{tmp_path}/t.manifest, line 2: has no internal-color-map") for fault in faults)


# ---- any maps, any bytes

_NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.dictionaries(_NAMES, st.integers(0, 5), min_size=1), min_size=1, max_size=6))
def test_a_label_is_one_class_whatever_the_lines_order(maps: list[dict[str, int]]) -> None:
    made = [ColorMap(tuple(ColorMapEntry(key, name, ord(name)) for name, key in each.items())) for each in maps]
    names, by_key = class_list(made)
    assert class_list(reversed(made)) == (names, by_key)
    assert sorted(names) == sorted({name for each in maps for name in each})
    keys = {name: {each[name] for each in maps if name in each} for name in names}
    one = all(len(each) == 1 for each in keys.values()) and len(set().union(*keys.values())) == len(names)
    assert by_key == one
    assert list(names) == (sorted(names, key=lambda name: min(keys[name])) if one else sorted(names))


def test_damaged_masks_are_refused_or_read() -> None:
    colors = ColorMap((ColorMapEntry(0, "road", 0x2CA02C), ColorMapEntry(1, "car", 0x1F77B4))).with_names(
        ["road", "car"]
    )
    rng = np.random.default_rng(1)
    for kind in KINDS:
        whole = mask(kind, ["road", "car"])
        for _ in range(150):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), rng.integers(1, 4)):
                data[at] = rng.integers(0, 256)
            with contextlib.suppress(DataError):  # and nothing else
                assert decode_color_mask(bytes(data[: rng.integers(1, len(data) + 1)]), colors).labels.dtype == np.uint8
