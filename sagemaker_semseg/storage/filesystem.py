"""The interface that a folder and a prefix in S3 share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sagemaker_semseg.errors import DataError, Fault

Bytes = bytes | bytearray | memoryview

MAX_LOG_BYTES = 2**28
"""Largest log that is read: about a million lines."""


@dataclass(frozen=True)
class FileInfo:
    """A file in a file system.

    name: its path below the root, with "/" between the parts. size: in bytes. version: differs when the bytes have
    changed. file: identifies the file, whatever name led to it.
    """

    name: str
    size: int
    version: str
    file: str


class Log(Protocol):
    """A file that grows line by line; a process that dies loses the last lines at most.

    data: its content when it was opened.
    """

    data: bytes

    def append(self, line: bytes) -> None: ...

    def close(self) -> None: ...


class FileSystem(Protocol):
    """A folder or a prefix. Names are trusted: check names from outside before.

    Reading raises ``DataError`` for a fault of one file and ``UserError`` for one that all would have.
    Writing raises ``OSError`` or ``UserError``.
    """

    def where(self, name: str = "") -> str:
        """Return the path or address of a file, for people."""

    def identity(self, name: str = "") -> str:
        """Return the absolute path without links, equal for all names of one file or folder."""

    def files(self, wanted: Callable[[str], bool], faults: list[Fault]) -> Iterator[FileInfo]:
        """Yield the files whose names are wanted, at any depth, sorted. faults: gets folders without permission."""

    def find(self, name: str) -> FileInfo | None:
        """Return one file's entry, or None."""

    def existing(self, names: Collection[str]) -> dict[str, FileInfo]:
        """Return the entries of those names that exist."""

    def read(self, entry: FileInfo, limit: int) -> bytes:
        """Return the bytes. Raises ``DataError`` if there are more than ``limit``, or if they can't be read."""

    def write(self, name: str, parts: Sequence[Bytes], media_type: str) -> str:
        """Write a file completely or not at all. Returns its version."""

    def log(self, name: str) -> Log:
        """Open a log."""


def copy_files(source: FileSystem, target: FileSystem) -> int:
    """Copy every file below a file system's root; returns their number. Raises ``UserError`` or ``OSError``."""
    faults: list[Fault] = []
    entries = list(source.files(lambda name: True, faults))
    if faults:
        raise DataError("files can't be copied:", faults)
    for entry in entries:
        target.write(entry.name, [source.read(entry, entry.size)], "application/octet-stream")
    return len(entries)


def unreadable(where: str, what: str, remedy: str = "") -> DataError:
    """Return the error of one file that can't be used."""
    return DataError("a file can't be used:", [Fault(where, what, remedy)])


def check_response_size(where: str, size: int, limit: int) -> None:
    """Raise ``DataError`` if a file has more than ``limit`` bytes."""
    if size > limit:
        raise unreadable(where, f"{size} bytes; at most {limit} are read", "give a smaller file")
