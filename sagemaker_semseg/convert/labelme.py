"""Reads LabelMe: folders of JSON files, one for each image.

    {"imagePath", "imageHeight", "imageWidth", "shapes": [{"label", "shape_type", "points", "mask"}]}

Polygons, rectangles, circles and masks have an area; lines and points have none and are left out. ``imageData``, a copy
of the image, is read where there is no file of it.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sagemaker_semseg.convert.annotations import (
    AnnotatedDataset,
    AnnotatedImage,
    ClassSelection,
    LabelMask,
    Size,
    is_background,
    labels_of,
)
from sagemaker_semseg.convert.file_readers import (
    find_image,
    foreign,
    name_of,
    points,
    read_json,
    show,
    unusable,
    walk,
    whole,
    with_extension,
)
from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.convert.shapes import Mask, Points, Polygon, Region, Shape, box, circle, rasterize
from sagemaker_semseg.data.images import decode_mask
from sagemaker_semseg.errors import DataError, Fault, printable

IGNORE_LABEL: Final = "__ignore__"
"""LabelMe's own name for ignored areas."""

_MAX_BYTES: Final = 1 << 28
_WITHOUT_AREA: Final = ("line", "linestrip", "point", "points")


@dataclass(frozen=True)
class LabelMeReader:
    """A folder of JSON files.

    Attributes:
        folder: The folder.
        images: The folder of the images, where they don't lie beside the JSON files.
        split: As in ``AnnotatedImage``.
        encoding: Of the JSON files, where it isn't UTF-8, -16 or -32.
    """

    folder: Path
    images: Path | None = None
    split: str = ""
    encoding: str = ""


def read(sources: Sequence[LabelMeReader], choice: ClassSelection) -> AnnotatedDataset:
    """Read folders; labels are in alphabetical order unless ``choice`` gives one. Raises ``DataError``."""
    dataset = AnnotatedDataset()
    files = [file for source in sources for file in _files(source, dataset)]
    names = sorted({name for file in files for name in file.names})
    if IGNORE_LABEL in names:
        choice = dataclasses.replace(choice, ignored=choice.ignored | {IGNORE_LABEL})
    of_background = {name: choice.background_label for name in names if name.startswith("_") and is_background(name)}
    labels = labels_of([name for name in names if name not in of_background], choice, dataset, sources[0].folder)
    if embedded := sum(file.read_image is not None for file in files):
        dataset.notes.append(f"{embedded} images taken out of imageData, since there is no file of them")
    used: dict[Path, str] = {}
    for file in files:
        if file.image in used:
            what = f"has the image of {used[file.image]}, too"
            dataset.faults.add("bad entry", file.where, what, "keep one of the two")
            continue
        used[file.image] = file.where
        dataset.items.append(file.item({**labels, **of_background}, choice))
    return dataset


@dataclass(frozen=True)
class _File:
    """What is kept of a JSON file: arrays, which take less memory than Python's objects.

    Attributes:
        image: The image, or the JSON file if the image is in it.
        read_image: As in ``AnnotatedImage``.
    """

    name: str
    image: Path
    size: Size | None
    split: str
    where: str
    areas: tuple[Region, ...]
    names: tuple[str, ...]
    read_image: Callable[[], bytes] | None = None

    def item(self, labels: Mapping[str, int], choice: ClassSelection) -> AnnotatedImage:
        regions = [
            dataclasses.replace(area, label=labels[name]) for area, name in zip(self.areas, self.names, strict=True)
        ]

        def mask(height: int, width: int) -> LabelMask:
            return rasterize(regions, height, width, choice.background_label, choice.larger_first)

        return AnnotatedImage(self.name, self.image, mask, self.size, self.split, read_image=self.read_image)


def _files(source: LabelMeReader, dataset: AnnotatedDataset) -> list[_File]:
    files, others, without_area = [], 0, Counter[str]()
    for path in walk(source.folder, (".json",)):
        try:
            content = read_json(path, _MAX_BYTES, source.encoding)
            if not isinstance(content, dict) or not {"shapes", "imagePath"} & content.keys():
                others += 1
                continue
            files.append(_file(path, content, source, without_area))
        except DataError as error:
            dataset.faults.extend("bad file", error.faults)
    if others:
        dataset.notes.append(f"{printable(source.folder)}: JSON files of something else were left out: {others}")
    if without_area:
        listed = ", ".join(f"{count} x {kind}" for kind, count in sorted(without_area.items()))
        dataset.notes.append(f"{printable(source.folder)}: shapes without an area were left out ({listed})")
    if not files and not dataset.faults.kinds:
        what = "no JSON file of LabelMe in it"
        raise foreign(source.folder, what, "give the folder in which LabelMe has saved its files", "LabelMe")
    return files


def _file(path: Path, content: dict[str, Any], source: LabelMeReader, without_area: Counter[str]) -> _File:
    where = printable(path)
    size: Size | None = None
    if content.get("imageHeight") is not None or content.get("imageWidth") is not None:
        height, width = whole(content.get("imageHeight")), whole(content.get("imageWidth"))
        if not height or not width or min(height, width) < 1:
            raise unusable(path, "imageHeight and imageWidth are no whole numbers above 0", "save the file again")
        size = height, width
    shapes = content.get("shapes")
    if not isinstance(shapes, list):
        raise unusable(path, "shapes is no list", "save the file again with LabelMe")
    areas, names, faults = [], [], []
    for number, shape in enumerate(shapes):
        entry = f"{where}, shapes[{number}]"
        try:
            kind = shape.get("shape_type") or "polygon" if isinstance(shape, dict) else None
            if kind in _WITHOUT_AREA:
                without_area[kind] += 1
                continue
            areas.append(Region(_shape(shape, kind, entry), 0, entry))
            names.append(shape["label"])
        except ShapeError as error:
            faults.append(Fault(entry, error.what, error.remedy))
    image, read = path, None
    try:
        image = _find_image(path, content.get("imagePath"), source)
    except DataError as error:
        if content.get("imageData"):
            read = functools.partial(_embedded_image, path, source.encoding)
        else:
            faults += error.faults
    if faults:
        raise DataError("annotations can't be used", faults)
    return _File(name_of(path, source.folder), image, size, source.split, where, tuple(areas), tuple(names), read)


def _embedded_image(path: Path, encoding: str) -> bytes:
    """Return the image in a JSON file; it is read again, since all images at once would take much memory."""
    content = read_json(path, _MAX_BYTES, encoding)
    text = content.get("imageData") if isinstance(content, dict) else None
    try:
        text = text.rpartition(",")[2] if isinstance(text, str) else ""  # some tools write a data: URL
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise unusable(path, f"imageData is no image in base 64: {error}", "give the folder of the images") from None


def _find_image(path: Path, name: object, source: LabelMeReader) -> Path:
    try:
        if not isinstance(name, str):
            raise unusable(path, f"imagePath {show(name)}, a text is expected", "save the file again with LabelMe")
        beside = None if source.images else path.parent
        return find_image(source.images or source.folder, name, beside)
    except DataError:
        if found := with_extension((source.images or path.parent) / path.stem):
            return found
        raise


def _shape(shape: Any, kind: object, where: str) -> Shape:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"].strip():
        raise ShapeError(f"{show(shape)} has no label", "name the shape, or remove it")
    corners = points(shape.get("points"))
    if kind in ("polygon", "rotation", "oriented_rectangle", "quadrilateral"):
        return Polygon((corners,))
    if kind in ("rectangle", "circle", "mask") and len(corners) not in ((2, 4) if kind == "rectangle" else (2,)):
        raise ShapeError(f"a {kind} of {len(corners)} points, two are expected", "draw it again")
    if kind == "rectangle":
        return Polygon((box(*corners.min(axis=0), *corners.max(axis=0)),))
    if kind == "circle":
        (x, y), (on_x, on_y) = corners
        return Polygon((circle(x, y, math.hypot(on_x - x, on_y - y)),))
    if kind == "mask":
        return _bitmap(shape.get("mask"), corners, where)
    raise ShapeError(f"a shape of the kind {show(kind)}", "draw it as a polygon")


def _bitmap(text: object, corners: Points, where: str) -> Mask:
    """Decode a PNG in base 64 whose upper left pixel lies at the first point; pixels other than 0 are inside."""
    try:
        data = base64.b64decode(text if isinstance(text, str) else "", validate=True)
        pixels = decode_mask(data, where) != 0
    except (ValueError, DataError) as error:
        what = error.faults[0].what if isinstance(error, DataError) else str(error)
        raise ShapeError(f"a mask that can't be read: {what}", "draw it again") from None
    left, top = corners[0]
    if not (np.isfinite(corners).all() and abs(left) < 1 << 30 and abs(top) < 1 << 30):
        raise ShapeError("a mask that lies nowhere", "draw it again")
    return Mask(pixels, round(top), round(left))
