"""A bar for what takes long: a description comes in, a function of (done, in all) that moves the bar goes out.

On standard error, and only if that is a terminal. ``fetched`` shows what comes from S3, ``jobs`` how far a training is.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def bar(description: str) -> Iterator[Callable[[float, float], None]]:
    """Gone after the block; what is printed meanwhile stands above it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(24), TaskProgressColumn(), TimeRemainingColumn())
    shown, above = console.is_terminal, sys.stdout.isatty()  # output that goes elsewhere stays where it goes
    with Progress(*columns, console=console, transient=True, disable=not shown, redirect_stdout=above) as progress:
        task = progress.add_task(description, total=None)

        def move(done: float, in_all: float) -> None:
            progress.update(task, completed=done, total=in_all)

        yield move
