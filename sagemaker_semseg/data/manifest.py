"""Augmented manifests: reads JSON lines, and the image-mask pairs that they name.

    {"source-ref": "s3://bucket/a.jpg", "road-ref": "s3://bucket/a.png", "road-ref-metadata": {...}}

Lines are read one at a time, however many there are. Their content is not trusted: what is wrong with a line goes into
a ``FaultList``, and the next one is read.
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
from sagemaker_semseg.data.labels import json_type
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import DataError, FaultList, printable
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.s3_cache import S3Cache

ProgressCallback = Callable[[int, int], None]

SUFFIXES: Final = (".manifest", ".jsonl")
IMAGE: Final = "source-ref"
MAX_LINE_BYTES: Final = 1 << 20
"""Ground Truth takes lines of 100 000 characters."""

_REF: Final = "-ref"
_MOST_KEYS: Final = 8
_MOST_MAPS: Final = 10_000
_MOST_LETTERS: Final = 4096
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_PLACES: Final = "s3://bucket/key, file:///path, or a path, relative ones to the manifest's folder"
_EXAMPLE: Final = 'expected on each line: {"source-ref": "s3://bucket/a.jpg", "labels-ref": "s3://bucket/a.png"}'
_CHOOSE: Final = "choose with --attribute-names source-ref,NAME"
_OTHER_FORMATS: Final = {
    b"\x1f\x8b": "is compressed",
    b"\xff\xfe": "is UTF-16",
    b"\xfe\xff": "is UTF-16",
    b"PK": "is an archive",
}


class ManifestLine(NamedTuple):
    """One line of a manifest.

    Attributes:
        number: from 1.
        image: an ``s3://`` URI or a path on this machine.
        mask: likewise.
        color_map: what the mask's colors mean; None if its numbers are the labels.
    """

    number: int
    image: str
    mask: str
    color_map: ColorMap | None


class _RepeatedKeyError(ValueError):
    """An object has a key twice."""


def read_lines(path: Path, faults: FaultList, attributes: Sequence[str] = ()) -> Iterator[ManifestLine]:
    """Reads the good lines of a manifest, in their order.

    Args:
        path: the manifest.
        faults: gets what is wrong with the other lines.
        attributes: the names of the image's and the mask's attribute; without them ``source-ref`` and the only other
            attribute that ends in ``-ref``.
    """
    reader = _Reader(path, faults, tuple(attributes))
    if attributes and not reader.check_attributes():
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


def read_pairs(
    path: Path,
    split: str,
    faults: FaultList,
    notes: list[str],
    attributes: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> list[ImageMaskPair]:
    """Reads the pairs of a manifest, in the order of its lines; files in S3 are fetched into the cache first.

    An image's name is its path below the folder in which all images lie; where two lines would have one, the later
    one's has its number. The arguments are those of ``channels.find_pairs``.
    """
    lines = list(read_lines(path, faults, attributes))
    fetched = _fetch(path, lines, faults, progress)
    # of characters, but cut to a folder below, and fast
    common = os.path.commonprefix([line.image for line in lines])  # noqa: RUF071
    start = max(common.rfind("/"), common.rfind(os.sep)) + 1
    taken: dict[str, str] = {}
    pairs, repeated = [], 0
    lines.reverse()
    while lines:  # there may be a million: each is freed as its pair is made
        line = lines.pop()
        name = os.path.splitext(line.image[start:])[0].replace(os.sep, "/")
        repeated += taken.get(name) == line.image
        while name in taken:
            name += f" (line {line.number})"
        taken[name] = line.image
        image, mask = (fetched.get(place) if is_s3(place) else Path(place) for place in (line.image, line.mask))
        if image and mask:
            where = f"{printable(path)}, line {line.number}"
            pairs.append(ImageMaskPair(name, image, mask, line.color_map, where))
    if repeated:
        notes.append(f"{split}: lines of the manifest whose image an earlier line has, too: {repeated}")
    return pairs


def _fetch(
    path: Path, lines: Sequence[ManifestLine], faults: FaultList, progress: ProgressCallback | None
) -> dict[str, Path]:
    """The local files of the places that are in S3. None is fetched for a manifest with faults."""
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


@dataclass
class _Reader:
    """Reads the lines of one manifest.

    Attributes:
        attributes: of image and mask, as soon as they are known.
        candidates: attributes that may be the mask's, with the line in which each came first.
        maps: one object for equal color maps, of which there are few.
        seen: lines that aren't blank.
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
            object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        ).decode

    def check_attributes(self) -> bool:
        names = ", ".join(map(repr, self.attributes))
        wrong = ""
        if len(self.attributes) != 2 or self.attributes[0] == self.attributes[1]:
            wrong = f"{names}: two different names are expected, first the image's, then the mask's"
        elif not all(name.endswith(_REF) for name in self.attributes):
            wrong = f"{names}: names of attributes that refer to files end in {_REF}"
        if wrong:
            self.faults.add("attribute names", self.path, wrong, "give for example source-ref,labels-ref")
        return not wrong

    def lines(self, file: IO[bytes]) -> Iterator[ManifestLine]:
        while data := file.readline(MAX_LINE_BYTES + 1):
            self.number += 1
            if self.number == 1:
                other = next((what for start, what in _OTHER_FORMATS.items() if data.startswith(start)), None)
                if other:
                    self.seen = 1
                    what = f"the file {other}"
                    self.faults.add("unreadable manifest", self.path, what, "JSON lines in UTF-8 are read")
                    return
                data = data.removeprefix(b"\xef\xbb\xbf")
            if len(data) > MAX_LINE_BYTES and not data.endswith(b"\n"):
                while (more := file.readline(MAX_LINE_BYTES)) and not more.endswith(b"\n"):
                    pass
                self.seen += 1
                self._add_fault("manifest line", f"longer than {MAX_LINE_BYTES} bytes", _EXAMPLE)
            elif not data.isspace() and data:
                self.seen += 1
                content = self._parse(data)
                line = self._line(content) if content is not None else None
                if line:
                    yield line

    def finish(self) -> None:
        """Reports what is wrong with the manifest as a whole."""
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
            what = f"expected a JSON object, not {json_type(content)}"
        except UnicodeDecodeError as error:
            what = f"byte {error.start + 1} is no UTF-8"
        except json.JSONDecodeError as error:
            what = f"not JSON: {error.msg} at character {error.colno}"
        except RecursionError:
            what = "not JSON: nested too deep"
        except _RepeatedKeyError as error:
            what = f"the key {str(error)[:80]!r} is there twice"
        except ValueError as error:  # numbers of 5000 digits, NaN
            what = f"not JSON: {str(error)[:200]}"
        self._add_fault("manifest line", what, _EXAMPLE)
        return None

    def _line(self, content: dict[str, object]) -> ManifestLine | None:
        names = self._names(content)
        if names is None:
            return None
        places = []
        for name in names:
            try:
                places.append(resolve_reference(content[name], self.folder))
            except ValueError as error:
                self._add_fault("manifest reference", f"{name}: {error}", "fix the reference")
        color_map, good = self._color_map(content, names[1])
        return ManifestLine(self.number, places[0], places[1], color_map) if len(places) == 2 and good else None

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
            what, remedy = self._missing_mask(content, missing, keys)
        self._add_fault("manifest attribute", what, remedy)
        return None

    def _missing_mask(self, content: dict[str, object], missing: list[str], keys: str) -> tuple[str, str]:
        name = repr(missing[0]) if missing else f"an attribute that ends in {_REF!r} for the mask"
        what = f"{name} missing, there are the keys {keys}"
        for value in content.values():
            if isinstance(value, dict) and isinstance(value.get("failure-reason"), str):
                what += f"; it wasn't labelled: {value['failure-reason'][:200]}"
                return what, "label the image, or remove the line"
        return what, "add the mask's reference, or remove the line"

    def _color_map(self, content: dict[str, object], name: str) -> tuple[ColorMap | None, bool]:
        """The color map of the line, if it has one, and whether nothing is wrong with it."""
        for key in (f"{name}-metadata", f"{name.removesuffix(_REF)}-metadata"):
            metadata = content.get(key)
            if metadata is None:
                continue
            if not isinstance(metadata, dict):
                what = f"{key} is {json_type(metadata)}, an object is expected"
                self._add_fault("manifest metadata", what, "fix or remove it")
                return None, False
            if "internal-color-map" in metadata:
                color_map, wrong = parse_map(metadata["internal-color-map"])
                for what in wrong:
                    self._add_fault("colour map", f"{key}: {what}", "fix the map")
                if color_map and len(self.maps) < _MOST_MAPS:
                    color_map = self.maps.setdefault(color_map, color_map)
                return color_map, not wrong
        return None, True

    def _add_fault(self, kind: str, what: str, remedy: str) -> None:
        self.faults.add(kind, f"{self.path}, line {self.number}", what, remedy)


def resolve_reference(reference: object, folder: Path) -> str:
    """The ``s3://`` URI or the absolute path that a line names; relative paths are relative to ``folder``.

    Raises:
        ValueError: with what came and what was expected.
    """
    if not isinstance(reference, str) or not reference.strip():
        raise ValueError(f"{_shorten(reference)} came; expected {_PLACES}")
    if len(reference) > _MOST_LETTERS:
        raise ValueError(f"a reference of {len(reference)} characters; at most {_MOST_LETTERS} are read")
    path = reference
    if reference.lower().startswith("file:"):
        parts = urlsplit(reference)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            what = "a file:// reference needs three slashes, as in file:///data/a.jpg"
            raise ValueError(f"{_shorten(reference)}: {what}")
    elif is_s3(reference):
        bucket, _, key = reference[len("s3://") :].partition("/")
        if not bucket or not key or key.endswith("/"):
            raise ValueError(f"{_shorten(reference)} names no object; expected {_PLACES}")
    elif _SCHEME.match(reference):
        raise ValueError(f"{_shorten(reference)} can't be read; expected {_PLACES}")
    if "\0" in path or any(0xD800 <= ord(letter) <= 0xDFFF for letter in path):
        raise ValueError(f"{_shorten(reference)} holds a character that no name has")
    return path if is_s3(path) else os.path.normpath(os.path.join(folder, path))


def _shorten(value: object) -> str:
    return repr(value) if len(repr(value)) <= 80 else f"{value!r:.77}..."


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKeyError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
