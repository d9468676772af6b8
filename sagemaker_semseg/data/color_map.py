"""Masks of SageMaker Ground Truth: the colours of each line's ``internal-color-map`` come in, labels go out.

Every line of a manifest has a map of its own, which may omit classes and number them anew; what all maps share is the
names of the classes. So a colour becomes a class's name by the map of its line, and a name a label by the one list of
names for the whole set (``class_list``). ``manifest`` reads the maps, ``classes`` makes the list, ``coloured`` reads
masks with both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

from sagemaker_semseg.data.labels import IGNORE

_HEX: Final = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")
_KEY: Final = re.compile(r"0|[1-9][0-9]{0,3}")
_WHITE: Final = 0xFFFFFF
_MOST_ENTRIES: Final = 512
_MOST_LETTERS: Final = 256


class Entry(NamedTuple):
    """One class of a map. key: its number there. colour: 0xRRGGBB."""

    key: int
    name: str
    colour: int


@dataclass(frozen=True)
class Colours:
    """The map of one line, and the list of the set's classes once that is known: a class's place in it is its label."""

    entries: tuple[Entry, ...]
    names: tuple[str, ...] = ()

    def under(self, names: Sequence[str]) -> Colours:
        return replace(self, names=tuple(names))

    @cached_property
    def labels(self) -> dict[int, int]:
        """Label by colour. White stands for a background that the map omits; a background without label is ignored."""
        labels = {entry.colour: self._label(entry.name) for entry in self.entries}
        labels.setdefault(_WHITE, self.background)
        return labels

    @cached_property
    def background(self) -> int:
        """The label of what nobody has labelled."""
        return next((label for label, name in enumerate(self.names) if is_background(name)), IGNORE)

    @cached_property
    def keys(self) -> dict[int, int]:
        """Key by colour."""
        return {entry.colour: entry.key for entry in self.entries}

    def _label(self, name: str) -> int:
        return self.names.index(name) if name in self.names else self.background


def is_background(name: str) -> bool:
    """Whether it is Ground Truth's name for what nobody has labelled."""
    return name.casefold() == "background"


def parse_map(content: object) -> tuple[Colours | None, list[str]]:
    """Reads an ``internal-color-map``. Returns None and what is wrong with it if anything is."""
    if not isinstance(content, dict) or not content:
        return None, ['internal-color-map isn\'t an object like {"1": {"class-name": "road", "hex-color": "#2ca02c"}}']
    if len(content) > _MOST_ENTRIES:
        return None, [f"internal-color-map has {len(content)} classes; at most {_MOST_ENTRIES} are read"]
    wrong: list[str] = []
    entries: list[Entry] = []
    for key, value in content.items():
        entry = _entry(key, value, wrong)
        if entry:
            entries.append(entry)
    seen: dict[int, Entry] = {}
    for entry in entries:
        other = seen.setdefault(entry.colour, entry)
        if other.name != entry.name:
            wrong.append(f"{other.name!r} and {entry.name!r} both have the colour #{entry.colour:06x}")
    return (None, wrong) if wrong else (Colours(tuple(sorted(entries))), [])


def _entry(key: str, value: object, wrong: list[str]) -> Entry | None:
    name = value.get("class-name") if isinstance(value, dict) else None
    colour = value.get("hex-color") if isinstance(value, dict) else None
    before = len(wrong)
    where = f"internal-color-map[{key[:20]!r}]"
    if not _KEY.fullmatch(key):
        wrong.append(f"{where}: the key is no number")
    if not isinstance(name, str) or not name.strip() or len(name) > _MOST_LETTERS:
        wrong.append(f"{where}: class-name is {_short(name)}, a name is expected")
    if not isinstance(colour, str) or not _HEX.fullmatch(colour):
        wrong.append(f'{where}: hex-color is {_short(colour)}, a colour like "#2ca02c" is expected')
    if len(wrong) > before:
        return None
    assert isinstance(name, str)
    assert isinstance(colour, str)
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    return Entry(int(key), name.strip(), int(digits, 16))


def class_list(maps: Iterable[Colours]) -> tuple[tuple[str, ...], bool]:
    """The names of all classes in the order of their labels, and whether the keys gave it.

    By key, if every class has one and the same key in all maps and no two classes share one; else by name, since then
    no key means anything beyond its line.
    """
    numbers: dict[str, int] = {}
    agree = True
    for entry in (entry for colours in maps for entry in colours.entries):
        agree &= numbers.setdefault(entry.name, entry.key) == entry.key
    agree &= len(set(numbers.values())) == len(numbers)
    return tuple(sorted(numbers, key=lambda name: numbers[name]) if agree else sorted(numbers)), agree


def _short(value: object) -> str:
    return "missing" if value is None else repr(value)[:40]
