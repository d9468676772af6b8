"""An exception comes in; a message on standard error and an exit status go out. ``main`` calls it for whatever a
command raises.

    0    done; also a training that SIGTERM has stopped, as SageMaker stops jobs
    1    a fault of this program
    2    something the user can mend
    130  stopped with Ctrl-C
    141  whoever read the output has gone
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from pathlib import Path

from sagemaker_semseg.errors import SemSegError

PROGRAM = "sagemaker-semseg"
OUR_FAULT, USERS_FAULT, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141

_REMEDIES = {
    errno.ENOSPC: "make room on the disk, or give another folder",
    errno.EDQUOT: "make room within the quota, or give another folder",
    errno.EACCES: "check the permissions, or give another folder",
    errno.EPERM: "check the permissions, or give another folder",
    errno.EROFS: "give a folder that can be written to",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_OUT_OF_MEMORY = (
    "not enough memory: lower mini_batch_size, validation_mini_batch_size or crop_size, or use smaller images"
)


def report(error: BaseException, *, verbose: bool, output: Path | None) -> int:
    """Tell the user, and return the exit status. ``SystemExit`` is let through.

    verbose: whether the traceback is shown. output: the folder in which the traceback of our own fault is kept.
    """
    if isinstance(error, SystemExit):  # after --help
        raise error
    if isinstance(error, BrokenPipeError):
        with contextlib.suppress(OSError, ValueError):  # or the interpreter complains when it flushes at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    if verbose and not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    message, status = explain(error)
    if status == OUR_FAULT:
        message += "\n" + _where_to_report(error, verbose, output)
    print(f"{PROGRAM}: {message}", file=sys.stderr, flush=True)
    return status


def explain(error: BaseException) -> tuple[str, int]:
    """The message and the exit status for any exception."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, SemSegError):
        return str(error), error.exit_status
    if isinstance(error, MemoryError) or _is_tensorflows(error, "ResourceExhaustedError"):
        return _OUT_OF_MEMORY, USERS_FAULT
    if isinstance(error, OSError):
        remedy = _REMEDIES.get(error.errno or 0, "")
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return what + (f" ({remedy})" if remedy else ""), USERS_FAULT
    if _is_tensorflows(error, "OpError") and (cause := _raised_in_pipeline(str(error))):
        return f"while reading the data: {cause}", USERS_FAULT
    first = str(error).strip().partition("\n")[0]
    return f"a fault of this program: {type(error).__name__}" + (f": {first[:300]}" if first else ""), OUR_FAULT


def _is_tensorflows(error: BaseException, name: str) -> bool:
    # by name: TensorFlow is not imported for this
    return any(cls.__name__ == name and cls.__module__.startswith("tensorflow") for cls in type(error).__mro__)


def _raised_in_pipeline(text: str) -> str:
    """What a reading thread raised (a file is gone or has changed) out of what TensorFlow makes of it; "" if neither.

    TensorFlow quotes Python's traceback, whose last paragraph begins with the exception's type.
    """
    for name in ("sagemaker_semseg.errors.DataError: ", "DataError: ", "FileNotFoundError: ", "PermissionError: "):
        _, found, rest = text.rpartition(name)
        if found:
            return rest.partition("\n\n")[0].strip()
    return ""


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
