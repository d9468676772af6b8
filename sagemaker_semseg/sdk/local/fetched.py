"""What a job reads, on this machine: a path, ``file://`` or ``s3://`` comes in, a path goes out."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.mirror import Mirror


def local_path(place: str) -> Path:
    """A place that is not in S3."""
    return Path(place.removeprefix("file://")).expanduser()


def here(place: str) -> Path:
    """Where it lies, absolute. What is in S3 is fetched into the cache, unless it is there. Raises ``UserError``."""
    if not is_s3(place):
        return local_path(place).absolute()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"fetching {place}", total=None)
        return Mirror(data_cache()).at(place, lambda done, total: progress.update(task, completed=done, total=total))
