"""A progress bar on standard error, shown only on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Callable[[float, float], None]]:
    """Show a bar during the block. Yields a function of (done, total)."""
    console = Console(stderr=True)
    above = sys.stdout.isatty()  # lines that go into a file stay there
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=above
    ) as progress:
        task = progress.add_task(description, total=total)

        def update(done: float, total: float) -> None:
            progress.update(task, completed=done, total=total)

        yield update
