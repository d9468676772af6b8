"""Reads folders of images and masks in the usual layouts (``data.layouts``), with the classes of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sagemaker_semseg.convert import masks
from sagemaker_semseg.convert.annotations import (
    AnnotatedDataset,
    AnnotatedImage,
    LabelMask,
    Unannotated,
    treat_unannotated,
)
from sagemaker_semseg.convert.class_list import FILES, ClassList, find_class_list
from sagemaker_semseg.convert.file_readers import foreign, unusable
from sagemaker_semseg.data.layouts import LayoutPair, find_layout
from sagemaker_semseg.errors import DataError, printable

_EXAMINED: Final = 50
"""Masks whose numbers a message names."""

_LAYOUTS: Final = "images/a.jpg with masks/a.png, train/images with train/masks, or a_mask.png beside a.jpg are read"


def read(source: Path, class_names: Sequence[str] = (), unannotated: Unannotated = "error") -> AnnotatedDataset:
    """Read a folder of images and masks.

    Args:
        source: The folder.
        class_names: Of the numbers in the masks, from 0 on, where no list is in the folder.
        unannotated: What becomes of images without a mask.

    Raises:
        DataError: There are no images with masks, or nothing says what the numbers in the masks mean.
    """
    layout = find_layout(source)
    pairs = [pair for pair in layout.pairs if pair.split != "test"]
    drawn = [pair.mask for pair in pairs if pair.mask]
    if not drawn:
        raise foreign(source, "no images with masks in it", _LAYOUTS)
    classes = _classes(source, pairs, drawn, class_names)
    dataset = AnnotatedDataset(classes.names)
    if test := len(layout.pairs) - len(pairs):
        dataset.notes.append(f"{test} images for tests are left out")
    for path in layout.masks_alone:
        dataset.faults.add("mask without image", path, "no image of this name", "add the image, or remove it")
    both = {pair.split for pair in pairs} >= {"train", "validation"}
    for pair in pairs:
        missing = "" if pair.mask else "there is no mask of this name"
        draw = _Mask(pair.mask, classes).draw
        dataset.items.append(AnnotatedImage(pair.name, pair.image, draw, None, pair.split if both else "", missing))
    return treat_unannotated(dataset, unannotated)


@dataclass(frozen=True)
class _Mask:
    """The mask of one image; None is background."""

    path: Path | None
    classes: ClassList

    def draw(self, height: int, width: int) -> LabelMask:
        if self.path is None:
            return np.full((height, width), self.classes.background, np.uint8)
        return self.classes.draw(self.path)


def _classes(source: Path, pairs: Sequence[LayoutPair], drawn: Sequence[Path], given: Sequence[str]) -> ClassList:
    folders = {folder for pair in pairs for path in (pair.image, pair.mask) if path for folder in path.parents}
    below = sorted(folder for folder in folders if folder.is_relative_to(source))
    listed = find_class_list([source, *below])
    if listed and given:
        raise unusable(listed.where, "names the classes already", "remove it, or leave out --class-names")
    if listed or given:
        return listed or ClassList.numbered(given, "--class-names")
    numbers, colored = Counter[int](), 0
    for path in drawn[:_EXAMINED]:
        try:
            numbers.update(
                np.unique(masks.by_number(path, dict.fromkeys(range(256), 0) | {n: n for n in range(256)}, "")).tolist()
            )
        except DataError:
            colored += 1
    what = f"nothing says what the masks mean: there is none of {', '.join(FILES)}"
    if numbers:
        what += f"; the masks hold the numbers {', '.join(map(str, sorted(numbers)[:12]))}"
        raise unusable(source, what, "give the names of the numbers from 0 on with --class-names A,B,C")
    what += f"; {colored} masks hold colours" if colored else ""
    raise unusable(source, what, f"put label_colors.txt into {printable(source)}, a line each: red green blue name")
