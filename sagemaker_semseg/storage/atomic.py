"""Where files are written: a path comes in, a temporary path in the same folder goes out, and the file appears whole or
not at all. Whoever writes something that another process may read calls it: artifacts, checkpoints, reports.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name; when the block ends well it takes the place of ``path`` in one step.

    The temporary path ends as ``path`` does, for libraries that choose a format by the ending. It is an empty file with
    the mode that ``open(path, "w")`` would have given; the block writes or overwrites it. If the block fails, it is
    removed and what was at ``path`` stays. A ``path`` that is a link keeps being one: what it points to is replaced.

    Raises ``OSError`` as ``open`` would: no such folder, no permission, disk full.

        with replacing("model.tar.gz") as temporary:
            temporary.write_bytes(data)
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".writing-{secrets.token_hex(8)}-{target.name[-48:]}")  # within 255 bytes
    # not tempfile: its files are for the owner alone, and the mode would stay on the finished file
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, target.stat().st_mode & 0o7777)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # else a crash can leave the new name with the old or with no bytes
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last over a crash, where the system lets a folder be synced (not on Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
