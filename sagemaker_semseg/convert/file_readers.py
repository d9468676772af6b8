"""Reads annotation files (JSON, YAML, lines) within bounds, checks their values, and finds the images that they name.

No file is read beyond its limit, and what a parser raises becomes a ``DataError`` with the file and, where there is
one, the line. Paths in such a file are only followed below a folder that the user has named.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.convert.shapes import Points
from sagemaker_semseg.data.annotation_tools import recognize
from sagemaker_semseg.data.channels import EXTENSIONS
from sagemaker_semseg.errors import DataError, Fault, UserError, printable
from sagemaker_semseg.storage import LocalFileSystem

MAX_JSON_BYTES: Final = 1 << 30
"""Of a file of annotations; Python needs five to ten times as much memory."""

MAX_TEXT_BYTES: Final = 1 << 26
"""Of a list of names, a file of labels or settings."""

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
_LARGEST: Final = 1 << 62  # of an integer in JSON


def unusable(where: Path | str, what: str, remedy: str = "") -> DataError:
    """Make the error of a file or an entry that can't be used."""
    return DataError("an annotation can't be used", [Fault(printable(where), printable(what), printable(remedy))])


def foreign(where: Path, what: str, remedy: str, format: str = "") -> DataError:
    """Make the error of a file or folder in another format than ``format``; it names the tool, where that is known."""
    found = recognize(where)
    return unusable(where, what, f"{found.advice}; {remedy}" if found and found.tool.name != format else remedy)


def read_json(path: Path, limit: int = MAX_JSON_BYTES, encoding: str | None = None) -> object:
    """Read a JSON file of at most ``limit`` bytes; in UTF-8, -16 or -32 without ``encoding``. Raises ``DataError``.

    An ``encoding`` of "" means the same as none, but that the user may give one (--encoding).
    """

    def parse(data: bytes) -> object:
        try:
            return json.loads(data.decode(encoding) if encoding else data)
        except UnicodeDecodeError as error:
            raise _encoding_error(path, data, error, "" if encoding is None else "--encoding {}, or ") from None

    return _parse(path, limit, parse, "JSON")


def read_yaml(path: Path) -> object:
    """Read a YAML file of at most 1 MiB. Raises ``DataError``, or ``UserError`` without PyYAML."""
    try:
        import yaml
    except ImportError as error:
        install = "pip install 'sagemaker-semseg[convert]'"
        raise UserError(f"YAML files need PyYAML: {error}\nInstall it with: {install}") from None

    def parse(data: bytes) -> object:
        try:
            return yaml.safe_load(data)
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from None

    return _parse(path, MAX_TEXT_BYTES >> 6, parse, "YAML")


def read_lines(path: Path) -> list[str]:
    """Read all lines, the empty ones too, without blanks at their ends. Raises ``DataError``."""
    data = read_bytes(path, MAX_TEXT_BYTES)
    try:
        return [line.strip() for line in data.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise _encoding_error(path, data, error) from None


def _encoding_error(path: Path, data: bytes, error: UnicodeDecodeError, flag: str = "") -> DataError:
    """Make the error of a text that isn't in the expected encoding; it names the likely one."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", data[: 1 << 20])]
    east_asian = sum(length % 2 == 0 for length in runs) > len(runs) / 2  # two bytes a letter
    guess, name = ("GBK, or another East Asian encoding", "GBK") if east_asian else ("Windows-1252", "CP1252")
    if b"\0" in data[: 1 << 20]:
        guess, name = "UTF-16, or no text at all", "UTF-16"
    expected = error.encoding.upper()
    what = f"is no text in {expected}; it may be {guess}"
    remedy = f"{flag.format(name.lower())}save it as text in UTF-8, for example with iconv -f {name} -t UTF-8"
    return unusable(f"{path}, line {data.count(bytes([10]), 0, error.start) + 1}", what, remedy)


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes. Raises ``DataError``."""
    folder, entry = LocalFileSystem.locate(path)
    if entry is None:
        raise unusable(path, "a folder, a file is expected", "give the file's path")
    return folder.read(entry, limit)


def _parse(path: Path, limit: int, parse: Callable[[bytes], object], kind: str) -> object:
    data = read_bytes(path, limit)
    try:
        return parse(data)
    except DataError:
        raise
    except (ValueError, RecursionError, OverflowError, AttributeError, TypeError) as error:
        # the last two are PyYAML's for keys and values that it doesn't expect
        what = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise unusable(path, f"can't be read as {kind}: {what[:300]}", "export the file again") from None


def inside(root: Path, name: str) -> Path | None:
    """Return the path of ``name`` below ``root``, or None if it leads elsewhere; Windows' separators count too.

    Only the path is checked: links in the data set are the user's own and are followed.
    """
    parts = posixpath.normpath(name.replace("\\", "/"))
    path = Path(os.path.normpath(root.absolute() / parts))
    if "\0" in name or not path.is_relative_to(os.path.normpath(root.absolute())):
        return None
    return root / path.relative_to(os.path.normpath(root.absolute()))


def find_image(root: Path, name: str, beside: Path | None = None) -> Path:
    """Find the image that an annotation names below ``root``; of an absolute path only the last name counts.

    beside: the folder to which ``name`` is relative, below ``root``. Raises ``DataError``.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    start = beside or root
    for candidate in (start / name.replace("\\", "/"), start / last, root / last):
        path = inside(root, os.path.relpath(candidate, root)) if last and "\0" not in name else None
        if path and os.path.isfile(path):
            return path
    where = start / name.replace("\\", "/") if inside(root, name) else name
    raise unusable(where, f"there is no such image below {root}", "give the folder of the images with --images")


def with_extension(stem: Path) -> Path | None:
    """Find the image ``stem`` with one of the extensions of images."""
    for extension in EXTENSIONS:
        for path in (Path(f"{stem}{extension}"), Path(f"{stem}{extension.upper()}")):
            if os.path.isfile(path):
                return path
    return None


def walk(folder: Path, extensions: Collection[str]) -> Iterator[Path]:
    """Yield the files below ``folder`` with one of the extensions (in lower case), sorted, without hidden ones.

    Raises ``DataError`` where there is no such folder.
    """
    if not folder.is_dir():
        raise unusable(folder, "there is no such folder", "check the path")
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in extensions:
                yield Path(here, name)


def name_of(path: Path, root: Path) -> str:
    """Return the name of an image below its channel: its path below ``root``, without extension."""
    return path.relative_to(root).with_suffix("").as_posix()


def whole(value: object) -> int | None:
    """Return an integer, also one written as 3.0 or "3"; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    return value if type(value) is int and -_LARGEST < value < _LARGEST else None


def points(value: object) -> Points:
    """Return (n, 2) float64 from [x, y, x, y, ...] or [[x, y], [x, y], ...]. Raises ``ShapeError``."""
    if isinstance(value, list) and value and all(isinstance(point, list) and len(point) == 2 for point in value):
        value = [number for point in value for number in point]
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise ShapeError(f"{show(value)} are no points", "pairs of numbers are expected")
    if len(value) % 2:
        raise ShapeError(f"{len(value)} numbers, as many x as y are expected", "export the annotation again")
    try:
        return np.array(value, np.float64).reshape(-1, 2)
    except OverflowError:  # an integer of hundreds of digits
        raise ShapeError("a coordinate that is too large a number", "fix or remove the outline") from None


def show(value: object) -> str:
    """Format a value for a message, cut short.

    Nested lists are left out: with YAML's aliases, a small file may hold a value that would take years to print.
    """
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list) and (len(value) > 8 or any(isinstance(entry, list | dict) for entry in value)):
        return f"a list of {len(value)}"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError):  # a number of too many digits; types of YAML that JSON doesn't have
        return type(value).__name__
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate can't be printed
    return text if len(text) <= 60 else text[:57] + "..."
