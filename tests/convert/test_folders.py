"""Folders of images and masks, Label Studio's masks, and Supervisely's projects."""

import base64
import io
import json
import random
import zlib

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.convert import folders, labelstudio, supervisely
from sagemaker_semseg.convert.annotations import ClassSelection
from sagemaker_semseg.errors import DataError

MASK = np.resize(np.arange(3, dtype=np.uint8), (24, 32))


@pytest.fixture
def set_of(write_image, mask_file, tmp_path):
    """Writes images and masks with these names, and returns the folder."""

    def put(*names, mask=MASK):
        for name in names:
            if name.endswith(".jpg"):
                write_image(f"set/{name}")
            else:
                mask_file(f"set/{name}", mask)
        return tmp_path / "set"

    return put


def test_roboflow_s_masks(set_of, file, converted):
    names = [f"{split}/{name}" for split in ("train", "valid", "test") for name in ("a.jpg", "a_mask.png")]
    for split in ("train", "valid", "test"):
        file(f"set/{split}/_classes.csv", "Pixel Value, Class\n0, background\n1, car\n2, road\n")
    dataset = folders.read(set_of(*names))
    assert dataset.classes == ("background", "car", "road")
    assert "1 images for tests are left out" in dataset.notes[0]
    masks, _ = converted(dataset)
    assert masks.keys() == {"train/a", "validation/a"}
    np.testing.assert_array_equal(masks["train/a"], MASK)


def test_supervisely_s_masks(set_of, file, converted):
    """Without JSON of the objects; the number of road is 2, that of car 1."""
    root = set_of("ds/img/a.jpg", "ds/masks_machine/a.jpg.png", "ds/img/b.jpg", "ds/masks_machine/b.jpg.png")
    with pytest.raises(DataError, match="an export of masks alone is read by convert folders"):
        supervisely.read(root, ClassSelection())
    file("set/obj_class_to_machine_color.json", {"road": [2, 2, 2], "car": [1, 1, 1]})
    dataset = folders.read(root)
    assert dataset.classes == ("background", "car", "road")
    np.testing.assert_array_equal(converted(dataset)[0]["ds/a"], MASK)


def test_names_of_the_numbers_are_asked_for(set_of, converted):
    root = set_of("images/a.jpg", "masks/a.png", "images/b.jpg", "masks/b.png")
    with pytest.raises(DataError, match=r"the masks hold the numbers 0, 1, 2 .*--class-names"):
        folders.read(root)
    dataset = folders.read(root, ("background", "car", "road"))
    np.testing.assert_array_equal(converted(dataset)[0]["a"], MASK)


def test_colors_need_a_list(set_of, file, converted):
    colors = np.array([(0, 0, 0), (9, 8, 7), (200, 100, 50)], np.uint8)
    root = set_of("images/a.jpg", "masks/a.png", "images/b.jpg", "masks/b.png", mask=colors[MASK])
    with pytest.raises(DataError, match=r"2 masks hold colours .*label_colors.txt"):
        folders.read(root)
    file("set/label_colors.txt", "0 0 0 background\n9 8 7 car\n200 100 50 road\n")
    np.testing.assert_array_equal(converted(folders.read(root))[0]["b"], MASK)


def test_images_and_masks_that_stand_alone(set_of):
    root = set_of("images/a.jpg", "masks/a.png", "images/b.jpg", "masks/c.png")
    dataset = folders.read(root, ("background", "car", "road"))
    assert dataset.faults.kinds.keys() == {"image without annotations", "mask without image"}
    dataset = folders.read(root, ("background", "car", "road"), "background")
    assert {item.name: bool(item.missing) for item in dataset.items} == {"a": False, "b": True}
    assert not dataset.items[1].draw(24, 32).any()


def test_a_folder_of_another_tool(file, tmp_path):
    file("set/ann.json", {"size": {}, "objects": [{"classTitle": "road"}]})
    with pytest.raises(DataError, match=r"no images with masks in it \(files of Supervisely"):
        folders.read(tmp_path / "set")


# ---- Label Studio


def area(top, left, bottom, right, inside=255):
    mask = np.zeros((24, 32), np.uint8)
    mask[top:bottom, left:right] = inside
    return mask


@pytest.fixture
def brushed(write_image, mask_file, file, tmp_path):
    """Writes masks of two tasks, their images and the JSON; returns the arguments of ``read``."""
    for name in ("0a-one.jpg", "1b-two.jpg"):
        write_image(f"media/{name}")
    mask_file("png/task-7-annotation-1-by-1-tag-road-0.png", area(0, 0, 20, 20))
    mask_file("png/task-7-annotation-1-by-1-tag-car-tag-0.png", area(4, 4, 8, 8, inside=1))
    mask_file("png/task-3-annotation-2-by-1-tag-road-0.png", area(0, 0, 2, 2))
    mask_file("png/task-3-annotation-5-by-2-tag-road-1.png", area(0, 0, 3, 3))
    file("tasks.json", [{"id": 7, "image": "/data/upload/1/1b-two.jpg"}, {"id": 3, "image": "s3://b/0a-one.jpg"}])
    return tmp_path / "png", tmp_path / "tasks.json", tmp_path / "media", ClassSelection()


def test_label_studio_s_masks(brushed, converted):
    """The order of the tasks isn't that of the images: the JSON counts."""
    dataset = labelstudio.read(*brushed)
    assert dataset.classes == ("background", "car-tag", "road")
    masks, _ = converted(dataset)
    expected = area(0, 0, 20, 20, 2)
    expected[4:8, 4:8] = 1
    np.testing.assert_array_equal(masks["1b-two"], expected)
    np.testing.assert_array_equal(masks["0a-one"], area(0, 0, 3, 3, 2))
    assert "task 3 has the annotations 2, 5; the last one is read" in dataset.notes


@pytest.mark.parametrize(
    "image", ["/data/local-files/?d=x/0a-one.jpg", "http://host/media/0a-one.jpg?sig=1.2", "C:\\x\\0a-one.jpg"]
)
def test_label_studio_s_places_of_images(brushed, file, image):
    tasks = [{"id": 3, "data": {"text": "a", "image": image}}, {"id": 7, "data": {"image": "1b-two.jpg"}}]
    file("tasks.json", tasks)
    dataset = labelstudio.read(*brushed)
    assert not dataset.faults.kinds
    assert [item.name for item in dataset.items] == ["0a-one", "1b-two"]


def test_label_studio_s_faults(brushed, file, mask_file):
    mask_file("png/task-7-annotation-1-by-1-tag-road-0.png", np.zeros((5, 5), np.uint8))
    file("tasks.json", [{"id": 7, "image": "1b-two.jpg"}, {"id": 8, "image": "none.jpg"}, {"id": 9}, 5])
    dataset = labelstudio.read(*brushed)
    assert {kind: len(faults) for kind, faults in dataset.faults.kinds.items()} == {
        "missing image": 1,
        "bad entry": 2,
        "mask without image": 1,
    }
    with pytest.raises(DataError, match="5 x 5 pixels for an image of 32 x 24"):
        dataset.items[0].draw(24, 32)
    file("tasks.json", {})
    with pytest.raises(DataError, match="no tasks of Label Studio"):
        labelstudio.read(*brushed)


# ---- Supervisely


def bitmap(mask, origin, mode="P"):
    out = io.BytesIO()
    if mode == "RGBA":
        Image.fromarray(np.dstack([mask * 0] * 3 + [mask * 255]).astype(np.uint8)).save(out, "PNG")
    else:
        image = Image.fromarray(mask.astype(np.uint8))
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(out, "PNG")
    data = base64.b64encode(zlib.compress(out.getvalue())).decode()
    return {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"data": data, "origin": origin}}


POLYGON = {
    "classTitle": "road",
    "geometryType": "polygon",
    "points": {"exterior": [[0, 0], [20, 0], [20, 20], [0, 20]], "interior": [[[5, 5], [9, 5], [9, 9], [5, 9]]]},
}
BOX = {"classTitle": "car", "geometryType": "rectangle", "points": {"exterior": [[30, 22], [25, 18]], "interior": []}}
POINT = {"classTitle": "car", "geometryType": "point", "points": {"exterior": [[1, 1]], "interior": []}}


@pytest.fixture
def project(write_image, file, tmp_path):
    def put(*objects, names=("a", "b")):
        for name in names:
            write_image(f"project/ds/img/{name}.jpg")
            content = {"size": {"height": 24, "width": 32}, "objects": list(objects)}
            file(f"project/ds/ann/{name}.jpg.json", content)
        file("project/meta.json", {"classes": [{"title": "road"}, {"title": "car"}], "tags": []})
        return tmp_path / "project"

    return put


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_supervisely_s_objects(project, converted, mode):
    dots = np.array([[1, 0, 1], [0, 1, 1]])
    dataset = supervisely.read(
        project(POLYGON, bitmap(dots, [6, 7], mode), BOX, POINT), ClassSelection(larger_first=False)
    )
    assert dataset.classes == ("background", "road", "car")
    assert "1 x point" in dataset.notes[0] or "2 x point" in dataset.notes[0]
    expected = area(0, 0, 20, 20, 1)
    expected[5:9, 5:9] = 0
    expected[7:9, 6:9][dots == 1] = 2
    expected[18:22, 25:30] = 2
    masks, _ = converted(dataset)
    np.testing.assert_array_equal(masks["ds/img/a"], expected)


def test_supervisely_s_faults(project, file):
    bad = bitmap(np.ones((2, 2)), [31, 0])
    root = project(
        bad, {**bad, "bitmap": {"data": "AAAA", "origin": [0, 0]}}, {**POLYGON, "geometryType": "cuboid"}, {}
    )
    file("project/ds/ann/c.jpg.json", {"size": {"height": 24, "width": 32}, "objects": []})
    file("project/ds/ann/d.jpg.json", {"objects": []})
    dataset = supervisely.read(root, ClassSelection())
    counts = {kind: len(faults) for kind, faults in dataset.faults.kinds.items()}
    assert counts == {"bad entry": 2, "bad file": 1, "missing image": 2}
    with pytest.raises(DataError) as error:
        dataset.items[0].draw(24, 32)
    assert [fault.what.split(":")[0] for fault in error.value.faults] == [
        "a bitmap that can't be read",
        'an object of the kind "cuboid"',
        "a mask of 2 x 2 pixels at 31, 0 reaches out of 32 x 24 pixels",
    ]


def test_a_bitmap_that_unpacks_to_very_much(project):
    bomb = bitmap(np.ones((2, 2)), [0, 0])
    bomb["bitmap"]["data"] = base64.b64encode(zlib.compress(bytes(200 << 20), 1)).decode()
    with pytest.raises(DataError, match="a bitmap that can't be read"):
        supervisely.read(project(bomb, BOX, POLYGON), ClassSelection()).items[0].draw(24, 32)


def test_hostile_projects(project, file):
    draw_from = random.Random(3)
    odd = [None, -1, 1e9, 10**30, float("nan"), "", "..", [], {}, [[]], True, "polygon", "bitmap"]
    root = project(names=["a"])
    seen = set()

    def changed(value, share):
        if draw_from.random() < share:
            return draw_from.choice(odd)
        if isinstance(value, dict):
            return {key: changed(entry, share) for key, entry in value.items() if draw_from.random() > share / 3}
        return [changed(entry, share) for entry in value] if isinstance(value, list) else value

    good = {"size": {"height": 24, "width": 32}, "objects": [POLYGON, bitmap(np.ones((2, 2)), [3, 4]), BOX, POINT]}
    for _ in range(400):
        file("project/ds/ann/a.jpg.json", json.dumps(changed(good, 0.03)))
        try:
            dataset = supervisely.read(root, ClassSelection())
            seen.update(dataset.faults.kinds)
            for item in dataset.items:
                assert item.draw(24, 32).shape == (24, 32)
                seen.add("drawn")
        except DataError as error:
            str(error).encode()
            seen.add("refused")
    assert {"drawn", "refused", "bad file", "bad entry"} <= seen
