"""Color maps of SageMaker Ground Truth, and the class names of a data set that they give.

Every line of a manifest has an ``internal-color-map`` of its own, which may omit and renumber classes. What all
maps share is the names of the classes. So a color becomes a class name by the map of its line, and a name a label by
one list of names for the whole data set, in which a class's place is its label.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import FaultList
from sagemaker_semseg.hyperparameters import MAX_CLASSES

if TYPE_CHECKING:
    from sagemaker_semseg.data.samples import ImageMaskPair

_HEX: Final = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")
_KEY: Final = re.compile(r"0|[1-9][0-9]{0,3}")
_WHITE: Final = 0xFFFFFF
_MOST_ENTRIES: Final = 512
_MOST_LETTERS: Final = 256


class ColorMapEntry(NamedTuple):
    """One class of a map. key: its number there. color: 0xRRGGBB."""

    key: int
    name: str
    color: int


@dataclass(frozen=True)
class ColorMap:
    """The map of one line.

    Attributes:
        entries: its classes.
        names: of the data set's classes, from label 0 on; empty until they are known.
    """

    entries: tuple[ColorMapEntry, ...]
    names: tuple[str, ...] = ()

    def with_names(self, names: Sequence[str]) -> ColorMap:
        """The same map for a data set with these class names."""
        return replace(self, names=tuple(names))

    @cached_property
    def labels(self) -> dict[int, int]:
        """Label by color. White stands for a background that the map omits; a background without label is ignored."""
        labels = {entry.color: self._label(entry.name) for entry in self.entries}
        labels.setdefault(_WHITE, self.background)
        return labels

    @cached_property
    def background(self) -> int:
        """The label of unlabelled pixels."""
        return next((label for label, name in enumerate(self.names) if is_background(name)), IGNORE)

    @cached_property
    def keys(self) -> dict[int, int]:
        """Key by color."""
        return {entry.color: entry.key for entry in self.entries}

    def _label(self, name: str) -> int:
        return self.names.index(name) if name in self.names else self.background


def is_background(name: str) -> bool:
    """Whether it is Ground Truth's name for unlabelled pixels."""
    return name.casefold() == "background"


def parse_map(content: object) -> tuple[ColorMap | None, list[str]]:
    """Reads an ``internal-color-map``. Returns None and what is wrong with it if anything is."""
    if not isinstance(content, dict) or not content:
        return None, ['internal-color-map isn\'t an object like {"1": {"class-name": "road", "hex-color": "#2ca02c"}}']
    if len(content) > _MOST_ENTRIES:
        return None, [f"internal-color-map has {len(content)} classes; at most {_MOST_ENTRIES} are read"]
    wrong: list[str] = []
    entries = [entry for key, value in content.items() if (entry := _parse_entry(key, value, wrong))]
    seen: dict[int, ColorMapEntry] = {}
    for entry in entries:
        other = seen.setdefault(entry.color, entry)
        if other.name != entry.name:
            wrong.append(f"{other.name!r} and {entry.name!r} both have the colour #{entry.color:06x}")
    return (None, wrong) if wrong else (ColorMap(tuple(sorted(entries))), [])


def _parse_entry(key: str, value: object, wrong: list[str]) -> ColorMapEntry | None:
    name = value.get("class-name") if isinstance(value, dict) else None
    color = value.get("hex-color") if isinstance(value, dict) else None
    before = len(wrong)
    where = f"internal-color-map[{key[:20]!r}]"
    if not _KEY.fullmatch(key):
        wrong.append(f"{where}: the key is no number")
    if not isinstance(name, str) or not name.strip() or len(name) > _MOST_LETTERS:
        wrong.append(f"{where}: class-name is {_quoted(name)}, a name is expected")
    if not isinstance(color, str) or not _HEX.fullmatch(color):
        wrong.append(f'{where}: hex-color is {_quoted(color)}, a colour like "#2ca02c" is expected')
    if len(wrong) > before:
        return None
    assert isinstance(name, str)
    assert isinstance(color, str)
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    return ColorMapEntry(int(key), name.strip(), int(digits, 16))


def _quoted(value: object) -> str:
    return "missing" if value is None else repr(value)[:40]


def class_list(maps: Iterable[ColorMap]) -> tuple[tuple[str, ...], bool]:
    """The names of all classes in the order of their labels, and whether the keys gave it.

    By key, if every class has one and the same key in all maps and no two classes share one; else by name, since then
    no key means anything beyond its line.
    """
    numbers: dict[str, int] = {}
    agree = True
    for entry in (entry for color_map in maps for entry in color_map.entries):
        agree &= numbers.setdefault(entry.name, entry.key) == entry.key
    agree &= len(set(numbers.values())) == len(numbers)
    return tuple(sorted(numbers, key=lambda name: numbers[name]) if agree else sorted(numbers)), agree


def resolve_class_names(
    pairs: Mapping[str, list[ImageMaskPair]],
    with_label_map: Collection[str],
    num_classes: int,
    given: Sequence[str],
    faults: FaultList,
    notes: Mapping[str, list[str]],
) -> tuple[str, ...]:
    """Makes one list of class names for all color maps, and gives it to each map, in place in the lists of ``pairs``.

    Args:
        pairs: by split.
        with_label_map: splits with a label map, which says what the masks' numbers mean: their colors mean nothing.
        num_classes: ``MAX_CLASSES`` if it isn't known.
        given: the names that the user gave, from label 0 on, or none.
        faults: gets what is wrong.
        notes: by split; gets what is worth knowing.

    Returns:
        The names from label 0 on; ``given`` if there are no color maps.
    """
    for split in pairs:
        if split in with_label_map and any(pair.color_map for pair in pairs[split]):
            pairs[split][:] = [replace(pair, color_map=None) for pair in pairs[split]]
            notes[split].append(f"{split}: there is a label map, so the masks' numbers count, not their colours")
    maps: dict[ColorMap, ImageMaskPair] = {}
    for split in pairs:
        colored = any(pair.color_map for pair in pairs[split])
        for pair in pairs[split]:
            if pair.color_map:
                maps.setdefault(pair.color_map, pair)
            elif colored:
                remedy = "add its metadata, remove the line, or give a label map: then the masks' numbers count"
                faults.add("line without colours", pair.where, "has no internal-color-map, others have one", remedy)
    if not maps:
        return tuple(given)
    names, by_key = class_list(maps)
    if given:
        _check_given_names(given, maps, faults)
        names = tuple(given)
    else:
        order = "by their keys" if by_key else "by name, since the keys of the lines differ"
        listed = ", ".join(f"{label} {name}" for label, name in enumerate(names))
        next(iter(notes.values())).append(f"labels of the classes, {order}: {listed}")
        if len(names) != num_classes and num_classes != MAX_CLASSES:
            what = f"the colour maps name {len(names)} classes ({', '.join(names)}), num_classes is {num_classes}"
            remedy = f"give num_classes {len(names)}, or class names from label 0 on (--class-names)"
            faults.add("number of classes", "internal-color-map", what, remedy)
    named = {color_map: color_map.with_names(names[:num_classes]) for color_map in maps}
    for split in pairs:
        pairs[split][:] = [
            replace(pair, color_map=named[pair.color_map]) if pair.color_map else pair for pair in pairs[split]
        ]
    return names


def _check_given_names(given: Sequence[str], maps: Mapping[ColorMap, ImageMaskPair], faults: FaultList) -> None:
    """A background may be left out: it is ignored then."""
    unknown: dict[str, ImageMaskPair] = {}
    for color_map, pair in maps.items():
        for entry in color_map.entries:
            if entry.name not in given and not is_background(entry.name):
                unknown.setdefault(entry.name, pair)
    for name, pair in unknown.items():
        near = get_close_matches(name, given, n=1)
        remedy = f"write {name!r} instead of {near[0]!r}" if near else "add it to the class names"
        faults.add("unknown class", pair.where, f"the class {name!r} isn't among {', '.join(given)}", remedy)
