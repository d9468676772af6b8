"""Reads and writes files in folders and in S3 (``s3://bucket/key``) through one interface.

    filesystem, entry = locate("s3://bucket/images")    # or "images", or "images/a.jpg": then entry is that file's
    for entry in filesystem.files(wanted, faults):
        filesystem.read(entry, limit)
    filesystem_at("masks").write("a.png", [data], "image/png")

boto3 is imported when the first s3:// is used.
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
    "filesystem_at",
]


def filesystem_at(place: str) -> FileSystem:
    """Return the folder or the prefix; it need not exist. Raises ``UserError`` for a malformed s3:// address."""
    return S3FileSystem(S3Uri.parse(place)) if is_s3(place) else LocalFileSystem(Path(place))


def locate(place: str) -> tuple[FileSystem, FileInfo | None]:
    """Return a folder and None, or a file's folder and its entry.

    Raises ``DataError`` if there is nothing, ``UserError`` if S3 can't be used.
    """
    return S3FileSystem.locate(S3Uri.parse(place)) if is_s3(place) else LocalFileSystem.locate(Path(place))
