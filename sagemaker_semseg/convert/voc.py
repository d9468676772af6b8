"""Reads the folders of Pascal VOC, with the classes that a file in them names, or with VOC's own 21.

    JPEGImages/a.jpg  SegmentationClass/a.png  ImageSets/Segmentation/train.txt, val.txt  labelmap.txt

Masks hold palette indices, 255 at the borders of objects; those of other programs hold numbers or colors of classes
that a list beside the folders names (``class_list``). LabelMe also writes SegmentationClassPNG, and arrays that aren't
read.
"""

from __future__ import annotations

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
from sagemaker_semseg.convert.class_list import FILES, VOC_COLORS, ClassList, find_class_list
from sagemaker_semseg.convert.file_readers import foreign, inside, name_of, read_lines, unusable, walk, with_extension
from sagemaker_semseg.data.channels import EXTENSIONS
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import DataError

CLASSES: Final = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_MASKS: Final = ("SegmentationClass", "SegmentationClassPNG")
_LAYOUT: Final = "JPEGImages, SegmentationClass and ImageSets/Segmentation are expected"
_SPLITS: Final = {"train": "train", "val": "validation"}
_EXAMINED: Final = 50
"""Masks that are checked for VOC's palette and borders where no file names the classes."""


def read(source: Path, class_names: Sequence[str] = (), unannotated: Unannotated = "error") -> AnnotatedDataset:
    """Read VOC2012, or a folder above it.

    Args:
        source: The folder.
        class_names: Of the numbers in the masks, from 0 on, where no file names them; ``("voc",)`` for VOC's 21.
        unannotated: What becomes of images without a mask.

    Raises:
        DataError: The folder can't be read, or nothing says what the numbers in its masks are.
    """
    root, folder = _root(source)
    dataset = AnnotatedDataset()
    used: dict[str, str] = {}
    found: list[tuple[str, str, Path, Path]] = []
    for name, split, where in _names(root, folder):
        image = inside(root / "JPEGImages", name)
        path = with_extension(image) if image else None
        mask = inside(folder, f"{name}.png")
        if name in used:
            dataset.faults.add("bad entry", where, f"{name} is also in {used[name]}", "keep one of the two")
        elif path is None:
            dataset.faults.add("missing image", where, f"there is no JPEGImages/{name}.jpg", "add it, or the line out")
        elif mask is not None:
            found.append((name, split, path, mask))
        used.setdefault(name, where)
    classes = _classes([root, source], [mask for *_, mask in found if mask.is_file()], class_names, dataset.notes)
    dataset.classes = classes.names
    for name, split, path, mask in found:
        annotation = _Mask(mask, classes)
        missing = "" if mask.is_file() else f"there is no {mask.relative_to(root)}"
        dataset.items.append(AnnotatedImage(name, path, annotation.draw, split=split, missing=missing))
    return treat_unannotated(dataset, unannotated)


@dataclass(frozen=True)
class _Mask:
    """The mask of one image; without a file it is background."""

    path: Path
    classes: ClassList

    def draw(self, height: int, width: int) -> LabelMask:
        if not self.path.is_file():
            return np.full((height, width), self.classes.background, np.uint8)
        return self.classes.draw(self.path)


def _classes(folders: Sequence[Path], files: Sequence[Path], given: Sequence[str], notes: list[str]) -> ClassList:
    if listed := find_class_list(folders):
        if given:
            raise unusable(listed.where, "names the classes already", "remove it, or leave out --class-names")
        return listed
    if given and tuple(given) != ("voc",):
        return ClassList.numbered(given, "--class-names")
    own = ClassList.numbered(CLASSES, "Pascal VOC's list of classes (is it one? see --class-names)")
    if not given and not _are_voc_s(files, own):
        what = f"nothing says what the numbers in the masks are: there is none of {', '.join(FILES)}, and palette "
        what += "and borders aren't Pascal VOC's"
        remedy = "give the names from 0 on with --class-names A,B,C, or --class-names voc for VOC's 21"
        raise unusable(folders[0], what, remedy)
    if not given:
        notes.append("classes: Pascal VOC's 21, since palette and borders of the masks are VOC's (--class-names)")
    return own


def _are_voc_s(files: Sequence[Path], classes: ClassList) -> bool:
    """Return whether most masks have the palette, the numbers and the borders of Pascal VOC."""
    fitting = checked = 0
    for path in files[:_EXAMINED]:
        try:
            labels, colors = classes.draw(path), masks.palette_of(path)
        except DataError:  # it is reported when the mask is drawn
            continue
        checked += 1
        known = colors is None or (len(colors) >= 2 and colors[: len(CLASSES)] == VOC_COLORS[: min(21, len(colors))])
        fitting += known and bool((labels == IGNORE).any())
    return fitting > 0 and 2 * fitting >= checked


def _root(source: Path) -> tuple[Path, Path]:
    """Return the folder with JPEGImages, and the one of the masks in it."""
    places = [source, *sorted(source.glob("VOC*")), *sorted(source.glob("VOCdevkit/VOC*"))]
    found = [place for place in places if any((place / name).is_dir() for name in _MASKS)]
    if not found:
        raise foreign(source, "no folder SegmentationClass in it", _LAYOUT, "Pascal VOC's folders")
    if len(found) > 1 and found[0] != source:
        raise unusable(source, f"holds {', '.join(place.name for place in found)}", "give one of these folders")
    folders = [found[0] / name for name in _MASKS if (found[0] / name).is_dir()]
    return found[0], next((folder for folder in folders if next(walk(folder, (".png",)), None)), folders[0])


def _names(root: Path, folder: Path) -> list[tuple[str, str, str]]:
    """Return name, split and place of each entry; the split is "" unless there are both of VOC's lists.

    Without lists, all images and masks count.
    """
    lists_in = root / "ImageSets" / "Segmentation"
    lists = {path.stem: path for path in sorted(lists_in.glob("*.txt"))} if lists_in.is_dir() else {}
    if all(name in lists for name in _SPLITS):
        chosen = [(lists[name], split) for name, split in _SPLITS.items()]
    else:
        chosen = [(path, "") for name, path in lists.items() if name != "test"]
    names = []
    for path, split in chosen:
        for number, line in enumerate(read_lines(path), start=1):
            if line:
                names.append((line, split, f"{path}, line {number}"))
    if not chosen:
        images = root / "JPEGImages"
        found = {name_of(path, images): path for path in (walk(images, EXTENSIONS) if images.is_dir() else ())}
        found |= {name_of(path, folder): path for path in walk(folder, (".png",))}
        names = [(name, "", str(path)) for name, path in sorted(found.items())]
    if not names:
        raise unusable(root, "no images in ImageSets/Segmentation", _LAYOUT)
    return names
