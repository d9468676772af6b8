"""Reads and writes files in folders and in S3 (``s3://bucket/key``) through one interface.

    filesystem, entry = locate("s3://bucket/images")    # or "images", or "images/a.jpg": then entry is that file's
    for entry in filesystem.files(wanted, faults):
        filesystem.read(entry, limit)
    filesystem_at("masks").write("a.png", [data], "image/png")

A bucket may also be one of this machine (``local_buckets``). boto3 is imported when the first address in S3 is used.
"""

from __future__ import annotations

from pathlib import Path

from sagemaker_semseg.storage.atomic import atomic_write, remove_leftovers
from sagemaker_semseg.storage.filesystem import FileInfo, FileSystem, Log, copy_files
from sagemaker_semseg.storage.local_buckets import local_bucket_path
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
    "copy_files",
    "in_s3",
    "is_s3",
    "local_bucket_path",
    "local_path",
    "locate",
    "filesystem_at",
    "remove_leftovers",
]


def in_s3(place: str) -> bool:
    """Return whether a place is in S3: an s3:// address whose bucket is not one of this machine."""
    return is_s3(place) and local_bucket_path(place) is None


def local_path(place: str) -> Path:
    """Return the path of a place that is not in S3: a path, file://, or s3:// of a bucket of this machine."""
    return local_bucket_path(place) or Path(place.removeprefix("file://")).expanduser()


def filesystem_at(place: str) -> FileSystem:
    """Return the folder or the prefix; it need not exist. Raises ``UserError`` for a malformed s3:// address."""
    if path := local_bucket_path(place):
        return LocalFileSystem(path, place)
    return S3FileSystem(S3Uri.parse(place)) if is_s3(place) else LocalFileSystem(Path(place))


def locate(place: str) -> tuple[FileSystem, FileInfo | None]:
    """Return a folder and None, or a file's folder and its entry.

    Raises ``DataError`` if there is nothing, ``UserError`` if S3 can't be used.
    """
    if path := local_bucket_path(place):
        return LocalFileSystem.locate(path, place)
    return S3FileSystem.locate(S3Uri.parse(place)) if is_s3(place) else LocalFileSystem.locate(Path(place))
