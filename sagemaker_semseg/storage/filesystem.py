"""What a folder and a prefix in S3 have in common: a ``Store`` of files, each with a name below it.

``folder`` and ``s3`` are the two there are. Who reads or writes files that may lie in either takes a ``Store``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sagemaker_semseg.errors import DataError, Fault

Bytes = bytes | bytearray | memoryview

MAX_LOG_BYTES = 2**28
"""Of a log that is read: about a million lines."""


@dataclass(frozen=True)
class FileInfo:
    """A file in a store.

    name: its path below the store, with "/" between the parts. size: in bytes. stamp: another one if the bytes have
    changed. file: which file it is, by whatever name it was reached.
    """

    name: str
    size: int
    stamp: str
    file: str


class Log(Protocol):
    """A file that grows line by line, and of which a process that dies leaves all but the last lines.

    data: what was in it when it was opened.
    """

    data: bytes

    def append(self, line: bytes) -> None: ...

    def close(self) -> None: ...


class FileSystem(Protocol):
    """A folder or a prefix. Names are trusted: who makes one from a foreign name sees to it that it stays below.

    Reading raises ``DataError`` for what is wrong with one file and ``UserError`` for what would be wrong with each.
    Writing raises ``OSError`` or ``UserError``.
    """

    def where(self, name: str = "") -> str:
        """Where a file is, for people."""

    def identity(self, name: str = "") -> str:
        """The same for all names of one file or folder: absolute, and without links."""

    def files(self, wanted: Callable[[str], bool], faults: list[Fault]) -> Iterator[FileInfo]:
        """The files whose names are wanted, at any depth, sorted. faults: gets those of folders without permission."""

    def find(self, name: str) -> FileInfo | None:
        """The entry of one file, if it is there."""

    def existing(self, names: Collection[str]) -> dict[str, FileInfo]:
        """Those of many files that are there."""

    def read(self, entry: FileInfo, limit: int) -> bytes:
        """The file's bytes. Raises ``DataError`` if there are more than ``limit``, or if they can't be read."""

    def write(self, name: str, parts: Sequence[Bytes], media_type: str) -> str:
        """Put a file in its place, whole or not at all. Returns its stamp."""

    def log(self, name: str) -> Log:
        """Open a log, with the lines that it has."""


def unreadable(where: str, what: str, remedy: str = "") -> DataError:
    return DataError("a file can't be used:", [Fault(where, what, remedy)])


def check_size(where: str, size: int, limit: int) -> None:
    if size > limit:
        raise unreadable(where, f"{size} bytes; at most {limit} are read", "give a smaller file")
