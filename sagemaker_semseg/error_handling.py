"""Prints a message for whatever a command raises, and returns the exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path

from sagemaker_semseg.errors import ExitStatus, explain

PROGRAM = "sagemaker-semseg"


def report(error: BaseException, *, verbose: bool, output: Path | None) -> int:
    """Print the message on standard error, and return the exit status. ``SystemExit`` is raised again.

    verbose: whether the traceback is shown. output: the folder in which the traceback of our own fault is kept.
    """
    if isinstance(error, SystemExit):  # after --help
        raise error
    if isinstance(error, BrokenPipeError):
        with contextlib.suppress(OSError, ValueError):  # or the interpreter complains when it flushes at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.PIPE_CLOSED
    if verbose and not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    message, status = explain(error)
    if status == ExitStatus.ALGORITHM_ERROR:
        message += "\n" + _where_to_report(error, verbose, output)
    print(f"{PROGRAM}: {message}", file=sys.stderr, flush=True)
    return status


def escape_output() -> None:
    """Let everything be printed, also the name of a file that isn't text in the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream that isn't a file
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _where_to_report(error: BaseException, verbose: bool, output: Path | None) -> str:
    if not verbose and output and output.is_dir():
        path = output / "error.log"
        try:
            path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        except OSError:
            pass
        else:
            return f"Please report it with the traceback, which is in {path}."
    return "Please report it with the traceback" + ("." if verbose else ", which --verbose shows.")
