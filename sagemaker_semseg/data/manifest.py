"""Augmented manifests: a file of JSON lines comes in, one ``Line`` for each pair of an image and a mask goes out, or
the pairs of a whole split with their files on this machine. ``channels`` calls it.

    {"source-ref": "s3://bucket/a.jpg", "road-ref": "s3://bucket/a.png", "road-ref-metadata": {...}}

Lines stream: however many there are, one is held at a time. Whoever writes a manifest is trusted in nothing; what is
wrong with a line goes into a ``FaultList``, and the next one is read.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from sagemaker_semseg.data.color_map import ColorMap, parse_map
from sagemaker_semseg.data.faults import FaultList, shown
from sagemaker_semseg.data.pairs import ImageMaskPair
from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.s3_cache import S3Cache

SUFFIXES: Final = (".manifest", ".jsonl")
IMAGE: Final = "source-ref"
MAX_LINE_BYTES: Final = 1 << 20
"""Ground Truth takes lines of 100 000 characters."""

_REF: Final = "-ref"
_MOST_KEYS: Final = 8
_MOST_MAPS: Final = 10_000
_EXAMPLE: Final = 'expected on each line: {"source-ref": "s3://bucket/a.jpg", "labels-ref": "s3://bucket/a.png"}'
_CHOOSE: Final = "choose with --attribute-names source-ref,NAME"
_FOREIGN: Final = {
    b"\x1f\x8b": "is compressed",
    b"\xff\xfe": "is UTF-16",
    b"\xfe\xff": "is UTF-16",
    b"PK": "is an archive",
}

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MOST_LETTERS: Final = 4096
_PLACES: Final = "s3://bucket/key, file:///path, or a path, relative ones to the manifest's folder"

ProgressCallback = Callable[[int, int], None]


class Line(NamedTuple):
    """image, mask: an ``s3://`` URI or a path on this machine. number: of the line, from 1."""

    number: int
    image: str
    mask: str
    color_map: ColorMap | None


class _Repeated(ValueError):
    """A key that an object has twice."""


def read_lines(path: Path, faults: FaultList, attributes: Sequence[str] = ()) -> Iterator[Line]:
    """The good lines of a manifest, in their order; what is wrong with the others goes into ``faults``.

    attributes: the names of the image's and the mask's attribute; without them ``source-ref`` and the only other
    attribute that ends in ``-ref``.
    """
    reader = _Reader(path, faults, tuple(attributes))
    if attributes and not reader.good_attributes():
        return
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            faults.add("unreadable manifest", path, "not a file", "give a manifest file")
            return
        with open(path, "rb") as file:
            yield from reader.lines(file)
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        faults.add("unreadable manifest", path, what, "check the path and its permissions")
    reader.finish()


@dataclass
class _Reader:
    """Reads one manifest.

    attributes: of image and mask, as soon as they are known. candidates: attributes that may be the mask's, with the
    line in which each came first. maps: what was made of a colour map, by its content. seen: lines that aren't blank.
    """

    path: Path
    faults: FaultList
    attributes: tuple[str, ...] = ()
    given: bool = False
    candidates: dict[str, int] = field(default_factory=dict)
    maps: dict[ColorMap, ColorMap] = field(default_factory=dict)
    seen: int = 0
    number: int = 0

    def __post_init__(self) -> None:
        self.given = bool(self.attributes)
        self.folder = Path(os.path.realpath(self.path)).parent  # a link to a manifest moves nothing else
        self.decode: Callable[[str], object] = json.JSONDecoder(
            object_pairs_hook=_unique, parse_constant=_no_constant
        ).decode

    def good_attributes(self) -> bool:
        names = ", ".join(map(repr, self.attributes))
        wrong = ""
        if len(self.attributes) != 2 or self.attributes[0] == self.attributes[1]:
            wrong = f"{names}: two different names are expected, first the image's, then the mask's"
        elif not all(name.endswith(_REF) for name in self.attributes):
            wrong = f"{names}: names of attributes that refer to files end in {_REF}"
        if wrong:
            self.faults.add("attribute names", self.path, wrong, "give for example source-ref,labels-ref")
        return not wrong

    def lines(self, file: IO[bytes]) -> Iterator[Line]:
        while data := file.readline(MAX_LINE_BYTES + 1):
            self.number += 1
            if self.number == 1:
                foreign = next((what for start, what in _FOREIGN.items() if data.startswith(start)), None)
                if foreign:
                    self.seen = 1
                    self.faults.add(
                        "unreadable manifest", self.path, f"the file {foreign}", "JSON lines in UTF-8 are read"
                    )
                    return
                data = data.removeprefix(b"\xef\xbb\xbf")
            if len(data) > MAX_LINE_BYTES and not data.endswith(b"\n"):
                while (more := file.readline(MAX_LINE_BYTES)) and not more.endswith(b"\n"):
                    pass
                self.seen += 1
                self._bad("manifest line", f"longer than {MAX_LINE_BYTES} bytes", _EXAMPLE)
            elif not data.isspace() and data:
                self.seen += 1
                content = self._parse(data)
                line = self._line(content) if content is not None else None
                if line:
                    yield line

    def finish(self) -> None:
        """What is wrong with the manifest as a whole."""
        if len(self.candidates) > 1 and not self.given:
            listed = ", ".join(f"{name} (line {number})" for name, number in self.candidates.items())
            what = f"more than one attribute may be the mask's: {listed}"
            self.faults.add("attribute names", self.path, what, _CHOOSE)
        elif not self.seen and not self.faults.kinds.get("unreadable manifest"):
            self.faults.add("empty manifest", self.path, "there is no line in it", _EXAMPLE)

    def _parse(self, data: bytes) -> dict[str, object] | None:
        what = ""
        try:
            content = self.decode(data.decode("utf-8").strip())
            if isinstance(content, dict):
                return content
            what = f"expected a JSON object, not {_kind(content)}"
        except UnicodeDecodeError as error:
            what = f"byte {error.start + 1} is no UTF-8"
        except json.JSONDecodeError as error:
            what = f"not JSON: {error.msg} at character {error.colno}"
        except RecursionError:
            what = "not JSON: nested too deep"
        except _Repeated as error:
            what = f"the key {str(error)[:80]!r} is there twice"
        except ValueError as error:  # numbers of 5000 digits, NaN
            what = f"not JSON: {str(error)[:200]}"
        self._bad("manifest line", what, _EXAMPLE)
        return None

    def _line(self, content: dict[str, object]) -> Line | None:
        names = self._names(content)
        if names is None:
            return None
        places = []
        for name in names:
            try:
                places.append(resolve_reference(content[name], self.folder))
            except ValueError as error:
                self._bad("manifest reference", f"{name}: {error}", "mend the reference")
        colours, good = self._colours(content, names[1])
        return Line(self.number, places[0], places[1], colours) if len(places) == 2 and good else None

    def _names(self, content: dict[str, object]) -> tuple[str, ...] | None:
        """The attributes of image and mask, if the line has both."""
        if not self.given:
            for name in content:
                if name.endswith(_REF) and name != IMAGE and len(self.candidates) < _MOST_KEYS:
                    self.candidates.setdefault(name, self.number)
            if self.candidates:
                self.attributes = (IMAGE, next(iter(self.candidates)))
        wanted = self.attributes or (IMAGE,)
        missing = [name for name in wanted if name not in content]
        if not missing and len(wanted) == 2:
            return wanted
        keys = ", ".join(key[:80] for key in list(content)[:_MOST_KEYS]) or "none"
        if IMAGE in missing and "source" in content:
            what, remedy = "'source' holds the data itself, which is for text", "give the image's place as 'source-ref'"
        elif missing and missing != [wanted[-1]]:
            near = next((key for key in content if key.lower() == missing[0].lower()), "")
            what = f"{' and '.join(map(repr, missing))} missing, there are the keys {keys}"
            remedy = f"write {missing[0]!r}, not {near[:80]!r}" if near else _EXAMPLE
        else:
            what, remedy = self._unlabelled(content, missing, keys)
        self._bad("manifest attribute", what, remedy)
        return None

    def _unlabelled(self, content: dict[str, object], missing: list[str], keys: str) -> tuple[str, str]:
        name = repr(missing[0]) if missing else f"an attribute that ends in {_REF!r} for the mask"
        what = f"{name} missing, there are the keys {keys}"
        for value in content.values():
            if isinstance(value, dict) and isinstance(value.get("failure-reason"), str):
                return (
                    f"{what}; it wasn't labelled: {value['failure-reason'][:200]}",
                    "label the image, or remove the line",
                )
        return what, "add the mask's reference, or remove the line"

    def _colours(self, content: dict[str, object], name: str) -> tuple[ColorMap | None, bool]:
        """The colour map of the line, if it has one, and whether nothing is wrong with it."""
        for key in (f"{name}-metadata", f"{name.removesuffix(_REF)}-metadata"):
            metadata = content.get(key)
            if metadata is None:
                continue
            if not isinstance(metadata, dict):
                self._bad(
                    "manifest metadata", f"{key} is {_kind(metadata)}, an object is expected", "mend or remove it"
                )
                return None, False
            if "internal-color-map" in metadata:
                colours, wrong = parse_map(metadata["internal-color-map"])
                for what in wrong:
                    self._bad("colour map", f"{key}: {what}", "mend the map")
                return colours and self._kept(colours), not wrong
        return None, True

    def _kept(self, colours: ColorMap) -> ColorMap:
        """One object for equal maps, of which there are few."""
        return self.maps.setdefault(colours, colours) if len(self.maps) < _MOST_MAPS else colours

    def _bad(self, kind: str, what: str, remedy: str) -> None:
        self.faults.add(kind, f"{self.path}, line {self.number}", what, remedy)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def read_pairs(
    path: Path,
    split: str,
    faults: FaultList,
    notes: list[str],
    attributes: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> list[ImageMaskPair]:
    """The pairs of a manifest, in the order of its lines; what lies in S3 is fetched into the cache first.

    Faults and notes as ``channels.split_pairs`` has them. An image's name is its path below the folder in which all
    images lie; where two lines would have one, the later one's says its number.
    """
    lines = list(read_lines(path, faults, attributes))
    fetched = _fetched(path, lines, faults, progress)
    above = _above([line.image for line in lines])
    taken: dict[str, str] = {}
    pairs, twice = [], 0
    lines.reverse()
    while lines:  # what is done is let go: there may be a million
        line = lines.pop()
        name = os.path.splitext(line.image[above:])[0].replace(os.sep, "/")
        twice += taken.get(name) == line.image
        while name in taken:
            name += f" (line {line.number})"
        taken[name] = line.image
        image, mask = (fetched.get(place) if is_s3(place) else Path(place) for place in (line.image, line.mask))
        if image and mask:
            pairs.append(ImageMaskPair(name, image, mask, line.color_map, f"{shown(path)}, line {line.number}"))
    if twice:
        notes.append(f"{split}: lines of the manifest whose image an earlier line has, too: {twice}")
    return pairs


def _above(places: Sequence[str]) -> int:
    """Characters of the folder in which all of them lie."""
    common = os.path.commonprefix(list(places))  # noqa: RUF071 - of characters, but cut to a folder, and fast
    return max(common.rfind("/"), common.rfind(os.sep)) + 1


def _fetched(
    path: Path, lines: Sequence[Line], faults: FaultList, progress: ProgressCallback | None
) -> dict[str, Path]:
    """The files of those places that are in S3. None is fetched for a manifest with faults."""
    uses = {place: line.number for line in reversed(lines) for place in (line.image, line.mask) if is_s3(place)}
    if not uses or faults.kinds:
        return {}
    try:
        return dict(zip(uses, S3Cache(data_cache()).objects(uses, progress), strict=True))
    except DataError as error:
        for fault in error.faults:
            where = f"{fault.where} ({path}, line {uses[fault.where]})" if fault.where in uses else fault.where
            faults.add("not fetched", where, fault.what, fault.remedy)
        return {}


def resolve_reference(reference: object, folder: Path) -> str:
    """The ``s3://`` URI or the path that is meant; relative paths are relative to ``folder``.

    Raises ``ValueError``, which says what came and what was expected.
    """
    if not isinstance(reference, str) or not reference.strip():
        raise ValueError(f"{_quoted(reference)} came; expected {_PLACES}")
    if len(reference) > _MOST_LETTERS:
        raise ValueError(f"a reference of {len(reference)} characters; at most {_MOST_LETTERS} are read")
    path = reference
    if reference.lower().startswith("file:"):
        parts = urlsplit(reference)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise ValueError(f"{_quoted(reference)}: a file:// reference needs three slashes, as in file:///data/a.jpg")
    elif is_s3(reference):
        bucket, _, key = reference[len("s3://") :].partition("/")
        if not bucket or not key or key.endswith("/"):
            raise ValueError(f"{_quoted(reference)} names no object; expected {_PLACES}")
        path = reference
    elif _SCHEME.match(reference):
        raise ValueError(f"{_quoted(reference)} can't be read; expected {_PLACES}")
    if "\0" in path or any(0xD800 <= ord(letter) <= 0xDFFF for letter in path):
        raise ValueError(f"{_quoted(reference)} holds a character that no name has")
    return path if is_s3(path) else os.path.normpath(os.path.join(folder, path))


def _quoted(value: object) -> str:
    return repr(value) if len(repr(value)) <= 80 else f"{value!r:.77}..."
