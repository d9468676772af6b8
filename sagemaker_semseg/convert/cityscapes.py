"""Reads the folders of Cityscapes, with the 19 classes of its benchmark; everything else becomes 255.

leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png, ..._labelTrainIds.png, ..._polygons.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageDraw

from sagemaker_semseg.convert import masks
from sagemaker_semseg.convert.annotations import AnnotatedDataset, AnnotatedImage, LabelMask, Size
from sagemaker_semseg.convert.file_readers import points, read_json, show, unusable, walk, whole
from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import DataError, Fault, printable

Kind = Literal["auto", "labelIds", "labelTrainIds", "polygons"]
KINDS: Final[tuple[Kind, ...]] = ("auto", "labelIds", "labelTrainIds", "polygons")

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
_BY_ID: Final = {
    **dict.fromkeys([*range(_MOST_ID + 1), IGNORE], IGNORE),
    **{id: label for label, id in enumerate(_IDS.values())},
}
_BY_TRAIN_ID: Final = {**{label: label for label in range(len(CLASSES))}, IGNORE: IGNORE}
_MAX_BYTES: Final = 1 << 26
_SPLITS: Final = {"train": "train", "train_extra": "train", "val": "validation"}
_IMAGE_SUFFIX: Final = "_leftImg8bit"


def read(source: Path, annotations: str = "gtFine", kind: Kind = "auto") -> AnnotatedDataset:
    """Read the folder with leftImg8bit and ``annotations``, gtFine or gtCoarse. Raises ``DataError``."""
    dataset = AnnotatedDataset(CLASSES)
    for name in ("leftImg8bit", annotations):
        if not (source / name).is_dir():
            raise unusable(
                source, f"no folder {name} in it", f"leftImg8bit and {annotations} are expected side by side"
            )
    there = [name for name in _SPLITS if (source / annotations / name).is_dir()]
    both = len({_SPLITS[name] for name in there}) == 2
    for folder in there:
        if not (source / "leftImg8bit" / folder).is_dir():
            dataset.faults.add("missing folder", source / "leftImg8bit" / folder, "is missing", "unpack its images")
            continue
        for image in walk(source / "leftImg8bit" / folder, (".png", ".jpg", ".jpeg")):
            name = (image.relative_to(source / "leftImg8bit" / folder)).with_suffix("").as_posix()
            name = name.removesuffix(_IMAGE_SUFFIX)
            stem = source / annotations / folder / f"{name}_{annotations}"
            draw = _Annotation(stem, kind)
            if draw.found() is None:
                what = f"there is no {stem.name}_{'labelIds.png' if kind == 'auto' else _SUFFIX[kind][1:]} for it"
                dataset.faults.add("missing annotation", image, what, f"unpack {annotations}, or remove the image")
            else:
                dataset.items.append(AnnotatedImage(name, image, draw.draw, split=_SPLITS[folder] if both else ""))
    if not dataset.items and not dataset.faults.kinds:
        raise unusable(source, "no images in leftImg8bit/train and leftImg8bit/val", "unpack them there")
    return dataset


_SUFFIX: Final = {
    "labelIds": "_labelIds.png",
    "labelTrainIds": "_labelTrainIds.png",
    "polygons": "_polygons.json",
}


@dataclass(frozen=True)
class _Annotation:
    stem: Path
    kind: Kind

    def found(self) -> tuple[str, Path] | None:
        for kind, suffix in _SUFFIX.items():
            path = self.stem.with_name(self.stem.name + suffix)
            if self.kind in ("auto", kind) and path.is_file():
                return kind, path
        return None

    def draw(self, height: int, width: int) -> LabelMask:
        found = self.found()
        if found is None:
            raise unusable(self.stem, "was deleted", "run the command again")
        kind, path = found
        if kind == "polygons":
            return _polygons(path, (height, width))
        table = _BY_ID if kind == "labelIds" else _BY_TRAIN_ID
        return masks.by_number(path, table, f"{kind} of Cityscapes are expected; see --masks")


def _polygons(path: Path, size: Size) -> LabelMask:
    """Draw the polygons as Cityscapes' own program does: in the file's order, with Pillow."""
    content = read_json(path, _MAX_BYTES)
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise unusable(path, "no polygons of Cityscapes: an object with the list objects is expected")
    stated = whole(content.get("imgHeight")), whole(content.get("imgWidth"))
    if stated != size:
        what = f"imgWidth x imgHeight is {show(stated[1])} x {show(stated[0])}, the image has {size[1]} x {size[0]}"
        raise unusable(path, what, "check whether it belongs to this image")
    mask = Image.new("L", (size[1], size[0]), IGNORE)
    pen = ImageDraw.Draw(mask)
    faults = []
    for number, entry in enumerate(content["objects"]):
        try:
            if not isinstance(entry, dict):
                raise ShapeError(f"{show(entry)}, an object is expected", "export the file again")
            if entry.get("deleted"):
                continue
            label = _label(entry.get("label"))
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
