"""COCO: masks drawn by hand, faults one by one and all together, and hostile files."""

import json
import random

import numpy as np
import pycocotools.mask
import pytest

from sagemaker_semseg.convert import coco
from sagemaker_semseg.convert.annotations import ClassSelection
from sagemaker_semseg.errors import DataError

CATEGORIES = [{"id": 7, "name": "car"}, {"id": 3, "name": "person"}, {"id": 90, "name": "tooth brush"}]


def square(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(id, image=1, category=7, segmentation=None, **more):
    return {"id": id, "image_id": image, "category_id": category, "segmentation": segmentation, **more}


def instances(annotations, images=2, **more):
    listed = [{"id": n, "file_name": f"{n}.jpg", "height": 24, "width": 32} for n in range(1, images + 1)]
    return {"images": listed, "categories": [*CATEGORIES], "annotations": annotations, **more}


@pytest.fixture
def read(tmp_path, write_image, file):
    def read(content, choice=None, **crowds):
        for number in (1, 2):
            write_image(f"images/{number}.jpg")
        path = file("instances.json", content)
        return coco.read(
            [coco.CocoReader(path, tmp_path / "images")], choice or ClassSelection(), coco.CrowdPolicy(**crowds)
        )

    return read


def test_polygons_and_both_kinds_of_run_lengths(read, converted):
    bits = np.zeros((24, 32), np.uint8)
    bits[10:12, 20:23] = 1
    compressed = pycocotools.mask.encode(np.asfortranarray(bits))
    counts = [24 * 2 + 3, 2, 22, 2, 24 * 32 - 24 * 2 - 29]  # two columns, rows 3 and 4
    dataset = read(
        instances(
            [
                annotation(1, segmentation=[square(4, 5, 9, 15), square(12, 1, 14, 3)]),
                annotation(2, category=3, segmentation={"counts": compressed["counts"].decode(), "size": [24, 32]}),
                annotation(3, category=90, segmentation={"counts": counts, "size": [24, 32]}),
            ]
        )
    )
    masks, written = converted(dataset)
    assert dataset.classes == ("background", "person", "car", "tooth brush")
    expected = np.zeros((24, 32), np.uint8)
    expected[5:15, 4:9] = expected[1:3, 12:14] = 2
    expected[10:12, 20:23] = 1
    expected[3:5, 2:4] = 3
    np.testing.assert_array_equal(masks["1"], expected)
    assert not masks["2"].any()
    assert "1 images without annotations" in written.notes[0]
    assert written.pixels[[0, 1, 2, 3]].tolist() == [24 * 32 * 2 - 64, 6, 54, 4]
    assert written.occurs[[0, 1, 2, 3, 255]].tolist() == [2, 1, 1, 1, 0]


OVERLAP = [annotation(1, segmentation=[square(4, 4, 8, 8)]), annotation(2, 1, 3, [square(2, 2, 12, 12)])]


def test_the_smaller_of_two_lies_above(read, converted):
    mask = converted(read(instances(OVERLAP)))[0]["1"]
    assert [mask[5, 5], mask[3, 3]] == [2, 1]


def test_the_later_of_two_lies_above_if_wanted(read, converted):
    mask = converted(read(instances(OVERLAP), ClassSelection(larger_first=False)))[0]["1"]
    assert [mask[5, 5], mask[3, 3]] == [1, 1]


def test_crowds_are_ignored_and_lie_below(read, converted):
    crowd = annotation(9, category=3, segmentation=[square(5, 5, 7, 7)], iscrowd=1)
    outside = annotation(8, category=3, segmentation=[square(20, 20, 22, 22)], iscrowd=1)
    annotations = [annotation(1, segmentation=[square(4, 4, 8, 8)]), crowd, outside]
    annotations += [annotation(10 + number, category=3, segmentation=[square(0, 0, 3, 3)]) for number in range(2)]
    dataset = read(instances(annotations))
    mask = converted(dataset)[0]["1"]
    assert [mask[5, 5], mask[20, 20], mask[1, 1]] == [2, 255, 1]
    assert "2 of 5 areas have iscrowd and become 255 (person); see --crowds label" in dataset.notes[0]
    mask = read(instances(annotations), crowds="label").items[0].draw(24, 32)
    assert [mask[5, 5], mask[20, 20], mask[1, 1]] == [1, 1, 1]  # the smaller one lies above


def painted(id, category, left, top, right, bottom):
    """Returns what CVAT and others write for an area that was painted: run lengths with iscrowd."""
    bits = np.zeros((24, 32), np.uint8)
    bits[top:bottom, left:right] = 1
    runs = np.diff(np.flatnonzero(np.diff(bits.T.ravel(), prepend=0, append=1)), prepend=0)
    segmentation = {"counts": [*runs.tolist()], "size": [24, 32]}
    return annotation(id, category=category, segmentation=segmentation, iscrowd=1)


def test_painted_areas_get_their_class(read, converted):
    """Every area is a crowd then; the smaller one lies above the larger one, as otherwise."""
    content = instances([painted(1, 7, 2, 2, 20, 20), painted(2, 3, 5, 5, 10, 10)])
    dataset = read(content)
    mask = converted(dataset)[0]["1"]
    assert (np.bincount(mask.ravel()) == [24 * 32 - 18 * 18, 25, 18 * 18 - 25]).all()
    assert "2 areas with iscrowd" in dataset.notes[0]
    assert "(car, person); --crowds ignore" in dataset.notes[0]
    ignored = read(content, crowds="ignore").items[0].draw(24, 32)
    assert set(np.unique(ignored)) == {0, 255}


def test_most_areas_that_were_painted(read):
    """A class with one outline among them is labelled, too: no crowd of COCO's is as common."""
    objects = [
        painted(1, 7, 2, 2, 6, 6),
        painted(2, 7, 10, 2, 14, 6),
        annotation(3, segmentation=[square(20, 2, 24, 6)]),
    ]
    assert (read(instances(objects)).items[0].draw(24, 32) == 2).sum() == 3 * 16
    fewer = [*objects[1:], annotation(4, segmentation=[square(20, 12, 24, 16)])]
    assert (read(instances(fewer)).items[0].draw(24, 32) == 255).sum() == 16


def test_one_class_that_was_painted_gets_its_label(read):
    """A class of crowds alone was painted; of another one, a crowd beside its single objects stays a crowd."""
    outlined = [annotation(10 + at, category=7, segmentation=[square(at, 20, at + 1, 22)]) for at in range(6)]
    crowd = annotation(9, category=7, segmentation=[square(20, 1, 30, 9)], iscrowd=1)
    dataset = read(instances([*outlined, crowd, painted(1, 3, 2, 2, 6, 6)]))
    mask = dataset.items[0].draw(24, 32)
    assert [mask[3, 3], mask[5, 25], mask[21, 0]] == [1, 255, 2]
    assert ["person" in note for note in dataset.notes[:2]] == [True, False]


def test_ids_and_sizes_as_text(read):
    """VIA and others quote them; text that is no number is an id, too."""
    content = instances([annotation("a", image="1", category="7", segmentation=[square(2, 2, 6, 6)], iscrowd="0")])
    content["annotations"].append(annotation("b", image="x", category=7, segmentation=[square(3, 3, 7, 7)]))
    content["images"] = [
        {"id": "1", "file_name": "1.jpg", "height": "24", "width": "32"},
        {"id": "x", "file_name": "2.jpg"},
    ]
    dataset = read(content)
    assert not dataset.faults.kinds
    drawn = [item.draw(24, 32) for item in dataset.items]
    assert [mask.sum() for mask in drawn] == [2 * 16, 2 * 16]
    assert drawn[1][6, 6]


def test_a_polygon_without_the_list_around_it(read):
    dataset = read(instances([annotation(1, segmentation=square(2, 2, 6, 6))]))
    assert dataset.items[0].draw(24, 32).sum() == 2 * 16


def grouped(annotations):
    """Returns a set of Roboflow's: the project is a category, and the supercategory of the classes."""
    classes = [{"id": id, "name": name, "supercategory": "Street"} for id, name in ((1, "car"), (2, "road"))]
    return instances(annotations) | {"categories": [{"id": 0, "name": "Street", "supercategory": "none"}, *classes]}


def test_a_category_that_only_groups_others_is_left_out(read):
    dataset = read(grouped([annotation(1, category=2, segmentation=[square(2, 2, 6, 6)])]))
    assert dataset.classes == ("background", "car", "road")
    assert dataset.items[0].draw(24, 32).max() == 2
    assert any("Street is left out" in note for note in dataset.notes)


def test_a_category_that_groups_others_stays_where_it_is_used_or_chosen(read):
    objects = [annotation(1, category=0, segmentation=[square(2, 2, 6, 6)])]
    assert read(grouped(objects)).classes == ("background", "Street", "car", "road")
    assert read(grouped([]), ClassSelection(only=("Street", "car"))).classes == ("background", "Street", "car")


def test_classes_chosen_ignored_and_without_background(read, converted):
    objects = [
        annotation(1, segmentation=[square(0, 0, 4, 4)]),
        annotation(2, category=3, segmentation=[square(8, 8, 12, 12)]),
        annotation(3, category=90, segmentation=[square(20, 20, 24, 24)]),
    ]
    choice = ClassSelection(only=("tooth brush", "car"), ignored=frozenset({"person"}), background=False)
    dataset = read(instances(objects), choice)
    mask = dataset.items[0].draw(24, 32)
    assert dataset.classes == ("tooth brush", "car")
    assert [mask[1, 1], mask[9, 9], mask[21, 21], mask[15, 15]] == [1, 255, 0, 255]


def test_two_files_whose_ids_differ(tmp_path, write_image, file, converted):
    for split, id in (("train", 7), ("val", 1)):
        write_image(f"{split}/a.jpg")
        categories = [{"id": id, "name": "car"}] + ([{"id": 9, "name": "dog"}] if split == "val" else [])
        content = {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "categories": categories,
            "annotations": [annotation(1, category=id, segmentation=[square(4, 4, 8, 8)])],
        }
        file(f"{split}/_annotations.coco.json", content)
    sources = [
        coco.CocoReader(tmp_path / name / "_annotations.coco.json", tmp_path / name, split)
        for name, split in (("train", "train"), ("val", "validation"))
    ]
    dataset = coco.read(sources, ClassSelection())
    masks, _ = converted(dataset)
    assert dataset.classes == ("background", "car", "dog")
    assert masks.keys() == {"train/a", "validation/a"}
    assert {mask[5, 5] for mask in masks.values()} == {1}


@pytest.mark.parametrize(("boxes", "inside"), [("ignore", 255), ("fill", 2)])
def test_boxes_without_an_outline(read, converted, boxes, inside):
    box = annotation(1, segmentation=[], bbox=[4, 5, 3, 2])
    mask = converted(read(instances([box]), boxes=boxes))[0]["1"]
    expected = np.zeros((24, 32), np.uint8)
    expected[5:7, 4:7] = inside
    np.testing.assert_array_equal(mask, expected)


GOOD = annotation(1, segmentation=[square(4, 4, 8, 8)])
FAULTS = {
    "polygon with an odd number": (annotation(51, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "annotation 51", "7 numbers"),
    "polygon of words": (annotation(52, segmentation=[["a", "b"] * 3]), "annotation 52", "no points"),
    "NaN": (annotation(53, segmentation=[[float("nan"), 2, 3, 4, 5, 6]]), "annotation 53", "no finite number"),
    "infinity": (annotation(54, segmentation=[[1, 2, 3, float("inf"), 5, 6]]), "annotation 54", "no finite number"),
    "far outside": (annotation(55, segmentation=[[1, 2, 3, 4000, 5, 6]]), "annotation 55", "far outside"),
    "huge": (annotation(56, segmentation=[[1, 2, 10**400, 4, 5, 6]]), "annotation 56", "too large"),
    "runs of another size": (
        annotation(57, segmentation={"counts": [4], "size": [2, 2]}),
        "annotation 57",
        "runs for 2 x 2",
    ),
    "negative run": (
        annotation(58, segmentation={"counts": [-1, 769], "size": [24, 32]}),
        "annotation 58",
        "whole numbers",
    ),
    "short runs": (annotation(59, segmentation={"counts": [5], "size": [24, 32]}), "annotation 59", "don't add up"),
    "rubbish runs": (
        annotation(60, segmentation={"counts": "\x00é", "size": [24, 32]}),
        "annotation 60",
        "no compressed",
    ),
    "runs without size": (annotation(61, segmentation={"counts": "5"}), "annotation 61", "no segmentation"),
    "null": (annotation(62), "annotation 62", "no segmentation"),
    "box alone": (annotation(63, segmentation=[], bbox=[1, 2, 3, 4]), "annotation 63", "box without an outline"),
    "unknown category": (
        annotation(64, category=1, segmentation=[square(1, 1, 2, 2)]),
        "annotation 64",
        "category_id 1",
    ),
    "unknown image": (annotation(65, image=77, segmentation=[square(1, 1, 2, 2)]), "id 65", "image_id 77"),
    "image of a wrong kind": (annotation(66, image=[1], segmentation=[square(1, 1, 2, 2)]), "id 66", "image_id [1]"),
    "no object": ("text", "annotations[1]", "an object is expected"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_one_by_one(read, converted, tmp_path, name):
    entry, where, what = FAULTS[name]
    with pytest.raises(DataError) as error:
        converted(read(instances([GOOD, entry])))
    (fault,) = error.value.faults
    assert where in fault.where
    assert what in fault.what
    assert fault.remedy
    assert not (tmp_path / "converted").exists()


def test_all_faults_together(read, converted, tmp_path):
    content = instances([GOOD, *(entry for entry, _, _ in FAULTS.values())])
    content["images"] += [
        {"id": 1, "file_name": "2.jpg"},
        {"id": 3, "file_name": "../secret.jpg"},
        {"id": 4, "file_name": "missing.jpg"},
        {"id": 5, "file_name": 5},
        {"id": 6, "file_name": "2.jpg"},
        {"id": 7, "file_name": "1.jpg", "height": -1, "width": 3},
        {"id": 8, "file_name": "nul\0.jpg"},
    ]
    content["categories"] += [{"id": 7, "name": "again"}, {"id": 8}]
    with pytest.raises(DataError) as error:
        converted(read(content))
    message = "\n".join(map(str, error.value.faults))
    assert [name for name, (_, where, _) in FAULTS.items() if where not in message] == [
        "no object"
    ]  # its place differs
    for part in ("images[2] (id 1)", "secret", "missing.jpg", "images[5]", "has the image of image 2", "images[7]"):
        assert part in message
    assert "an object is expected" in message
    assert "categories[3]" in message
    assert "categories[4]" in message
    assert not (tmp_path / "converted").exists()


def test_what_is_at_fault_can_be_left_out(read, converted):
    masks, written = converted(read(instances([GOOD, annotation(2, image=3)], images=3)), skip_faulty=True)
    assert masks.keys() == {"1", "2"}
    assert any("3.jpg" in fault.where for faults in written.left_out.kinds.values() for fault in faults)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "can't be read as JSON"),
        (b"{", "can't be read as JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"images": [' + b"9" * 5000 + b"]}", "can't be read as JSON"),
        (b"\xff\xfe\x00", "is no text in UTF-16"),
        ([{"image_id": 1, "caption": "a car"}], "no JSON of COCO"),
        ({"images": [], "annotations": {}}, "no JSON of COCO"),
        (instances([{"segments_info": [], "file_name": "1.png", "image_id": 1}]), "panoptic"),
    ],
)
def test_files_of_something_else(read, content, what):
    with pytest.raises(DataError) as error:
        read(content)
    (fault,) = error.value.faults
    assert "instances.json" in fault.where
    assert what in fault.what


def test_a_size_that_disagrees(read, converted):
    content = instances([GOOD])
    content["images"][1]["width"] = 33
    with pytest.raises(DataError, match="32 x 24 pixels as displayed, but its annotations are for 33 x 24"):
        converted(read(content))


def test_a_size_that_would_fill_the_memory(read, converted):
    content = instances([GOOD])
    content["images"][0].update(width=10**9, height=10**9)
    with pytest.raises(DataError, match="annotations are for"):
        converted(read(content))


def test_absolute_and_windows_paths_are_found_by_their_last_name(read, converted):
    content = instances([GOOD])
    content["images"][0]["file_name"] = "C:\\Users\\me\\images\\1.jpg"
    content["images"][1]["file_name"] = "/home/me/images/2.jpg"
    assert converted(read(content))[0].keys() == {"1", "2"}


def test_an_image_outside_is_not_read(read, write_image, converted, tmp_path):
    content = instances([GOOD])
    content["images"].append({"id": 3, "file_name": "../outside.jpg"})
    content["images"].append({"id": 4, "file_name": str(tmp_path / "outside.jpg")})
    write_image("outside.jpg")
    dataset = read(content)
    assert [fault.what for fault in dataset.faults.kinds["missing image"]] == [
        f"there is no such image below {tmp_path / 'images'}"
    ] * 2


def test_hostile_files(read, converted, tmp_path):
    """Values swapped at random for others: a mask for each image, or a DataError, and nothing else."""
    draw_from = random.Random(3)
    odd = [None, -1, 0, 1.5, 10**30, float("nan"), float("-inf"), "", "\ud800", "..", [], {}, [[]], [[1, 2]], True]
    compressed = {"counts": "P2h00m0", "size": [24, 32]}
    box = annotation(3, 2, segmentation=[], bbox=[1, 1, 2, 2])
    good = instances([GOOD, annotation(2, segmentation=compressed), box])

    def changed(value, share):
        if draw_from.random() < share:
            return draw_from.choice(odd)
        if isinstance(value, dict):
            return {key: changed(entry, share) for key, entry in value.items() if draw_from.random() > share / 3}
        return [changed(entry, share) for entry in value] if isinstance(value, list) else value

    outcomes = set()
    for _ in range(600):
        content = json.dumps(changed(good, 0.04))
        try:
            dataset = read(content.encode("utf-8", "surrogatepass"), boxes="ignore")
        except DataError as error:
            str(error).encode()
            outcomes.add("unreadable")
            continue
        for item in dataset.items:
            try:
                assert item.draw(24, 32).shape == (24, 32)
                outcomes.add("drawn")
            except DataError as error:
                str(error).encode()
                outcomes.add("refused")
    assert outcomes == {"unreadable", "drawn", "refused"}
