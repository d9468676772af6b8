"""Reads the folders of Pascal VOC, with its 21 classes or those of a ``labelmap.txt``.

    JPEGImages/a.jpg  SegmentationClass/a.png  ImageSets/Segmentation/train.txt, val.txt  labelmap.txt

Masks hold palette indices, 255 at the borders of objects; those of other programs hold colors, which ``labelmap.txt``
names (a line each of ``name:red,green,blue:parts:actions``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sagemaker_semseg.convert import masks
from sagemaker_semseg.convert.annotations import (
    AnnotatedDataset,
    AnnotatedImage,
    LabelMask,
    clean,
    is_background,
)
from sagemaker_semseg.convert.file_readers import inside, read_lines, unusable, walk, with_extension
from sagemaker_semseg.data.images import palette
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.hyperparameters import MAX_CLASSES

CLASSES: Final = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_COLORS: Final[list[masks.Color]] = [(int(red), int(green), int(blue)) for red, green, blue in palette()]
_BORDER: Final = _COLORS[255]
_LAYOUT: Final = "JPEGImages, SegmentationClass and ImageSets/Segmentation are expected"
_SPLITS: Final = {"train": "train", "val": "validation"}


def read(source: Path) -> AnnotatedDataset:
    """Read VOC2012, or a folder above it. Raises ``DataError``."""
    root = _root(source)
    dataset = AnnotatedDataset(CLASSES)
    by_color = {**dict(zip(_COLORS, range(len(CLASSES)), strict=False)), _BORDER: IGNORE}
    by_number: dict[int, int] | None = {**{number: number for number in range(len(CLASSES))}, IGNORE: IGNORE}
    if (root / "labelmap.txt").is_file():
        by_number = None
        dataset.classes, by_color = _labelmap(root / "labelmap.txt")
    used: dict[str, str] = {}
    for name, split, where in _names(root):
        image = inside(root / "JPEGImages", name)
        found = with_extension(image) if image else None
        mask = inside(root / "SegmentationClass", f"{name}.png")
        if name in used:
            dataset.faults.add("bad entry", where, f"{name} is also in {used[name]}", "keep one of the two")
        elif found is None:
            dataset.faults.add("missing image", where, f"there is no JPEGImages/{name}.jpg", "add it, or the line out")
        elif mask is None or not mask.is_file():
            dataset.faults.add("missing mask", where, f"there is no SegmentationClass/{name}.png", "add it")
        else:
            dataset.items.append(AnnotatedImage(name, found, _Mask(mask, by_number, by_color).draw, split=split))
        used.setdefault(name, where)
    return dataset


@dataclass(frozen=True)
class _Mask:
    path: Path
    by_number: Mapping[int, int] | None
    by_color: Mapping[masks.Color, int]

    def draw(self, height: int, width: int) -> LabelMask:
        if self.by_number is not None and not masks.has_colors(self.path):
            return masks.by_number(self.path, self.by_number, "VOC has 21; put a labelmap.txt beside SegmentationClass")
        remedy = "add the colour to labelmap.txt; if there are very many, the mask was scaled or saved as JPEG"
        return masks.by_color(self.path, self.by_color, remedy)


def _root(source: Path) -> Path:
    places = [source, *sorted(source.glob("VOC*")), *sorted(source.glob("VOCdevkit/VOC*"))]
    found = [place for place in places if (place / "SegmentationClass").is_dir()]
    if len(found) == 1 or (found and found[0] == source):
        return found[0]
    if found:
        raise unusable(source, f"holds {', '.join(place.name for place in found)}", "give one of these folders")
    raise unusable(source, "no folder SegmentationClass in it", _LAYOUT)


def _names(root: Path) -> list[tuple[str, str, str]]:
    """Return name, split and place of each entry; the split is "" unless there are both of VOC's lists."""
    folder = root / "ImageSets" / "Segmentation"
    lists = {path.stem: path for path in sorted(folder.glob("*.txt"))} if folder.is_dir() else {}
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
        folder = root / "SegmentationClass"
        names = [
            (path.relative_to(folder).with_suffix("").as_posix(), "", str(path)) for path in walk(folder, (".png",))
        ]
    if not names:
        raise unusable(root, "no images in ImageSets/Segmentation", _LAYOUT)
    return names


def _labelmap(path: Path) -> tuple[tuple[str, ...], dict[masks.Color, int]]:
    """Return the names, background first, and the label of each color."""
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
    return tuple(names), colors
