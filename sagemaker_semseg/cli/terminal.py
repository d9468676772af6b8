"""Bars for work that takes long: a description and a total come in, a function that moves the bar goes out.

They go to standard error and only if it is a terminal, so that what a command prints can be kept in a file. Called by
the commands; the bar of a training itself is ``training.report``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def bar(description: str, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """A bar that is gone after the block. Yields a function of (done, in all)."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)

        def move(done: int, in_all: int) -> None:
            progress.update(task, completed=done, total=in_all)

        yield move
