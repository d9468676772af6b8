"""Buckets of this machine: folders with the files of ``s3://BUCKET/KEY``, without an account or a network.

A bucket is of this machine if its folder exists. The default bucket's name always is, so that an address in it never
reaches a stranger's bucket in S3 after the folder was deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sagemaker_semseg.environment import state_folder
from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.storage.s3 import S3Uri

DEFAULT_BUCKET = "sagemaker-local"


@dataclass(frozen=True)
class LocalBucket:
    """A bucket of this machine. files, size: how many it has, and their bytes."""

    name: str
    files: int
    size: int


def local_bucket_path(place: str) -> Path | None:
    """Return where an s3:// address is on this machine; None for paths and for buckets in S3.

    Raises ``DataError`` for a key that would lead out of the bucket.
    """
    try:
        uri = S3Uri.parse(place)
    except UserError:
        return None
    folder = bucket_folder(uri.bucket)
    if uri.bucket != DEFAULT_BUCKET and not folder.is_dir():
        return None
    parts = [part for part in uri.key.split("/") if part]
    if "\0" in uri.key or {".", ".."} & set(parts):
        raise DataError("a file can't be used:", [Fault(place, "no bucket on this machine has such a key", "fix it")])
    return folder.joinpath(*parts)


def bucket_folder(name: str) -> Path:
    """Return the folder of a bucket of this machine; it need not exist. Raises ``UserError`` for a malformed name."""
    return state_folder() / "buckets" / S3Uri.parse(f"s3://{name}").bucket


def make_bucket(name: str) -> Path:
    """Make a bucket of this machine if it doesn't exist, and return its folder."""
    folder = bucket_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def local_buckets() -> Iterator[LocalBucket]:
    """Yield the buckets of this machine, by name."""
    root = state_folder() / "buckets"
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ():
        yield _measured(folder)


def _measured(folder: Path) -> LocalBucket:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return LocalBucket(folder.name, len(sizes), sum(sizes))


def empty_bucket(name: str) -> int:
    """Delete all files of a bucket of this machine, and return their number. Raises as ``delete_bucket`` does."""
    count = delete_bucket(name)
    make_bucket(name)
    return count


def delete_bucket(name: str) -> int:
    """Delete a bucket of this machine with all files, and return their number.

    Raises ``UserError`` if there is none of the name.
    """
    folder = bucket_folder(name)
    if not folder.is_dir():
        names = ", ".join(bucket.name for bucket in local_buckets()) or "none at all"
        raise UserError("There is no such bucket:", [Fault(name, "is no bucket of this machine", f"it has {names}")])
    count = _measured(folder).files
    shutil.rmtree(folder)
    return count
