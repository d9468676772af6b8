"""Reads Label Studio's export "Brush labels to PNG": a mask for each label of each task.

    task-1-annotation-2-by-3-tag-car-0.png        by 3: the user; 0: the number of the region

Which image a task has is in the export as JSON or JSON-MIN alone: a list of {"id": 1, "data": {"image": "..."}}, or of
{"id": 1, "image": "..."}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from sagemaker_semseg.convert.annotations import (
    AnnotatedDataset,
    AnnotatedImage,
    ClassSelection,
    LabelMask,
    Unannotated,
    labels_of,
    treat_unannotated,
)
from sagemaker_semseg.convert.file_readers import find_image, foreign, read_json, show, unusable, walk, whole
from sagemaker_semseg.convert.shapes import Mask, Region, rasterize
from sagemaker_semseg.data.channels import EXTENSIONS
from sagemaker_semseg.data.files import read_file
from sagemaker_semseg.data.images import decode_mask
from sagemaker_semseg.errors import DataError, Fault, printable

_NAME: Final = re.compile(
    r"task-(?P<task>\d{1,18})-annotation-(?P<annotation>\d{1,18})-by-.*?-tag-(?P<label>.+)-\d+\.png"
)
_EXPORTS: Final = 'expected: JSON or JSON-MIN, a list of {"id": 1, "image": "..."}'


def read(
    source: Path, tasks: Path, images: Path, choice: ClassSelection, unannotated: Unannotated = "background"
) -> AnnotatedDataset:
    """Read the masks in a folder.

    Args:
        source: The folder of the masks.
        tasks: The export as JSON or JSON-MIN, which says what image a task has.
        images: The folder of the images.
        choice: The classes; without one they are in alphabetical order.
        unannotated: What becomes of images without a mask.

    Raises:
        DataError: There are no such masks, or ``tasks`` isn't such a list.
    """
    found: dict[int, dict[int, list[tuple[str, Path]]]] = {}
    for path in walk(source, (".png",)):
        if match := _NAME.fullmatch(path.name):
            by_annotation = found.setdefault(int(match["task"]), {})
            by_annotation.setdefault(int(match["annotation"]), []).append((match["label"], path))
    if not found:
        raise foreign(source, "no masks of Label Studio in it", "task-1-annotation-1-by-1-tag-car-0.png is expected")
    dataset = AnnotatedDataset()
    labels = labels_of(sorted({n for t in found.values() for a in t.values() for n, _ in a}), choice, dataset, source)
    used: dict[Path, int] = {}
    for id, name, where in _tasks(tasks, dataset):
        try:
            image = find_image(images, name)
        except DataError as error:
            dataset.faults.extend("missing image", error.faults)
            continue
        if image in used:
            dataset.faults.add("bad entry", where, f"has the image of task {used[image]}", "keep one of the two")
            continue
        used[image] = id
        annotations = found.pop(id, {})
        if len(annotations) > 1:
            listed = ", ".join(map(str, sorted(annotations)))
            dataset.notes.append(f"task {id} has the annotations {listed}; the last one is read")
        drawn = annotations[max(annotations)] if annotations else []
        draw = _Regions(tuple((path, labels[label]) for label, path in drawn), choice).draw
        missing = "" if drawn else f"there is no mask task-{id}-..."
        dataset.items.append(AnnotatedImage(image.stem, image, draw, missing=missing))
    for id in sorted(found):
        what = f"the masks are of task {id}, which isn't in {printable(tasks)}"
        dataset.faults.add("mask without image", source, what, "export masks and JSON of the same tasks")
    return treat_unannotated(dataset, unannotated)


def _tasks(path: Path, dataset: AnnotatedDataset) -> Iterator[tuple[int, str, str]]:
    """Yield id, image and place of each task."""
    content = read_json(path)
    if not isinstance(content, list):
        raise unusable(path, "no tasks of Label Studio", _EXPORTS)
    for number, task in enumerate(content):
        where = f"{printable(path)}, [{number}]"
        id = whole(task.get("id")) if isinstance(task, dict) else None
        names = list(_image_names(task)) if isinstance(task, dict) else []
        if id is None or len(names) != 1:
            what = f"{show(task)}: an id and one image are expected"
            dataset.faults.add("bad entry", where, what, _EXPORTS)
        else:
            yield id, names[0], where


def _image_names(task: Mapping[str, Any]) -> Iterator[str]:
    """Yield the file names in a task's data: of /data/upload/1/a.jpg, s3://bucket/a.jpg, /data/local-files/?d=a.jpg."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    for value in data.values():
        name = unquote(value.partition("?d=")[2] or value.partition("?")[0]) if isinstance(value, str) else ""
        if name.lower().endswith(EXTENSIONS):
            yield name.replace("\\", "/").rpartition("/")[2]


@dataclass(frozen=True)
class _Regions:
    """The masks of one image with their labels."""

    masks: tuple[tuple[Path, int], ...]
    choice: ClassSelection

    def draw(self, height: int, width: int) -> LabelMask:
        regions, faults = [], list[Fault]()
        for path, label in self.masks:
            values = read_file(path, lambda _, encoded: decode_mask(encoded))
            if values.shape != (height, width):
                what = f"{values.shape[1]} x {values.shape[0]} pixels for an image of {width} x {height}"
                faults.append(Fault(printable(path), what, "check whether it belongs to this image"))
                continue
            inside = values > values.max() // 2  # 255 inside; edges that were smoothed count from half on
            regions.append(Region(Mask(inside, 0, 0), label, printable(path)))
        return rasterize(regions, height, width, self.choice.background_label, self.choice.larger_first, faults)
