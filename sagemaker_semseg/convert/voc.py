"""Reads the folders of Pascal VOC, with the classes that a file in them names, or with VOC's own 21.

    JPEGImages/a.jpg  SegmentationClass/a.png  ImageSets/Segmentation/train.txt, val.txt  labelmap.txt

Masks hold palette indices, 255 at the borders of objects; those of other programs hold colors, which CVAT's
``labelmap.txt`` names (a line each of ``name:red,green,blue:parts:actions``), or numbers, which LabelMe's
``class_names.txt`` names (a name a line, from 0 on). LabelMe also writes SegmentationClassPNG, and arrays that aren't
read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sagemaker_semseg.convert import masks
from sagemaker_semseg.convert.annotations import (
    BACKGROUND,
    AnnotatedDataset,
    AnnotatedImage,
    LabelMask,
    Unannotated,
    clean,
    is_background,
    treat_unannotated,
)
from sagemaker_semseg.convert.file_readers import inside, name_of, read_lines, unusable, walk, with_extension
from sagemaker_semseg.data.channels import EXTENSIONS
from sagemaker_semseg.data.images import palette
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.hyperparameters import MAX_CLASSES

CLASSES: Final = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
NAME_FILES: Final = ("class_names.txt", "labelmap.txt", "labels.txt", "classes.txt")
"""Names of files that name the classes, the first one counts."""

_MASKS: Final = ("SegmentationClass", "SegmentationClassPNG")
_COLORS: Final[list[masks.Color]] = [(int(red), int(green), int(blue)) for red, green, blue in palette()]
_BORDER: Final = _COLORS[255]
_LAYOUT: Final = "JPEGImages, SegmentationClass and ImageSets/Segmentation are expected"
_SPLITS: Final = {"train": "train", "val": "validation"}
_EXAMINED: Final = 50
"""Masks that are checked for VOC's palette and borders where no file names the classes."""


@dataclass(frozen=True)
class _Classes:
    """The names from label 0 on, and the labels of numbers (None: colors alone count) and of colors in masks."""

    names: tuple[str, ...]
    by_number: Mapping[int, int] | None
    by_color: Mapping[masks.Color, int]
    remedy: str

    @classmethod
    def numbered(cls, names: tuple[str, ...], remedy: str) -> _Classes:
        """The classes of the numbers from 0 on; colors are those of VOC's palette."""
        numbers = {**{number: number for number in range(len(names))}, IGNORE: IGNORE}
        return cls(names, numbers, {_COLORS[number]: label for number, label in numbers.items()}, remedy)


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
    classes = _classes(root, source, [mask for *_, mask in found if mask.is_file()], class_names, dataset.notes)
    dataset.classes = classes.names
    for name, split, path, mask in found:
        annotation = _Mask(mask, classes)
        missing = "" if mask.is_file() else f"there is no {mask.relative_to(root)}"
        dataset.items.append(AnnotatedImage(name, path, annotation.draw, split=split, missing=missing))
    return treat_unannotated(dataset, unannotated)


@dataclass(frozen=True)
class _Mask:
    path: Path
    classes: _Classes

    def draw(self, height: int, width: int) -> LabelMask:
        if not self.path.is_file():
            return np.zeros((height, width), np.uint8)
        if self.classes.by_number is not None and not masks.has_colors(self.path):
            return masks.by_number(self.path, self.classes.by_number, self.classes.remedy)
        return masks.by_color(self.path, self.classes.by_color, self.classes.remedy)


def _classes(root: Path, source: Path, files: Sequence[Path], given: Sequence[str], notes: list[str]) -> _Classes:
    places = [folder / name for folder in (root, source) for name in NAME_FILES]
    if listed := next((path for path in places if path.is_file()), None):
        if given:
            raise unusable(listed, "names the classes already", "remove it, or leave out --class-names")
        if listed.name == "labelmap.txt" and any(":" in line for line in read_lines(listed)):
            return _labelmap(listed)
        names = _checked_names(read_lines(listed), listed)
        return _Classes.numbered(names, f"{listed} names the numbers 0 to {len(names) - 1}; add what is missing")
    remedy = f"{len(CLASSES)} classes are Pascal VOC's; if these aren't, put class_names.txt beside SegmentationClass"
    if given and tuple(given) != ("voc",):
        return _Classes.numbered(_checked_names(given, "--class-names"), "give a name for each with --class-names")
    if not given and not _are_voc_s(files, _Classes.numbered(CLASSES, remedy)):
        what = f"nothing says what the numbers in the masks are: there is none of {', '.join(NAME_FILES)}, and palette "
        what += "and borders aren't Pascal VOC's"
        remedy = "give the names from 0 on with --class-names A,B,C, or --class-names voc for VOC's 21"
        raise unusable(root, what, remedy)
    if not given:
        notes.append("classes: Pascal VOC's 21, since palette and borders of the masks are VOC's (--class-names)")
    return _Classes.numbered(CLASSES, remedy)


def _are_voc_s(files: Sequence[Path], classes: _Classes) -> bool:
    """Return whether most masks have the palette, the numbers and the borders of Pascal VOC."""
    fitting = checked = 0
    for path in files[:_EXAMINED]:
        try:
            labels = _Mask(path, classes).draw(0, 0)
            colors = masks.palette_of(path)
        except DataError:  # it is reported when the mask is drawn
            continue
        checked += 1
        known = colors is None or (len(colors) >= 2 and colors[: len(CLASSES)] == _COLORS[: min(21, len(colors))])
        fitting += known and bool((labels == IGNORE).any())
    return fitting > 0 and 2 * fitting >= checked


def _checked_names(lines: Sequence[str], where: Path | str) -> tuple[str, ...]:
    """Return the names of the numbers from 0 on; LabelMe's lists begin with ``__ignore__``, which has none."""
    names = [clean(line) for line in lines if line]
    names = names[1:] if names[:1] == ["__ignore__"] else names
    if names and is_background(names[0]):
        names[0] = BACKGROUND
    if not 2 <= len(names) <= MAX_CLASSES or len({*names}) < len(names):
        what = f"{len(names)} names, from 2 to {MAX_CLASSES} different ones are expected"
        raise unusable(where, what, "give a name for each number in the masks, from 0 on")
    return tuple(names)


def _root(source: Path) -> tuple[Path, Path]:
    """Return the folder with JPEGImages, and the one of the masks in it."""
    places = [source, *sorted(source.glob("VOC*")), *sorted(source.glob("VOCdevkit/VOC*"))]
    found = [place for place in places if any((place / name).is_dir() for name in _MASKS)]
    if not found:
        raise unusable(source, "no folder SegmentationClass in it", _LAYOUT)
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


def _labelmap(path: Path) -> _Classes:
    """Read CVAT's list of colors; the background is label 0."""
    entries: dict[str, masks.Color] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = rest.partition(":")[0].split(",")
        where = f"{path}, line {number}"
        if len(parts) != 3 or not all(part.strip().isdecimal() and int(part[:9]) < 256 for part in parts):
            raise unusable(where, f"{line[:80]}, name:red,green,blue:: is expected", "fix the line")
        red, green, blue = (int(part) for part in parts)
        if clean(name) in entries or (red, green, blue) in entries.values():
            raise unusable(where, "a name or a colour that is in the list already", "give each class one of its own")
        entries[clean(name)] = red, green, blue
    names = sorted(entries, key=lambda name: not is_background(name))
    if not 2 <= len(names) <= MAX_CLASSES:
        raise unusable(path, f"{len(names)} classes, from 2 to {MAX_CLASSES} can be trained", "fix the list")
    colors = {entries[name]: label for label, name in enumerate(names)}
    colors.setdefault(_BORDER, IGNORE)
    remedy = f"add the colour to {path}; if there are very many, the mask was scaled or saved as JPEG"
    return _Classes(tuple(names), None, colors, remedy)
