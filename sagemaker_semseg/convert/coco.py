"""Reads COCO: a JSON file of instances and the folder of its images.

    {"images": [{"id", "file_name", "height", "width"}], "categories": [{"id", "name"}],
     "annotations": [{"id", "image_id", "category_id", "segmentation", "iscrowd", "bbox"}]}

A segmentation is a list of polygons, or run lengths, compressed or not (https://cocodataset.org/#format-data). Tools
differ from COCO: they write ids as text (VIA), a polygon without the list around it (VIA), a category that is only the
name of the project (Roboflow), and ``iscrowd`` for every area that was painted (CVAT and others).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sagemaker_semseg.convert.annotations import (
    AnnotatedDataset,
    AnnotatedImage,
    ClassSelection,
    LabelMask,
    Size,
    Unannotated,
    labels_of,
    treat_unannotated,
)
from sagemaker_semseg.convert.file_readers import find_image, foreign, name_of, points, read_json, show, unusable, whole
from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.convert.shapes import RLE, Boxes, Polygon, Region, Shape, box, box_region, rasterize
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import DataError, Fault, printable

Crowds = Literal["auto", "ignore", "label"]
Id = int | str

_LISTS: Final = ("images", "annotations", "categories")
_MOST_CROWDS: Final = 0.5
"""Of all areas; where there are more, ``iscrowd`` says how an area was drawn, not that it is a crowd."""


@dataclass(frozen=True)
class CocoReader:
    """One JSON file. images: the folder of the file names in it. split: as in ``AnnotatedImage``."""

    annotations: Path
    images: Path
    split: str = ""


@dataclass(frozen=True)
class CrowdPolicy:
    """How crowds and boxes are read.

    Attributes:
        crowds: Areas with ``iscrowd`` are ignored, or get the label of their class, or ("auto") get it where all areas
            of their class, or most of all areas, are crowds.
        boxes: An annotation with a box but no outline is an error, or the box is ignored, or filled.
    """

    crowds: Crowds = "auto"
    boxes: Boxes = "error"


def read(
    sources: Sequence[CocoReader],
    choice: ClassSelection,
    policy: CrowdPolicy = CrowdPolicy(),
    unannotated: Unannotated = "background",
) -> AnnotatedDataset:
    """Read one or more files; classes are identified by name, so that the ids of two files may differ.

    Raises ``DataError`` if a file is no such JSON; what is wrong with single entries is in the faults, or is raised
    when a mask is drawn.
    """
    dataset = AnnotatedDataset()
    files = [_File(source, dataset) for source in sources]
    names = dict.fromkeys(name for file in files for name in file.names.values())
    crowds, areas = Counter[str](), Counter[str]()
    for file in files:
        file.count(crowds, areas)
    unused = {name for file in files for name in file.groups} - areas.keys() - {*choice.only, *choice.ignored}
    for name in sorted(unused):
        dataset.notes.append(f"category {name} is left out: it has no annotations, and is the supercategory of others")
    labels = labels_of([name for name in names if name not in unused], choice, dataset, sources[0].annotations)
    ignored = _ignored_crowds(crowds, areas, policy.crowds, dataset.notes)
    for file in files:
        by_id = {id: labels[name] for id, name in file.names.items() if name in labels}
        dataset.items += file.items(by_id, choice, policy, {id for id, name in file.names.items() if name in ignored})
    return treat_unannotated(dataset, unannotated)


def _ignored_crowds(crowds: Counter[str], areas: Counter[str], policy: Crowds, notes: list[str]) -> Set[str]:
    """Return the names of the classes whose crowds are ignored, and note what becomes of the others.

    Args:
        crowds: Areas with ``iscrowd`` by class.
        areas: All areas by class.
        policy: As in ``CrowdPolicy``.
        notes: Gets a sentence for what is ignored, and for what "auto" labels.
    """
    total = crowds.total()
    painted = set(crowds) if total > _MOST_CROWDS * areas.total() else {n for n in crowds if crowds[n] == areas[n]}
    labeled = {"ignore": set[str](), "label": set(crowds), "auto": painted}[policy]
    if policy == "auto" and labeled:
        count, listed = sum(crowds[name] for name in labeled), ", ".join(sorted(labeled)[:8])
        what = "as tools write what was painted" if len(labeled) == len(crowds) else "all that these classes have"
        notes.append(f"{count} areas with iscrowd, {what}, get their class ({listed}); --crowds ignore makes them 255")
    if ignored := crowds.keys() - labeled:
        count, listed = sum(crowds[name] for name in ignored), ", ".join(sorted(ignored)[:8])
        notes.append(f"{count} of {areas.total()} areas have iscrowd and become 255 ({listed}); see --crowds label")
    return ignored


class _File:
    """The content of one JSON file.

    Attributes:
        names: Of the categories, by id, in the order of the ids.
        groups: Names of categories that are the supercategory of others.
    """

    def __init__(self, source: CocoReader, dataset: AnnotatedDataset):
        self._source, self._dataset = source, dataset
        self._where = printable(source.annotations)
        content = read_json(source.annotations)
        if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in _LISTS):
            what = f"no JSON of COCO: an object with the lists {', '.join(_LISTS)} is expected"
            raise foreign(
                source.annotations, what, "export the data set as COCO instances (not as results or captions)", "COCO"
            )
        names: dict[Id, str] = {}
        self.groups: set[str] = set()
        for number, category in self._entries(content, "categories"):
            id, name, above = _id(category.get("id")), category.get("name"), category.get("supercategory")
            if id is None or not isinstance(name, str) or not name or id in names:
                self._fault("categories", number, "an id of its own and a name are expected")
                continue
            names[id] = name
            if isinstance(above, str) and above != name:
                self.groups.add(above)
        self.names = {id: names[id] for id in sorted(names, key=lambda id: (isinstance(id, str), id))}
        self.groups &= {*names.values()}
        self._images = list(self._entries(content, "images"))
        self._annotations: dict[Id, list[dict[str, Any]]] = {}
        self._group(content)

    def count(self, crowds: Counter[str], areas: Counter[str]) -> None:
        """Count the annotations of each class, and those that are crowds."""
        for annotation in (annotation for several in self._annotations.values() for annotation in several):
            id = _id(annotation.get("category_id"))
            if id is not None and id in self.names:
                areas[self.names[id]] += 1
                if _is_crowd(annotation):
                    crowds[self.names[id]] += 1

    def _group(self, content: dict[str, Any]) -> None:
        """Group the annotations by image; those of no image are faults."""
        ids = {id for _, image in self._images if (id := _id(image.get("id"))) is not None}
        for number, annotation in self._entries(content, "annotations"):
            image = _id(annotation.get("image_id"))
            if "segments_info" in annotation:
                remedy = "give the file of instances instead, as instances_val2017.json"
                raise unusable(self._where, "panoptic annotations, instances are expected", remedy)
            if image is None or image not in ids:
                what = f"image_id {show(annotation.get('image_id'))} is that of no image"
                self._fault("annotations", number, what, annotation)
            else:
                self._annotations.setdefault(image, []).append(annotation)

    def items(
        self, labels: Mapping[Id, int], choice: ClassSelection, policy: CrowdPolicy, ignored_crowds: Set[Id]
    ) -> Iterator[AnnotatedImage]:
        seen: set[Id] = set()
        used: dict[Path, str] = {}
        for number, image in self._images:
            id, name = _id(image.get("id")), image.get("file_name")
            if id is None or id in seen or not isinstance(name, str):
                self._fault("images", number, "an id of its own and a file_name are expected", image)
                continue
            seen.add(id)
            size: Size | None = None
            if image.get("height") is not None or image.get("width") is not None:
                height, width = whole(image.get("height")), whole(image.get("width"))
                if not height or not width or min(height, width) < 1:
                    self._fault("images", number, "height and width are no whole numbers above 0", image)
                    continue
                size = height, width
            try:
                path = find_image(self._source.images, name)
            except DataError as error:
                self._dataset.faults.extend("missing image", error.faults)
                continue
            if path in used:
                self._fault("images", number, f"has the image of {used[path]}, {name}", image)
                continue
            used[path] = f"image {id}"
            found = self._annotations.get(id, [])
            annotations = _Annotations(found, self._where, labels, choice, policy.boxes, ignored_crowds)
            name = name_of(path, self._source.images)
            missing = "" if found else "there is no annotation of it"
            yield AnnotatedImage(name, path, annotations.draw, size, self._source.split, missing)

    def _entries(self, content: dict[str, Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, entry in enumerate(content[name]):
            if isinstance(entry, dict):
                yield number, entry
            else:
                self._fault(name, number, f"an object is expected, not {show(entry)}")

    def _fault(self, name: str, number: int, what: str, entry: Mapping[str, Any] | None = None) -> None:
        id = f" (id {show(entry['id'])})" if entry and "id" in entry else ""
        remedy = "fix the entry, or leave it out"
        self._dataset.faults.add("bad entry", f"{self._where}, {name}[{number}]{id}", what, remedy)


@dataclass(frozen=True, eq=False)
class _Annotations:
    """The annotations of one image, read when its mask is drawn: as regions they would take much memory."""

    annotations: list[dict[str, Any]]
    where: str
    labels: Mapping[Id, int]
    choice: ClassSelection
    boxes: Boxes
    ignored_crowds: Set[Id]

    def draw(self, height: int, width: int) -> LabelMask:
        faults: list[Fault] = []
        regions = []
        for annotation in self.annotations:
            where = f"{self.where}, annotation {show(annotation.get('id'))}"
            try:
                regions.append(self._region(annotation, where))
            except ShapeError as error:
                faults.append(Fault(where, error.what, error.remedy))
        return rasterize(regions, height, width, self.choice.background_label, self.choice.larger_first, faults)

    def _region(self, annotation: dict[str, Any], where: str) -> Region:
        category = _id(annotation.get("category_id"))
        if category is None or category not in self.labels:
            what = f"category_id {show(annotation.get('category_id'))} is that of no category"
            raise ShapeError(what, "add the category, or remove the annotation")
        label = self.labels[category]
        segmentation = annotation.get("segmentation")
        if not segmentation and annotation.get("bbox") is not None:
            return box_region(_box(annotation["bbox"]), label, where, self.boxes)
        shape = _shape(segmentation)
        if _is_crowd(annotation) and category in self.ignored_crowds:
            return Region(shape, IGNORE, where, below=True)
        return Region(shape, label, where)


def _id(value: object) -> Id | None:
    """Return an id, an integer where it is one; COCO's are numbers, some tools write text."""
    number = whole(value)
    return number if number is not None else value if isinstance(value, str) and value else None


def _is_crowd(annotation: Mapping[str, Any]) -> bool:
    return bool(annotation.get("segmentation")) and annotation.get("iscrowd") in (1, True, "1")


def _box(value: object) -> Polygon:
    numbers = points(value)
    if len(numbers) != 2:
        raise ShapeError(f"bbox {show(value)}, four numbers are expected", "export the annotation again")
    (left, top), (width, height) = numbers
    return Polygon((box(left, top, left + width, top + height),))


def _shape(segmentation: object) -> Shape:
    if isinstance(segmentation, list) and segmentation:
        if not any(isinstance(part, list) for part in segmentation):
            segmentation = [segmentation]  # one polygon, without the list of them
        return Polygon(tuple(points(part) for part in segmentation))
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), segmentation.get("size")
        if isinstance(counts, str | list) and isinstance(size, list) and len(size) == 2:
            height, width = whole(size[0]), whole(size[1])
            if height is not None and width is not None:
                return RLE(counts, (height, width))
    raise ShapeError("no segmentation: polygons or run lengths are expected", "outline the object, or remove the entry")
