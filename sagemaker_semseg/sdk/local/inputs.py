"""What a job reads, on this machine: a path, ``file://`` or ``s3://`` comes in, a path goes out."""

from __future__ import annotations

from pathlib import Path

from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.sdk.local.progress import bar
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.s3_cache import S3Cache


def local_path(place: str) -> Path:
    """A place that is not in S3."""
    return Path(place.removeprefix("file://")).expanduser()


def here(place: str) -> Path:
    """Where it lies, absolute. What is in S3 is fetched into the cache, unless it is there. Raises ``UserError``."""
    if not is_s3(place):
        return local_path(place).absolute()
    with bar(f"fetching {place}") as move:
        return S3Cache(data_cache()).at(place, move)
