"""Writes files completely or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".writing-"


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the same folder; when the block succeeds, that file replaces ``path`` in one step.

    The temporary path has the extension of ``path``, for libraries that choose a format by it. It is an empty file with
    the mode that ``open(path, "w")`` would give. If the block fails, it is removed and ``path`` stays as it was. A
    ``path`` that is a link stays one: its target is replaced. Raises ``OSError`` as ``open`` would.

        with atomic_write("model.tar.gz") as temporary:
            temporary.write_bytes(data)
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}-{target.name[-48:]}")  # within 255 bytes
    try:
        # not tempfile: its files are for the owner alone, and the mode would stay on the finished file
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, target.stat().st_mode & 0o7777)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # else a crash can leave the new name with old bytes or none
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):  # a full disk
            error.filename, error.filename2 = str(path), None
        raise
    _sync_folder(target.parent)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove the temporary files of writes of ``path`` that were killed. No other process may be writing it."""
    target = Path(os.path.realpath(path))
    pattern = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}-" + re.escape(target.name[-48:]))
    with contextlib.suppress(OSError):  # there is no such folder, or nothing may be removed in it
        for name in os.listdir(target.parent):
            if pattern.fullmatch(name):
                (target.parent / name).unlink()


def _sync_folder(folder: Path) -> None:
    """Sync the folder, so that the new name survives a crash (not on Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
