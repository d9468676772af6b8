"""Where files are: a path or ``s3://bucket/key`` comes in; the bytes of that file, or of all below it, go out, and
bytes go in.

    store, entry = locate("s3://bucket/photos")    # or "photos", or "photos/a.jpg", whose entry this is then
    for entry in store.files(): store.read(entry, limit)
    store_at("masks").write("a.png", [data], "image/png")

``files`` replaces a file whole, and is for whatever writes something that another process may read; ``store`` says what
a ``Folder`` and an ``S3Folder`` have in common. boto3 is imported by ``s3`` alone, when the first s3:// is used.
"""

from __future__ import annotations

from pathlib import Path

from sagemaker_semseg.storage.atomic import atomic_write
from sagemaker_semseg.storage.filesystem import FileInfo, FileSystem, Log
from sagemaker_semseg.storage.local_filesystem import LocalFileSystem
from sagemaker_semseg.storage.s3 import S3Uri, is_s3
from sagemaker_semseg.storage.s3_filesystem import S3FileSystem

__all__ = [
    "FileInfo",
    "FileSystem",
    "LocalFileSystem",
    "Log",
    "S3FileSystem",
    "S3Uri",
    "atomic_write",
    "is_s3",
    "locate",
    "store_at",
]


def store_at(place: str) -> FileSystem:
    """The folder or the prefix that ``place`` names; it need not be there. Raises ``UserError`` for a malformed s3://."""
    return S3FileSystem(S3Uri.parse(place)) if is_s3(place) else LocalFileSystem(Path(place))


def locate(place: str) -> tuple[FileSystem, FileInfo | None]:
    """What is at ``place``: a file's folder and its entry, or a folder and None.

    Raises ``DataError`` if there is nothing, ``UserError`` if S3 can't be used.
    """
    return S3FileSystem.locate(S3Uri.parse(place)) if is_s3(place) else LocalFileSystem.locate(Path(place))
