"""LabelMe: shapes of every kind drawn by hand, paths, faults together, and hostile files."""

import base64
import io
import json
import random

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.convert import labelme
from sagemaker_semseg.convert.annotations import ClassSelection
from sagemaker_semseg.convert.file_readers import read_lines
from sagemaker_semseg.errors import DataError

SHAPES = [
    {"label": "car", "shape_type": "polygon", "points": [[2, 3], [9, 3], [9, 8], [2, 8]]},
    {"label": "car", "shape_type": "rectangle", "points": [[20, 9], [15, 4]]},
    {"label": "ball", "shape_type": "circle", "points": [[25, 18], [29, 18]]},
    {"label": "__ignore__", "points": [[0, 20], [3, 20], [3, 24], [0, 24]]},
    {"label": "car", "shape_type": "line", "points": [[0, 0], [31, 23]]},
    {"label": "car", "shape_type": "point", "points": [[1, 1]]},
]


def content(shapes, image="a.jpg", **more):
    return {"imagePath": image, "imageHeight": 24, "imageWidth": 32, "imageData": None, "shapes": shapes, **more}


@pytest.fixture
def set_of_two(write_image, file, tmp_path):
    for name in ("a", "b"):
        write_image(f"set/{name}.jpg")
        file(f"set/{name}.json", content(SHAPES if name == "a" else [], f"{name}.jpg"))
    return tmp_path / "set"


def test_shapes(set_of_two, converted):
    dataset = labelme.read([labelme.LabelMeReader(set_of_two)], ClassSelection(larger_first=False))
    masks, written = converted(dataset)
    assert dataset.classes == ("background", "ball", "car")
    y, x = np.mgrid[:24, :32] + 0.5
    expected = np.zeros((24, 32), np.uint8)
    expected[3:8, 2:9] = expected[4:9, 15:20] = 2
    expected[20:24, 0:3] = 255
    circle = (x - 25) ** 2 + (y - 18) ** 2
    expected[circle < 16] = 1
    differs = masks["a"] != expected
    assert not differs[np.abs(circle - 16) > 4].any()
    assert differs.sum() <= 4
    assert any("1 x line, 1 x point" in note for note in written.notes)


def test_order_of_the_classes(set_of_two):
    choice = ClassSelection(only=("car", "ball"))
    dataset = labelme.read([labelme.LabelMeReader(set_of_two)], choice)
    assert dataset.classes == ("background", "car", "ball")
    assert dataset.items[0].draw(24, 32)[5, 5] == 1


def test_later_shapes_lie_above_earlier_ones(write_image, file, tmp_path):
    write_image("set/a.jpg")
    small = {"label": "b", "points": [[4, 4], [8, 4], [8, 8], [4, 8]]}
    hole = {"label": "_background_", "points": [[5, 5], [7, 5], [7, 7], [5, 7]]}
    large = {"label": "a", "points": [[2, 2], [20, 2], [20, 20], [2, 20]]}
    file("set/a.json", content([large, small, hole]))
    dataset = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection(larger_first=False))
    mask = dataset.items[0].draw(24, 32)
    assert dataset.classes == ("background", "a", "b")
    assert [mask[3, 3], mask[4, 4], mask[5, 5]] == [1, 2, 0]


@pytest.mark.parametrize("top", [1, 255])
def test_a_shape_that_is_a_mask(write_image, file, tmp_path, top):
    bits = np.zeros((5, 4), np.uint8)
    bits[1:3, 2] = top
    out = io.BytesIO()
    Image.fromarray(bits).save(out, "PNG")
    shape = {"label": "a", "shape_type": "mask", "points": [[10, 7], [13, 11]]}
    write_image("set/a.jpg")
    other = {"label": "b", "points": [[0, 0], [2, 0], [2, 2]]}
    file("set/a.json", content([{**shape, "mask": base64.b64encode(out.getvalue()).decode()}, other]))
    mask = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection()).items[0].draw(24, 32)
    assert np.argwhere(mask == 1).tolist() == [[8, 12], [9, 12]]


@pytest.mark.parametrize(
    ("json_at", "image_at", "path"),
    [
        ("set/labels/a.json", "set/images/a.jpg", "../images/a.jpg"),
        ("set/labels/a.json", "set/images/a.jpg", "..\\images\\a.jpg"),
        ("set/a.json", "set/a.jpg", "C:\\Users\\me\\a.jpg"),
        ("set/a.json", "set/a.PNG", "renamed.jpg"),
    ],
)
def test_paths_of_images(write_image, file, tmp_path, json_at, image_at, path):
    where = write_image(image_at)
    file(json_at, content(SHAPES, path))
    (item,) = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection()).items
    assert item.image.samefile(where)


@pytest.mark.parametrize("path", ["../outside.jpg", "../../../../../etc/passwd", "", "a\0.jpg", 5, None])
def test_images_outside_are_not_read(write_image, file, tmp_path, path):
    write_image("outside.jpg")
    file("set/c.json", content(SHAPES, path))
    dataset = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection())
    assert not dataset.items
    (fault,) = dataset.faults.kinds["bad file"]
    assert fault.remedy


def test_images_in_a_folder_of_their_own(write_image, file, tmp_path):
    write_image("images/a.jpg")
    file("set/a.json", content(SHAPES))
    (item,) = labelme.read([labelme.LabelMeReader(tmp_path / "set", tmp_path / "images")], ClassSelection()).items
    assert item.image == tmp_path / "images" / "a.jpg"


def test_two_folders(write_image, file, tmp_path, converted):
    for name in ("train", "val"):
        write_image(f"{name}/a.jpg")
        file(f"{name}/a.json", content(SHAPES))
    sources = [
        labelme.LabelMeReader(tmp_path / "train", None, "train"),
        labelme.LabelMeReader(tmp_path / "val", None, "validation"),
    ]
    assert converted(labelme.read(sources, ClassSelection()))[0].keys() == {"train/a", "validation/a"}


def test_all_faults_together(set_of_two, file, write_image, converted):
    square = [[1, 1], [3, 1], [3, 3]]
    bad = [
        {"label": 5, "points": square},
        {"points": square},
        {"label": "a", "points": [[1, 1], [2]]},
        {"label": "a", "points": [[1, 1], ["x", 2], [3, 3]]},
        {"label": "a", "shape_type": "spline", "points": square},
        {"label": "a", "shape_type": "circle", "points": square},
        {"label": "a", "shape_type": "mask", "points": square[:2], "mask": "%%%"},
        "text",
        None,
    ]
    file("set/bad.json", content(bad, "a.jpg"))
    file("set/cut.json", b'{"shapes": [')
    file("set/size.json", content([], imageHeight="x"))
    file("set/twice.json", content([], "a.jpg"))
    write_image("set/nan.jpg")
    far = [[1, 1], [2, 900], [3, 3]]
    file("set/nan.json", content([{"label": "a", "points": [[1, 1], [float("nan"), 2], [3, 3]]}] * 2, "nan.jpg"))
    write_image("set/far.jpg")
    file("set/far.json", content([{"label": "a", "points": far}], "far.jpg"))
    file("set/package.json", {"name": "something else"})
    with pytest.raises(DataError) as error:
        converted(labelme.read([labelme.LabelMeReader(set_of_two)], ClassSelection()))
    message = "\n".join(map(str, error.value.faults))
    for number in range(len(bad)):
        assert f"bad.json, shapes[{number}]" in message
    for part in ("cut.json", "size.json", "twice.json", "nan.json, shapes[0]", "nan.json, shapes[1]", "far.json"):
        assert part in message
    assert len(error.value.faults) == len(bad) + 6
    assert "package.json" not in message


def embedded(kind="JPEG", height=24, width=32):
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(out, kind)
    return out.getvalue(), base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png")])
def test_an_image_that_is_in_the_json_alone(file, tmp_path, converted, kind, suffix, write_image):
    data, text = embedded(kind)
    write_image("set/b.jpg")
    file("set/b.json", content(SHAPES, "b.jpg", imageData=text))
    file("set/below/c.json", content(SHAPES, "../elsewhere/c.bmp", imageData=f"data:image/x;base64,{text}"))
    dataset = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection())
    assert "1 images taken out of imageData" in dataset.notes[-1]
    masks, _ = converted(dataset, link=True)
    np.testing.assert_array_equal(masks["b"], masks["below/c"])
    found = (tmp_path / "converted").glob(f"*/below/c{suffix}")
    (written,) = [path for path in found if "_annotation" not in path.parts[-3]]
    assert written.read_bytes() == data
    assert written.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("AAAA", "not a JPEG or PNG"),
        ("!", "no image in base 64"),
        (5, "the file is empty"),
        (embedded(height=9)[1], "32 x 9"),
    ],
)
def test_image_data_that_is_no_image_of_this_size(file, tmp_path, converted, text, what):
    file("set/a.json", content(SHAPES, imageData=text))
    file("set/b.json", content(SHAPES, imageData=embedded()[1]))
    with pytest.raises(DataError, match=rf"a.json.*{what}"):
        converted(labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection()))


def test_no_word_of_classes_where_no_file_can_be_read(file, tmp_path):
    file("set/a.json", content(SHAPES))
    dataset = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection())
    assert dataset.faults.kinds.keys() == {"bad file"}


CHINESE = {"label": "\u9053\u8def", "points": [[0, 0], [9, 0], [9, 9]]}  # road, in Chinese


def test_files_in_gbk(file, tmp_path, write_image):
    write_image("set/a.jpg")
    file("set/a.json", json.dumps(content([CHINESE]), ensure_ascii=False).encode("gbk"))
    dataset = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection())
    (fault,) = dataset.faults.kinds["bad file"]
    assert "a.json, line 1" in fault.where
    assert fault.what.startswith("is no text in UTF-8; it may be GBK")
    assert "iconv -f GBK -t UTF-8" in fault.remedy
    assert "--encoding gbk" in fault.remedy
    dataset = labelme.read([labelme.LabelMeReader(tmp_path / "set", encoding="gbk")], ClassSelection())
    assert dataset.classes == ("background", CHINESE["label"])


@pytest.mark.parametrize(
    ("data", "guess"), [("\u00fc{\u00e4}".encode("cp1252"), "Windows-1252"), ("\u00fc".encode("utf-16"), "UTF-16")]
)
def test_other_encodings(tmp_path, data, guess):
    (tmp_path / "a.txt").write_bytes(b"good\n" + data)
    with pytest.raises(DataError, match=rf"a.txt, line 2: is no text in UTF-8; it may be {guess}"):
        read_lines(tmp_path / "a.txt")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(DataError, match="no JSON file of LabelMe"):
        labelme.read([labelme.LabelMeReader(tmp_path)], ClassSelection())
    with pytest.raises(DataError, match="no such folder"):
        labelme.read([labelme.LabelMeReader(tmp_path / "none")], ClassSelection())


def test_hostile_files(write_image, tmp_path, file):
    draw_from = random.Random(5)
    odd = [None, -1, 1e9, 10**30, float("nan"), "", "\ud800", "..", [], {}, [[]], True, "mask", "circle"]
    write_image("set/a.jpg")
    seen = set()

    def changed(value, share):
        if draw_from.random() < share:
            return draw_from.choice(odd)
        if isinstance(value, dict):
            return {key: changed(entry, share) for key, entry in value.items() if draw_from.random() > share / 3}
        return [changed(entry, share) for entry in value] if isinstance(value, list) else value

    for _ in range(500):
        file("set/a.json", json.dumps(changed(content(SHAPES), 0.03)).encode("utf-8", "surrogatepass"))
        try:
            dataset = labelme.read([labelme.LabelMeReader(tmp_path / "set")], ClassSelection())
            for item in dataset.items:
                assert item.draw(24, 32).shape == (24, 32)
                seen.add("drawn")
            seen.update(dataset.faults.kinds)
            str(dataset.faults.kinds).encode("utf-8", "backslashreplace")
        except DataError as error:
            str(error).encode()
            seen.add("refused")
    assert {"drawn", "refused", "bad file"} <= seen
