"""What a job reads, on this machine: a path, ``file://`` or ``s3://`` comes in, a path goes out."""

from __future__ import annotations

from pathlib import Path

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.storage import is_s3


def local_path(place: str) -> Path:
    """A place that is not in S3."""
    return Path(place.removeprefix("file://")).expanduser()


def here(place: str) -> Path:
    """Where it lies, absolute. What is in S3 is fetched into the cache, unless it is there. Raises ``UserError``."""
    if not is_s3(place):
        return local_path(place).absolute()
    raise UserError("The data can't be used:", [Fault(place, "jobs on this machine don't read s3:// yet")])
