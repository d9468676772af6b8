"""A prefix in S3 as a ``FileSystem``."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.storage.filesystem import MAX_LOG_BYTES, Bytes, FileInfo, check_response_size
from sagemaker_semseg.storage.s3 import S3Uri, client, translated_errors
from sagemaker_semseg.storage.s3_objects import Object, download, etag, pages

LOG_SECONDS = 10.0


class S3FileSystem:
    """Reads and writes the objects below ``uri``. s3: boto3's client; None takes the default one."""

    def __init__(self, uri: S3Uri, s3: Any = None):
        self._s3 = s3
        self.bucket = uri.bucket
        self.prefix = uri.key + "/" if uri.key and not uri.key.endswith("/") else uri.key

    @classmethod
    def locate(cls, uri: S3Uri) -> tuple[S3FileSystem, FileInfo | None]:
        """Return the prefix and None, or the prefix above an object and its entry (an empty one is a folder)."""
        name = uri.key.rpartition("/")[2]
        folder = cls(S3Uri(uri.bucket, uri.key[: len(uri.key) - len(name)]))
        entry = folder.find(name) if name else None
        return (folder, entry) if entry and entry.size else (cls(uri), None)

    def where(self, name: str = "") -> str:
        return str(S3Uri(self.bucket, self.prefix + name))

    def identity(self, name: str = "") -> str:
        return self.where(name)

    def files(self, wanted: Callable[[str], bool], faults: list[Fault]) -> Iterator[FileInfo]:
        for entry in self._list():
            # a key that ends with a slash is how consoles mark a folder, this one or one below it
            if entry.name and not entry.name.endswith("/") and wanted(entry.name):
                yield entry

    def find(self, name: str) -> FileInfo | None:
        found = next(iter(pages(self.bucket, self.prefix + name, most=1, s3=self._s3)))
        # of all that begin so it is the first
        return self._entry(found[0]) if found and found[0].key == self.prefix + name else None

    def existing(self, names: Collection[str]) -> dict[str, FileInfo]:
        wanted = frozenset(names)
        return {entry.name: entry for entry in self._list() if entry.name in wanted} if wanted else {}

    def read(self, entry: FileInfo, limit: int) -> bytes:
        where = self.where(entry.name)
        check_response_size(where, entry.size, limit)
        data = io.BytesIO()
        download(Object(self.bucket, self.prefix + entry.name, entry.size, entry.version), data, s3=self._s3)
        return data.getvalue()

    def write(self, name: str, parts: Sequence[Bytes], media_type: str) -> str:
        with translated_errors(self.where(name)):
            key, data = self.prefix + name, b"".join(parts)
            return etag(
                (self._s3 or client()).put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=media_type)
            )

    def log(self, name: str) -> ObjectLog:
        entry = self.find(name)
        return ObjectLog(self, name, self.read(entry, MAX_LOG_BYTES) if entry else b"")

    def _list(self) -> Iterator[FileInfo]:
        for page in pages(self.bucket, self.prefix, s3=self._s3):
            yield from map(self._entry, page)

    def _entry(self, item: Object) -> FileInfo:
        name = item.key[len(self.prefix) :]
        return FileInfo(name, item.size, item.etag, self.where(name))


class ObjectLog:
    """A ``Log``. S3 can't append: all of it is written again, every ten seconds or more and at the end.

    At most a twentieth of the time goes into that.
    """

    def __init__(self, folder: S3FileSystem, name: str, data: bytes):
        self.data = data
        self._folder, self._name = folder, name
        self._lines = bytearray(data if not data or data.endswith(b"\n") else data + b"\n")
        self._unwritten, self._due = False, 0.0

    def append(self, line: bytes) -> None:
        self._lines += line + b"\n"
        self._unwritten = True
        if time.monotonic() >= self._due:
            self._write()

    def close(self) -> None:
        if self._unwritten:
            self._write()

    def _write(self) -> None:
        began = time.monotonic()
        self._folder.write(self._name, [self._lines], "application/x-ndjson")
        ended = time.monotonic()
        self._unwritten, self._due = False, ended + max(LOG_SECONDS, 20 * (ended - began))
