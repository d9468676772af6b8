"""A folder on this machine as a ``FileSystem``."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.storage.atomic import atomic_write
from sagemaker_semseg.storage.filesystem import MAX_LOG_BYTES, Bytes, FileInfo, check_response_size, unreadable


class LocalFileSystem:
    """Reads and writes the files below ``root``. address: the s3:// by which people know it, if it has one."""

    def __init__(self, root: Path, address: str = ""):
        self.root = root
        self._address = address.rstrip("/")
        self._real = Path(os.path.realpath(root))  # else none/../a would be nothing now and a file later

    @classmethod
    def locate(cls, path: Path, address: str = "") -> tuple[LocalFileSystem, FileInfo | None]:
        """Return the folder and None, or the folder of the file ``path`` and its entry. Raises ``DataError``."""
        if path.is_dir():
            return cls(path, address), None
        folder = cls(path.parent, address.rstrip("/").rpartition("/")[0])
        if not (entry := folder.find(path.name)):
            raise unreadable(address or str(path), "no such file", "check the path")
        return folder, entry

    def where(self, name: str = "") -> str:
        if self._address:
            return f"{self._address}/{name}" if name else self._address
        return str(self.root / name)

    def identity(self, name: str = "") -> str:
        return os.path.realpath(self._real / name)

    def files(self, wanted: Callable[[str], bool], faults: list[Fault]) -> Iterator[FileInfo]:
        def note(error: OSError) -> None:
            what = f"can't be listed: {error.strerror or error}"
            faults.append(Fault(str(error.filename), what, "check its permissions"))

        for folder, below, names in os.walk(self.root, onerror=note):
            below.sort()
            inside = Path(folder).relative_to(self.root)
            for name in sorted(names):
                path = (inside / name).as_posix()
                if wanted(path) and (entry := self.find(path)):
                    yield entry

    def find(self, name: str) -> FileInfo | None:
        try:
            status = os.stat(self._real / name)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        # by number: where a.png and A.png are one file, or one is a link, their names don't tell
        file = f"{status.st_dev}:{status.st_ino}" if status.st_ino else self.identity(name)
        return FileInfo(name, status.st_size, _version(status), file)

    def existing(self, names: Collection[str]) -> dict[str, FileInfo]:
        return {name: entry for name in names if (entry := self.find(name))}

    def read(self, entry: FileInfo, limit: int) -> bytes:
        where = self.where(entry.name)
        try:
            with open(self._real / entry.name, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                check_response_size(where, size, limit)
                return file.read(size)
        except OSError as error:
            what = f"can't be read: {error.strerror or error}"
            raise unreadable(where, what, "check the file and its permissions") from error

    def write(self, name: str, parts: Sequence[Bytes], media_type: str) -> str:
        path = self._real / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            with open(temporary, "wb") as file:
                file.writelines(parts)
            return _version(os.stat(temporary))  # moving it to its place changes neither

    def log(self, name: str) -> FileLog:
        self._real.mkdir(parents=True, exist_ok=True)
        entry = self.find(name)
        return FileLog(self._real / name, self.read(entry, MAX_LOG_BYTES) if entry else b"")


class FileLog:
    """A ``Log``: each line reaches the system before the next one starts."""

    def __init__(self, path: Path, data: bytes):
        self.data = data
        self._path = path
        self._file: BinaryIO | None = None

    def append(self, line: bytes) -> None:
        if not self._file:
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115  # ``close`` closes it
            if self.data and not self.data.endswith(b"\n"):  # the last one was cut short
                line = b"\n" + line
        self._file.write(line + b"\n")

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
