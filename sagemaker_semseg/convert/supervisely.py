"""Reads projects of Supervisely: bitmaps, polygons and rectangles.

meta.json  ds/img/a.jpg  ds/ann/a.jpg.json:  {"size": {"height", "width"}, "objects": [{"classTitle",
    "geometryType", "bitmap": {"data", "origin"}, "points": {"exterior", "interior"}}]}
"""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Mapping
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
    labels_of,
)
from sagemaker_semseg.convert.file_readers import foreign, name_of, points, read_json, show, unusable, walk, whole
from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.convert.shapes import Difference, Mask, Polygon, Region, Shape, box, rasterize
from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import decode_colors, decode_mask
from sagemaker_semseg.errors import DataError, Fault, printable

_MAX_BYTES: Final = 1 << 28
_MAX_BITMAP: Final = 1 << 26
_LAYOUT: Final = "img, ann and meta.json are expected; an export of masks alone is read by convert folders"
_WITHOUT_AREA: Final = ("point", "line", "polyline", "graph", "keypoints")


def read(source: Path, choice: ClassSelection) -> AnnotatedDataset:
    """Read a project, or a data set in it; classes are in the order of meta.json. Raises ``DataError``."""
    dataset = AnnotatedDataset()
    files = [path for path in walk(source, (".json",)) if path.parent.name == "ann"]
    if not files:
        raise foreign(source, "no folder ann with Supervisely's JSON files in it", _LAYOUT, "Supervisely")
    without_area = Counter[str]()
    content = {path: _objects(path, dataset, without_area) for path in files}
    titles = dict.fromkeys(_titles(source))
    titles |= dict.fromkeys(object["classTitle"] for _, several in content.values() for object in several)
    labels = labels_of(titles, choice, dataset, source)
    for path, (size, objects) in content.items():
        image = path.parent.parent / "img" / path.name.removesuffix(".json")
        if not image.is_file():
            dataset.faults.add(
                "missing image", path, f"there is no img/{image.name}", "download the project with images"
            )
            continue
        draw = _Annotations(printable(path), objects, labels, choice).draw
        name = name_of(image, source) if source != image.parent else image.stem
        dataset.items.append(AnnotatedImage(name, image, draw, size))
    if without_area:
        listed = ", ".join(f"{count} x {kind}" for kind, count in sorted(without_area.items()))
        dataset.notes.append(f"objects without an area were left out ({listed})")
    return dataset


def _titles(source: Path) -> list[str]:
    """Return the names of the classes in meta.json, which lies beside the data sets."""
    for path in (source / "meta.json", source.parent / "meta.json"):
        if path.is_file():
            content = read_json(path, _MAX_BYTES)
            listed = content.get("classes") if isinstance(content, dict) else None
            titles = [entry.get("title") for entry in listed or [] if isinstance(entry, dict)]
            return [title for title in titles if isinstance(title, str) and title]
    return []


def _objects(path: Path, dataset: AnnotatedDataset, without_area: Counter[str]) -> tuple[Size | None, list[Any]]:
    """Return the image's size and the objects that have an area; what is wrong becomes faults."""
    try:
        content = read_json(path, _MAX_BYTES)
        if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
            raise unusable(path, "no annotation of Supervisely: an object with the list objects is expected")
        stated = content["size"] if isinstance(content.get("size"), dict) else {}
        height, width = whole(stated.get("height")), whole(stated.get("width"))
        if not height or not width or min(height, width) < 1:
            raise unusable(path, "size: height and width, whole numbers above 0, are expected", "export it again")
    except DataError as error:
        dataset.faults.extend("bad file", error.faults)
        return None, []
    objects = []
    for number, entry in enumerate(content["objects"]):
        if not isinstance(entry, dict) or not isinstance(entry.get("classTitle"), str) or not entry["classTitle"]:
            what = f"{show(entry)} has no classTitle"
            dataset.faults.add("bad entry", f"{printable(path)}, objects[{number}]", what, "export it again")
        elif entry.get("geometryType") in _WITHOUT_AREA:
            without_area[entry["geometryType"]] += 1
        else:
            objects.append(entry)
    return (height, width), objects


@dataclass(frozen=True, eq=False)
class _Annotations:
    """The objects of one image."""

    where: str
    objects: list[Any]
    labels: Mapping[str, int]
    choice: ClassSelection

    def draw(self, height: int, width: int) -> LabelMask:
        faults: list[Fault] = []
        regions = []
        for number, entry in enumerate(self.objects):
            where = f"{self.where}, objects[{number}]"
            try:
                regions.append(Region(_shape(entry, where), self.labels[entry["classTitle"]], where))
            except ShapeError as error:
                faults.append(Fault(where, error.what, error.remedy))
        return rasterize(regions, height, width, self.choice.background_label, self.choice.larger_first, faults)


def _shape(entry: Mapping[str, Any], where: str) -> Shape:
    kind = entry.get("geometryType") or ("bitmap" if entry.get("bitmap") else "polygon")
    if kind in ("bitmap", "alpha_mask"):
        return _bitmap(entry.get("bitmap"), where)
    given = entry.get("points")
    corners = given if isinstance(given, dict) else {}
    outer = points(corners.get("exterior"))
    if kind == "rectangle" and len(outer) == 2:
        return Polygon((box(*outer.min(axis=0), *outer.max(axis=0)),))
    if kind == "polygon":
        inner = corners.get("interior") or []
        holes = tuple(points(part) for part in (inner if isinstance(inner, list) else [inner]))
        return Difference(Polygon((outer,)), Polygon(holes)) if holes else Polygon((outer,))
    raise ShapeError(f"an object of the kind {show(kind)}", "draw it as a bitmap or a polygon")


def _bitmap(value: object, where: str) -> Mask:
    """Decode a bitmap: a PNG, compressed and in base 64, whose upper left pixel lies at ``origin``."""
    value = value if isinstance(value, dict) else {}
    try:
        packed = base64.b64decode(value["data"] if isinstance(value.get("data"), str) else "", validate=True)
        unpacked = zlib.decompressobj().decompress(packed, _MAX_BITMAP)
        encoded = EncodedImage.parse(unpacked, where)
        if encoded.header.channels == 1:
            inside = decode_mask(encoded) != 0
        else:
            colors, _ = decode_colors(encoded)
            inside = colors[..., 3] > 0 if colors.shape[2] == 4 else colors.any(axis=2)
    except (ValueError, zlib.error, DataError) as error:
        what = error.faults[0].what if isinstance(error, DataError) else str(error)
        raise ShapeError(f"a bitmap that can't be read: {what}", "export it again") from None
    origin = points([value.get("origin")])
    left, top = origin[0]
    if len(origin) != 1 or not (np.isfinite(origin).all() and np.abs(origin).max() < 1 << 30):
        raise ShapeError("a bitmap that lies nowhere", "export it again")
    return Mask(inside, round(top), round(left))
