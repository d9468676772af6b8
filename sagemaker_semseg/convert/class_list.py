"""Reads lists of classes: the file beside a data set's masks that says what their numbers or colors mean.

labelmap.txt              CVAT, Pascal VOC:     car:48,112,32::         colors; numbers mean nothing
label_colors.txt          CVAT, CamVid:         48 112 32 car           colors, and numbers in the order of the lines
class_dict.csv            CamVid on Kaggle:     car,48,112,32           likewise
_classes.csv              Roboflow:             1, car                  numbers
obj_class_to_machine_color.json                 {"car": [1, 1, 1]}      numbers of Supervisely's masks
class_names.txt, labels.txt, classes.txt        car                     numbers in the order of the lines, from 0 on
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sagemaker_semseg.convert import masks
from sagemaker_semseg.convert.annotations import BACKGROUND, LabelMask, clean, is_background
from sagemaker_semseg.convert.file_readers import MAX_TEXT_BYTES, read_json, read_lines, show, unusable, whole
from sagemaker_semseg.data.images import palette
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import printable
from sagemaker_semseg.hyperparameters import MAX_CLASSES

FILES: Final = (
    *("labelmap.txt", "label_colors.txt", "class_names.txt", "labels.txt", "classes.txt"),
    *("class_dict.csv", "_classes.csv", "obj_class_to_machine_color.json"),
)
"""Names of lists; of several, the first one counts."""

VOC_COLORS: Final[list[masks.Color]] = [(int(red), int(green), int(blue)) for red, green, blue in palette()]

_COLORS_ALONE: Final = "name:red,green,blue::"
_LONGEST: Final = 300
"""Letters of a line: of longer ones the patterns would take too long."""
_NAME: Final = "a name without , and :"
_GAP: Final = r"[ \t]*[ \t,][ \t]*"
_COLOR: Final = rf"(?P<r>\d{{1,3}}){_GAP}(?P<g>\d{{1,3}}){_GAP}(?P<b>\d{{1,3}})"
_FORMS: Final = {
    form: re.compile(pattern, re.ASCII)
    for form, pattern in {
        _COLORS_ALONE: rf"(?P<name>[^:]+):{_COLOR}(:.*)?",
        "red green blue name": rf"{_COLOR}{_GAP}(?P<name>.*\S)",
        "name,red,green,blue": rf"(?P<name>.*?\S){_GAP}{_COLOR}",
        "number, name": r"(?P<number>\d{1,3})[ \t]*[,:][ \t]*(?P<name>.*\S)",
        _NAME: r"(?P<name>[^:,]*)",
    }.items()
}
_HEADER: Final = re.compile(r"#.*|pixel value *,.*|name *, *r *, *g *, *b", re.IGNORECASE)


@dataclass(frozen=True)
class ClassList:
    """What the numbers or colors in masks mean.

    Attributes:
        names: From label 0 on.
        by_number: Labels of numbers; None where only colors mean something.
        by_color: Labels of colors; None where none are known.
        where: Names the list in messages.
        of_palettes: Whether the colors of a palette count, and not its numbers.
    """

    names: tuple[str, ...]
    by_number: Mapping[int, int] | None
    by_color: Mapping[masks.Color, int] | None
    where: str
    of_palettes: bool = True

    @classmethod
    def numbered(cls, lines: Iterable[str], where: Path | str) -> ClassList:
        """Name the numbers from 0 on; colors are those of Pascal VOC's palette.

        A first name ``__ignore__``, which has no number in LabelMe's lists, is left out.
        """
        names = [clean(line) for line in lines if line]
        names = names[1:] if names[:1] == ["__ignore__"] else names
        names = _checked(names, where)
        labels = {**{number: number for number in range(len(names))}, IGNORE: IGNORE}
        colors = {VOC_COLORS[number]: label for number, label in labels.items()}
        return cls(tuple(names), labels, colors, printable(where), of_palettes=False)

    @property
    def background(self) -> int:
        """The label of the background, or "ignore" where no class is that."""
        return next((label for label, name in enumerate(self.names) if is_background(name)), IGNORE)

    def draw(self, path: Path) -> LabelMask:
        """Read a mask. Raises ``DataError`` for one with numbers or colors that aren't in the list."""
        colors = masks.palette_of(path)
        has_colors = colors is None or (bool(colors) and self.of_palettes)
        if self.by_number is None or (has_colors and self.by_color is not None):
            remedy = f"add it to {self.where}; if there are very many, the mask was scaled or saved as JPEG"
            return masks.by_color(path, self.by_color or {}, remedy)
        return masks.by_number(path, self.by_number, f"{self.where} names {_span(self.by_number)}; add what is missing")


def _span(numbers: Iterable[int]) -> str:
    listed = sorted(number for number in numbers if number != IGNORE)
    return f"the numbers {listed[0]} to {listed[-1]}"


def find_class_list(folders: Sequence[Path]) -> ClassList | None:
    """Read the first list that there is in one of the folders. Raises ``DataError`` for a bad one."""
    places = [folder / name for folder in folders for name in FILES]
    found = next((path for path in places if path.is_file()), None)
    return read_class_list(found) if found else None


def read_class_list(path: Path) -> ClassList:
    """Read a list; the form of its first line is that of all. Raises ``DataError``."""
    if path.suffix == ".json":
        return _machine_colors(path)
    lines = [(number, line) for number, line in enumerate(read_lines(path), start=1) if line]
    lines = [(number, line) for number, line in lines if not _HEADER.fullmatch(line)]
    first = lines[0][1] if lines and len(lines[0][1]) <= _LONGEST else ""
    form = next((form for form, pattern in _FORMS.items() if pattern.fullmatch(first)), _NAME)
    pattern = _FORMS[form]
    found = []
    for number, line in lines:
        match = pattern.fullmatch(line) if len(line) <= _LONGEST else None
        if match is None or any(
            int(match[part]) > 255 for part in ("r", "g", "b", "number") if part in pattern.groupindex
        ):
            raise unusable(f"{path}, line {number}", f"{line[:80]}, {form} is expected", "fix the line")
        found.append(match)
    if form == _NAME:
        return ClassList.numbered([match["name"] for match in found], path)
    if form == "number, name":
        by_number = {int(match["number"]): clean(match["name"]) for match in found}
        checked = _checked([name for _, name in sorted(by_number.items())], path, len(found) - len(by_number))
        labels = {number: label for label, number in enumerate(sorted(by_number))}
        return ClassList(tuple(checked), {**labels, IGNORE: labels.get(IGNORE, IGNORE)}, None, printable(path), False)
    colors = [(int(match["r"]), int(match["g"]), int(match["b"])) for match in found]
    entries = list(zip([clean(match["name"]) for match in found], colors, strict=True))
    if form == _COLORS_ALONE:
        entries.sort(key=lambda entry: not is_background(entry[0]))
    twice = len(colors) - len(set(colors))
    names = _checked([name for name, _ in entries], path, twice if form == _COLORS_ALONE else 0)
    by_color = {color: label for label, (_, color) in enumerate(entries)}
    by_color.setdefault(VOC_COLORS[IGNORE], IGNORE)
    numbers = None if form == _COLORS_ALONE else {**dict(enumerate(range(len(names)))), IGNORE: IGNORE}
    return ClassList(tuple(names), numbers, None if twice else by_color, printable(path))


def _machine_colors(path: Path) -> ClassList:
    """Read the numbers of Supervisely's masks_machine, three times each; 0 is the background."""
    content = read_json(path, MAX_TEXT_BYTES)
    numbers = {0: BACKGROUND}
    for name, color in content.items() if isinstance(content, dict) else ():
        number = whole(color[0]) if isinstance(color, list) and color else None
        if number is None or not 0 < number < IGNORE or color != [color[0]] * 3 or number in numbers:
            raise unusable(path, f"{show(name)}: {show(color)}, a number of its own three times is expected", "fix it")
        numbers[number] = clean(name)
    names = _checked([name for _, name in sorted(numbers.items())], path)
    labels = {**{number: label for label, number in enumerate(sorted(numbers))}, IGNORE: IGNORE}
    colors = {(number, number, number): label for number, label in labels.items()}
    return ClassList(tuple(names), labels, colors, printable(path), of_palettes=False)


def _checked(names: list[str], where: Path | str, twice: int = 0) -> list[str]:
    """Return the names, LabelMe's ``_background_`` as background. twice: numbers or colors that two names have."""
    if names and is_background(names[0]):
        names = [BACKGROUND, *names[1:]]
    if twice or len({*names}) < len(names):
        raise unusable(where, "a name, a number or a colour that two lines have", "give each class one of its own")
    if not 2 <= len(names) <= MAX_CLASSES:
        what = f"{len(names)} classes, from 2 to {MAX_CLASSES} can be trained"
        raise unusable(where, what, "name each class in it, one a line")
    return names
