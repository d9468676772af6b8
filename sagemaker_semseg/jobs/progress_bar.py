"""Progress on standard error: a bar on a terminal, lines of JSON for other programs, or nothing."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["MODES", "progress_bar", "progress_mode", "set_progress_mode"]

MODES: Final = ("auto", "json", "none")
"""A bar where standard error is a terminal; a line of JSON for each step; nothing."""

_SECONDS: Final = 0.2  # between two lines of one task

_mode = "auto"

Update = Callable[[float, float], None]


def progress_mode() -> str:
    """Return how progress is shown in this process, one of ``MODES``."""
    return _mode


def set_progress_mode(mode: str) -> None:
    """Choose how progress is shown in this process, one of ``MODES``."""
    global _mode
    if mode not in MODES:
        raise ValueError(f"{mode!r} is not one of {', '.join(MODES)}")
    _mode = mode


def progress_bar(description: str, total: float | None = None) -> contextlib.AbstractContextManager[Update]:
    """Show progress during the block. Yields a function of (done, total)."""
    if _mode == "json":
        return _lines(description, total)
    if _mode == "none":
        return contextlib.nullcontext(lambda done, total: None)
    return _bar(description, total)


@contextlib.contextmanager
def _bar(description: str, total: float | None) -> Iterator[Update]:
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


@contextlib.contextmanager
def _lines(description: str, total: float | None) -> Iterator[Update]:
    last, next_at = (0.0, total), 0.0

    def update(done: float, total: float | None) -> None:
        nonlocal last, next_at
        last, now = (done, total), time.monotonic()
        if now >= next_at:
            next_at = now + _SECONDS
            _print(description, "running", *last)

    update(*last)
    try:
        yield update
    except BaseException:
        _print(description, "failed", *last)
        raise
    _print(description, "done", *last)


def _print(task: str, state: str, done: float, total: float | None) -> None:
    line = json.dumps({"task": task, "state": state, "done": done, "total": total})
    with contextlib.suppress(OSError, ValueError):  # its reader has gone
        print(line, file=sys.stderr, flush=True)
