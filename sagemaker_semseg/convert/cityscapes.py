"""Reads the folders of Cityscapes, with the 19 classes of its benchmark, or those of a list beside them.

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png, ..._labelTrainIds.png, ..._polygons.json

Of Cityscapes, everything but the 19 classes becomes 255. CVAT and others write classes of their own into these folders,
with ``label_colors.txt`` and ``..._color.png``, and the images into imgsFine/leftImg8bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageDraw

from sagemaker_semseg.convert import masks
from sagemaker_semseg.convert.annotations import AnnotatedDataset, AnnotatedImage, LabelMask, Size, clean
from sagemaker_semseg.convert.class_list import ClassList, find_class_list
from sagemaker_semseg.convert.file_readers import foreign, name_of, points, read_json, show, unusable, walk, whole
from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.data.channels import EXTENSIONS
from sagemaker_semseg.data.files import read_file
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import DataError, Fault, printable

Kind = Literal["auto", "labelIds", "labelTrainIds", "polygons", "color"]
KINDS: Final[tuple[Kind, ...]] = ("auto", "labelIds", "labelTrainIds", "polygons", "color")

# id by name, in the order of the labels (cityscapesScripts, helpers/labels.py)
_IDS: Final = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
CLASSES: Final = tuple(_IDS)
_OTHERS: Final = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "parking"),
    *("rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer", "license plate"),
)
_MOST_ID: Final = 33
# 0xRRGGBB by id
_ID_COLORS: Final = (
    *(0x000000, 0x000000, 0x000000, 0x000000, 0x000000, 0x6F4A00, 0x510051, 0x804080, 0xF423E8, 0xFAAAA0, 0xE6968C),
    *(0x464646, 0x66669C, 0xBE9999, 0xB4A5B4, 0x966464, 0x96785A, 0x999999, 0x999999, 0xFAAA1E, 0xDCDC00, 0x6B8E23),
    *(0x98FB98, 0x4682B4, 0xDC143C, 0xFF0000, 0x00008E, 0x000046, 0x003C64, 0x00005A, 0x00006E, 0x005064, 0x0000E6),
    *(0x770B20,),
)
_EVERY_ID: Final = {id: id for id in range(_MOST_ID + 1)}
_BY_ID: Final = {
    **dict.fromkeys([*range(_MOST_ID + 1), IGNORE], IGNORE),
    **{id: label for label, id in enumerate(_IDS.values())},
}
_BY_TRAIN_ID: Final = {**{label: label for label in range(len(CLASSES))}, IGNORE: IGNORE}
_MAX_BYTES: Final = 1 << 26
_SPLITS: Final = {
    "train": "train",
    "train_extra": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_LEFT_OUT: Final = ("test", "demovideo")
_IMAGES: Final = ("leftImg8bit", "imgsFine/leftImg8bit")
_IMAGE_SUFFIX: Final = "_leftImg8bit"
_EXAMINED: Final = 10
"""Images whose ids are compared with their colors, where there are both."""
_UNLIKE: Final = 0.01  # of a mask's pixels
_OWN: Final = "for classes of your own put label_colors.txt (a line each: red green blue name) beside gtFine"


def read(source: Path, annotations: str = "gtFine", kind: Kind = "auto") -> AnnotatedDataset:
    """Read the folder with leftImg8bit and ``annotations``, gtFine or gtCoarse. Raises ``DataError``."""
    images = next((source / name for name in _IMAGES if (source / name).is_dir()), source / _IMAGES[0])
    for there in (images, source / annotations):
        if not there.is_dir():
            remedy = f"leftImg8bit and {annotations} are expected side by side"
            raise foreign(source, f"no folder {there.name} in it", remedy, "Cityscapes' folders")
    own = find_class_list([source])
    if own and all(own.names[id : id + 1] == (name,) for name, id in _IDS.items()):
        own = None  # it is Cityscapes'
    if kind == "color" and not own:
        raise unusable(source, "nothing says what the colours mean", _OWN)
    dataset = AnnotatedDataset(own.names if own else CLASSES)
    if own:
        dataset.notes.append(f"classes: those of {own.where}, not Cityscapes'")
    folders = sorted(path.name for path in (source / annotations).iterdir() if path.is_dir())
    splits = {name: _SPLITS.get(name.lower(), "") for name in folders if name.lower() not in _LEFT_OUT}
    both = {*splits.values()} >= {"train", "validation"}
    for folder, split in splits.items():
        if not (images / folder).is_dir():
            dataset.faults.add("missing folder", images / folder, "is missing", "unpack its images")
            continue
        for image in walk(images / folder, EXTENSIONS):
            name = name_of(image, images / folder).removesuffix(_IMAGE_SUFFIX)
            stem = source / annotations / folder / f"{name}_{annotations}"
            annotation = _Annotation(stem, kind, own)
            if annotation.found() is None:
                what = f"there is no {stem.name}_{'labelIds.png' if kind == 'auto' else _SUFFIX[kind][1:]} for it"
                dataset.faults.add("missing annotation", image, what, f"unpack {annotations}, or remove the image")
            else:
                dataset.items.append(AnnotatedImage(name, image, annotation.draw, split=split if both else ""))
    if not dataset.items and not dataset.faults.kinds:
        raise unusable(source, "no images in leftImg8bit/train and leftImg8bit/val", "unpack them there")
    if not own:
        _check_colors(source / annotations)
    return dataset


def _check_colors(folder: Path) -> None:
    """Compare some masks of ids with those of colors. Raises ``DataError`` where the ids aren't Cityscapes'."""
    checked = unlike = 0
    table = np.array([[code >> 16, code >> 8 & 255, code & 255] for code in _ID_COLORS], np.uint8)
    for ids in walk(folder, (".png",)):
        colors = ids.with_name(ids.name.replace("_labelIds.png", "_color.png"))
        if checked == _EXAMINED or colors == ids or not colors.is_file():
            continue
        try:
            numbers = masks.by_number(ids, _EVERY_ID, "")
            pixels = read_file(colors, lambda _, encoded: decode_image(encoded))
        except DataError:  # it is reported when the mask is drawn
            continue
        checked += 1
        unlike += pixels.shape[:2] == numbers.shape and bool((table[numbers] != pixels).any(axis=2).mean() > _UNLIKE)
    if 2 * unlike > checked:
        what = f"ids and colours of {unlike} of {checked} masks don't belong together as in Cityscapes"
        raise unusable(folder, what, _OWN)


_SUFFIX: Final = {
    "labelIds": "_labelIds.png",
    "labelTrainIds": "_labelTrainIds.png",
    "polygons": "_polygons.json",
    "color": "_color.png",
}


@dataclass(frozen=True)
class _Annotation:
    """The files of one image's annotation. own: the classes where they aren't Cityscapes'."""

    stem: Path
    kind: Kind
    own: ClassList | None

    def found(self) -> tuple[str, Path] | None:
        kinds = ["labelIds", "labelTrainIds", "polygons"]
        if self.own:
            kinds = [
                *(["color"] if self.own.by_color else []),
                *(["labelIds"] if self.own.by_number else []),
                "polygons",
            ]
        for kind in kinds:
            path = self.stem.with_name(self.stem.name + _SUFFIX[kind])
            if self.kind in ("auto", kind) and path.is_file():
                return kind, path
        return None

    def draw(self, height: int, width: int) -> LabelMask:
        found = self.found()
        if found is None:
            raise unusable(self.stem, "was deleted", "run the command again")
        kind, path = found
        if kind == "polygons":
            return _polygons(path, (height, width), self.own)
        if self.own:
            return self.own.draw(path)
        table = _BY_ID if kind == "labelIds" else _BY_TRAIN_ID
        return masks.by_number(path, table, f"{kind} of Cityscapes are expected, see --masks; {_OWN}")


def _polygons(path: Path, size: Size, own: ClassList | None) -> LabelMask:
    """Draw the polygons as Cityscapes' own program does: in the file's order, with Pillow."""
    content = read_json(path, _MAX_BYTES)
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise unusable(path, "no polygons of Cityscapes: an object with the list objects is expected")
    stated = whole(content.get("imgHeight")), whole(content.get("imgWidth"))
    if stated != size:
        what = f"imgWidth x imgHeight is {show(stated[1])} x {show(stated[0])}, the image has {size[1]} x {size[0]}"
        raise unusable(path, what, "check whether it belongs to this image")
    mask = Image.new("L", (size[1], size[0]), own.background if own else IGNORE)
    pen = ImageDraw.Draw(mask)
    faults = []
    for number, entry in enumerate(content["objects"]):
        try:
            if not isinstance(entry, dict):
                raise ShapeError(f"{show(entry)}, an object is expected", "export the file again")
            if entry.get("deleted"):
                continue
            label = _own_label(entry.get("label"), own) if own else _label(entry.get("label"))
            corners = points(entry.get("polygon"))
            near = np.abs(corners - np.array(size[::-1]) / 2) <= 1.5 * np.array(size[::-1])
            if not near.all():  # also for numbers that are not finite
                raise ShapeError("a point far outside the image", "check whether it belongs to this image")
        except ShapeError as error:
            faults.append(Fault(f"{printable(path)}, objects[{number}]", error.what, error.remedy))
            continue
        if label is not None and len(corners) > 1:
            pen.polygon([(float(x), float(y)) for x, y in corners], fill=label)
    if faults:
        raise DataError("annotations can't be used", faults)
    return np.asarray(mask)


def _label(name: object) -> int | None:
    """Return the label, None for what is not drawn; a group of objects counts as one of them."""
    single = name.removesuffix("group") if isinstance(name, str) and name != "polegroup" else name
    if single in _IDS:
        return CLASSES.index(str(single))
    if single == "license plate":  # has no number of its own: what is below it stays
        return None
    if single in _OTHERS:
        return IGNORE
    raise ShapeError(f"label {show(name)} is none of Cityscapes'", "fix the label")


def _own_label(name: object, own: ClassList) -> int:
    if isinstance(name, str) and clean(name) in own.names:
        return own.names.index(clean(name))
    raise ShapeError(f"label {show(name)} isn't in {own.where}", "add it to the list, or fix the label")
