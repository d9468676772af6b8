"""Reads YOLO's polygons: ``data.yaml``, images, and a text file for each image.

    images/train/a.jpg    labels/train/a.txt:  CLASS x1 y1 x2 y2 x3 y3 ...    in shares of width and height

``data.yaml`` names the classes and the places of the images of ``train`` and ``val``; a folder with ``images``,
``labels`` and ``classes.txt`` is possible too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sagemaker_semseg.convert.annotations import (
    AnnotatedDataset,
    AnnotatedImage,
    ClassSelection,
    LabelMask,
    Unannotated,
    labels_of,
    treat_unannotated,
)
from sagemaker_semseg.convert.file_readers import (
    foreign,
    inside,
    name_of,
    read_lines,
    read_yaml,
    show,
    unusable,
    walk,
    whole,
)
from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.convert.shapes import Boxes, Points, Polygon, Region, box, box_region, rasterize
from sagemaker_semseg.data.channels import EXTENSIONS
from sagemaker_semseg.errors import Fault, printable

_OTHER_IMAGES: Final = (".bmp", ".webp", ".tif", ".tiff", ".gif", ".heic", ".avif")
_SPLITS: Final = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation"}
_MARGIN: Final = 0.05  # by which outlines may reach out of the image
_WHERE: Final = "give data.yaml, or a folder with images, labels and classes.txt"


def read(
    source: Path, choice: ClassSelection, boxes: Boxes = "error", unannotated: Unannotated = "background"
) -> AnnotatedDataset:
    """Read ``data.yaml``, or the folder of the data set. Raises ``DataError``."""
    dataset = AnnotatedDataset()
    root, names, places = _settings(source)
    labels = labels_of(names.values(), choice, dataset, source)
    by_number = {number: labels[name] for number, name in names.items()}
    expected: set[Path] = set()
    for image, name, split in _images(root, places, dataset):
        text = _label_file(image)
        if text in expected:
            dataset.faults.add(
                "bad entry", image, f"{printable(text)} belongs to another image, too", "keep one of them"
            )
            continue
        expected.add(text)
        there = text.is_file()
        annotations = _Annotations(text if there else None, by_number, choice, boxes)
        dataset.items.append(
            AnnotatedImage(
                name, image, annotations.draw, split=split, missing="" if there else f"there is no {printable(text)}"
            )
        )
    for folder in sorted({text.parent for text in expected if text.parent.is_dir()}):
        for text in sorted(folder.glob("*.txt")):
            if text not in expected and text.name != "classes.txt" and folder.name != root.name:
                dataset.faults.add("labels without image", text, "has no image", "add the image, or remove it")
    return treat_unannotated(dataset, unannotated)


def _settings(source: Path) -> tuple[Path, dict[int, str], list[tuple[str, str]]]:
    """Return the data set's folder, the names of the classes by number, and places of images with their splits."""
    if source.is_dir():
        found = sorted([*source.glob("*.yaml"), *source.glob("*.yml")])
        if len(found) > 1:
            raise unusable(source, f"holds {', '.join(path.name for path in found)}", "give one of these files")
        if not found:
            return source, _names_of_file(source), [("images", "")]
        source = found[0]
    content = read_yaml(source)
    if not isinstance(content, dict):
        raise unusable(source, "no settings: names, train and val are expected", _WHERE)
    root = source.parent
    named = content.get("path")
    base = inside(root, named) if isinstance(named, str) else None
    if base is not None and base.is_dir():
        root = base
    keys = {key: split for key, split in _SPLITS.items() if content.get(key)}
    both = len(set(keys.values())) == 2
    places = []
    for key, split in keys.items():
        values = content[key] if isinstance(content[key], list) else [content[key]]
        for value in values:
            if not isinstance(value, str):
                raise unusable(source, f"{key}: {show(value)}, the path of a folder is expected", _WHERE)
            places.append((value, split if both else ""))
    if not places:
        raise unusable(source, "neither train nor val gives the place of the images", _WHERE)
    return root, _names(content.get("names"), source), places


def _names(value: object, source: Path) -> dict[int, str]:
    entries = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(entries, dict) or not entries:
        raise unusable(source, "names: a list of the classes is expected", _WHERE)
    names: dict[int, str] = {}
    for number, name in entries.items():
        label = whole(number)
        if label is None or label < 0 or not isinstance(name, str | int | float | bool):
            what = f"names: {show(number)}: {show(name)}, a number and a name are expected"
            raise unusable(source, what, "put quotes around the name")
        names[label] = str(name)
    return dict(sorted(names.items()))


def _names_of_file(folder: Path) -> dict[int, str]:
    for path in (folder / "classes.txt", folder / "labels" / "classes.txt"):
        if path.is_file():
            return dict(enumerate(line for line in read_lines(path) if line))
    raise foreign(folder, "neither data.yaml nor classes.txt names the classes", _WHERE, "YOLO")


def _images(root: Path, places: list[tuple[str, str]], dataset: AnnotatedDataset) -> Iterator[tuple[Path, str, str]]:
    """Yield file, name and split of every image; those that can't be used become faults."""
    for place, split in places:
        path = _place(root, place)
        if path is None:
            what = f"{show(place)} is no folder below {root}"
            dataset.faults.add("missing folder", root, what, "fix path, train and val in data.yaml")
        elif path.is_dir():
            for image in walk(path, (*EXTENSIONS, *_OTHER_IMAGES)):
                if image.suffix.lower() in EXTENSIONS:
                    yield image, name_of(image, path), split
                else:
                    what = f"an image of the kind {image.suffix}, JPEG and PNG can be read"
                    dataset.faults.add("other image", image, what, "convert it to PNG")
        else:
            yield from _listed(root, path, split, dataset)


def _listed(root: Path, path: Path, split: str, dataset: AnnotatedDataset) -> Iterator[tuple[Path, str, str]]:
    for number, line in enumerate(read_lines(path), start=1):
        image = inside(root, line) if line else None
        if image and os.path.isfile(image):
            yield image, name_of(image, root), split
        elif line:
            what = f"{show(line)}: there is no such image below {root}"
            dataset.faults.add("missing image", f"{path}, line {number}", what, "fix the path")


def _place(root: Path, place: str) -> Path | None:
    """Find a place below the data set's folder; some programs write ``../train/images`` for ``train/images``."""
    for candidate in (place, place.removeprefix("../")):
        path = inside(root, candidate)
        if path and os.path.exists(path):
            return path
    return None


def _label_file(image: Path) -> Path:
    """Replace the last folder ``images`` of a path by ``labels``."""
    parts = list(image.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


@dataclass(frozen=True)
class _Annotations:
    """The text file of one image, read when the mask is drawn; None where there is none."""

    labels: Path | None
    by_number: Mapping[int, int]
    choice: ClassSelection
    boxes: Boxes

    def draw(self, height: int, width: int) -> LabelMask:
        faults: list[Fault] = []
        regions = []
        for number, line in enumerate(read_lines(self.labels) if self.labels else [], start=1):
            where = f"{printable(self.labels or '')}, line {number}"
            try:
                if line:
                    regions.append(self._region(line, where))
            except ShapeError as error:
                faults.append(Fault(where, error.what, error.remedy))
        return rasterize(regions, height, width, self.choice.background_label, self.choice.larger_first, faults)

    def _region(self, line: str, where: str) -> Region:
        try:
            first, *rest = (float(word) for word in line.split())
        except ValueError:
            raise ShapeError(f"{show(line)}, numbers are expected", "export the labels again") from None
        number = whole(first)
        if number is None or number not in self.by_number:
            remedy = f"there are {len(self.by_number)} names"
            raise ShapeError(f"class {line.split()[0][:20]} has no name in the settings", remedy)
        label = self.by_number[number]
        if len(rest) == 4:
            return box_region(_box(rest), label, where, self.boxes)
        if len(rest) < 6 or len(rest) % 2:
            raise ShapeError(f"{len(rest)} numbers after the class, x and y of three points or more are expected")
        return Region(Polygon((_checked(np.array(rest).reshape(-1, 2)),), fractions=True), label, where)


def _box(numbers: list[float]) -> Polygon:
    x, y, width, height = numbers
    corners = box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Polygon((_checked(corners),), fractions=True)


def _checked(corners: Points) -> Points:
    if not (np.abs(corners - 0.5) <= 0.5 + _MARGIN).all():
        what = "a coordinate that is not between 0 and 1"
        raise ShapeError(what, "coordinates are shares of width and height, not pixels")
    return corners
