"""Layouts of folders and files of tools: what is proposed for each, and that the proposed flags work."""

import io
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.annotation_tools import TOOLS, recognize
from sagemaker_semseg.data.channels import find_channels
from sagemaker_semseg.data.datasets import read_channels
from sagemaker_semseg.data.layouts import find_layout, propose
from sagemaker_semseg.errors import DataError

IMAGES = {"JPEG": np.zeros((8, 9, 3), np.uint8), "PNG": np.arange(72, dtype=np.uint8).reshape(8, 9) % 2}


def encoded(kind):
    out = io.BytesIO()
    Image.fromarray(IMAGES[kind]).save(out, kind)
    return out.getvalue()


@pytest.fixture
def put(tmp_path):
    """Writes images (.jpg), masks (.png) and texts, and returns the folder."""

    def write(*names, **texts):
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded("JPEG" if name.endswith("jpg") else "PNG"))
        for name, text in texts.items():
            (tmp_path / "set").mkdir(exist_ok=True)
            (tmp_path / "set" / name.replace("__", "/").replace("_dot_", ".")).write_text(text)
        return tmp_path / "set"

    return write


AS_FLAGS = [
    "images/training/{}.jpg annotations/training/{}.png images/validation/{}.jpg annotations/validation/{}.png",
    "train/images/{}.jpg train/masks/{}.png val/images/{}.jpg val/masks/{}.png",
    "train/images/{}.jpg train_annotation/masks/{}.png validation/images/{}.jpg validation_annotation/masks/{}.png",
    "train/{}.jpg trainannot/{}.png valid/{}.jpg validannot/{}.png",
    "Train Images/{}.jpg Train-Labels/{}.png images_val/{}.jpg labels_val/{}.png",
    "img/train/city/{}.jpg gt/train/city/{}.png img/val/city/{}.jpg gt/val/city/{}.png",
]


@pytest.mark.parametrize("names", AS_FLAGS)
def test_the_proposed_flags_work(put, names):
    root = put(
        *(name for a in "ab" for name in names.replace("Train Images", "Train_Images").format(a, a, a, a).split())
    )
    text = propose(root)
    assert text.startswith("4 images with masks were found; give --train ")
    words = shlex.split(text.partition("give ")[2].partition(" in place of")[0])
    flags = dict(zip(words[::2], words[1::2], strict=True))
    channels = {name.removeprefix("--").replace("-", "_"): path for name, path in flags.items()}
    assert channels.keys() == {"train", "train_annotation", "validation", "validation_annotation"}
    datasets = read_channels(channels, 2)
    assert (datasets.train.count, datasets.validation.count) == (2, 2)


@pytest.mark.parametrize(
    "names",
    [
        "images/{}.jpg masks/{}.png",
        "train/{}.jpg train/{}_mask.png valid/{}.jpg valid/{}_mask.png test/{}.jpg test/{}_mask.png",
        "{}.jpg {}-mask.png",
        "train/{}.jpg train_labels/{}_L.png val/{}.jpg val_labels/{}_L.png",
        "ds/img/{}.jpg ds/masks_machine/{}.jpg.png ds/masks_human/{}.jpg.png",
    ],
)
def test_other_layouts_are_converted(put, names):
    root = put(*(name for a in "ab" for name in names.format(*a * 6).split()))
    assert f"convert folders {root} --output NEW" in propose(root)
    layout = find_layout(root)
    assert all(pair.mask for pair in layout.pairs)
    assert layout.masks_alone == []


def test_what_has_no_partner(put):
    layout = find_layout(put("images/a.jpg", "images/b.jpg", "masks/a.png", "masks/c.png"))
    assert [(pair.name, bool(pair.mask)) for pair in layout.pairs] == [("a", True), ("b", False)]
    assert [path.name for path in layout.masks_alone] == ["c.png"]


def test_nothing_is_known_of_other_folders(put):
    assert propose(put("a.jpg", "b/c.png")) == ""


def test_a_training_that_misses_its_channels_names_the_flags(put):
    root = put(*(name for a in "ab" for name in AS_FLAGS[0].format(a, a, a, a).split()))
    with pytest.raises(DataError, match=r"--train-annotation .*annotations/training"):
        find_channels(root)


def test_a_training_whose_names_differ_names_the_flags(put):
    root = put(*(name for a in "ab" for name in AS_FLAGS[2].format(a, a, a, a).split()))
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 2)
    assert f"--train-annotation {root}/train_annotation/masks" in error.value.faults[0].remedy


CONTENT = {
    "Label Studio's JSON": '[{"id": 1, "annotations": [{"completed_by": 1, "result": [{"from_name": "tag"}]}]}]',
    "Supervisely": '{"size": {}, "objects": [{"classTitle": "road"}]}',
    "VGG Image Annotator (VIA)": '{"a.jpg1": {"regions": [{"shape_attributes": {}}]}}',
    "CVAT's XML": '<?xml version="1.0"?>\n<annotations>\n <version>1.1</version>',
    "Pascal VOC's boxes (LabelImg and others)": "<annotation><object><bndbox></bndbox></object></annotation>",
    "Labelbox": '[{"data_row": {"id": "x"}}]',
    "LabelMe": '{"version": "5", "shapes": [], "imagePath": "a.jpg"}',
    "COCO": '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}',
}
NAMES = {
    "Label Studio's brush as PNG": "masks/task-1-annotation-2-by-3-tag-car-0.png",
    "Roboflow's Semantic Segmentation Masks": "train/_classes.csv",
    "YOLO": "data.yaml",
    "Pascal VOC's folders": "SegmentationClass/a.png",
    "Cityscapes' folders": "gtFine/train/a/a_gtFine_labelIds.png",
}


def test_the_docs_have_the_same_table():
    docs = (Path(__file__).parents[2] / "docs" / "convert.md").read_text()
    rows = {row.split(" | ")[0].removeprefix("| "): row for row in docs.splitlines() if row.startswith("| ")}
    for tool in TOOLS:
        assert tool.export in rows[tool.name]
        assert f"`{tool.command}`" in rows[tool.name]


def test_every_tool_is_tried():
    assert {tool.name for tool in TOOLS} == CONTENT.keys() | NAMES.keys()


@pytest.mark.parametrize("name", CONTENT)
def test_tools_by_the_content_of_their_files(tmp_path, name):
    path = tmp_path / "below" / f"a.{'xml' if CONTENT[name].startswith('<') else 'json'}"
    path.parent.mkdir()
    path.write_text(CONTENT[name])
    for where in (path, tmp_path):
        found = recognize(where)
        assert found.tool.name == name
        assert name in found.advice
        assert "sagemaker-semseg convert " in found.advice


@pytest.mark.parametrize("name", NAMES)
def test_tools_by_the_names_of_their_files(put, name):
    root = put(NAMES[name])
    assert recognize(root).tool.name == name
    assert propose(root)


def test_hostile_and_other_files(tmp_path):
    (tmp_path / "a.json").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "b.json").write_text(json.dumps({"a": [1, 2]}))
    (tmp_path / "c.xml").write_text("<annotation ><object>" * 10_000)  # a pattern over all of it would take hours
    (tmp_path / "d.json").write_text('"imagePath" : "images" : [ ' * 10_000)
    assert recognize(tmp_path) is None
    assert recognize(tmp_path / "none") is None
