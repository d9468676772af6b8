"""What a training job leaves for SageMaker: the failure file, the metrics, and archives of its folders."""

from __future__ import annotations

import contextlib
import gzip
import json
import tarfile
from pathlib import Path

from sagemaker_semseg.errors import AlgorithmError, ExitStatus, HostLostError, SemSegError, UserError, explain
from sagemaker_semseg.report.epoch_table import epoch_csv
from sagemaker_semseg.storage import atomic_write

FAILURE_LENGTH = 1024
"""SageMaker shows so many characters of output/failure."""

_CUT = "\n... the rest is in the job's log"


def reports_folder(base: Path) -> Path:
    """Where the files are that SageMaker collects in addition to the model, as output.tar.gz."""
    return base / "output" / "data"


def write_failure_file(base: Path, error: BaseException) -> None:
    """Write output/failure: first whose fault it is, as SageMaker's own algorithms do, then how to fix it.

    A lost host that runs on this machine may have written it already, and knows better.
    """
    if isinstance(error, HostLostError) and read_failure_file(base):
        return
    message, status = explain(error)
    users = UserError.prefix if status == ExitStatus.USER_ERROR else AlgorithmError.prefix
    text = f"{error.prefix if isinstance(error, SemSegError) else users}: {message}"
    if status == ExitStatus.ALGORITHM_ERROR:
        text += "\nPlease report it with the traceback, which is in error.log of the job's output.tar.gz."
    if len(text) > FAILURE_LENGTH:
        text = text[: FAILURE_LENGTH - len(_CUT)] + _CUT
    with contextlib.suppress(OSError):
        (base / "output").mkdir(parents=True, exist_ok=True)
        (base / "output" / "failure").write_text(text, encoding="utf-8", errors="backslashreplace")


def read_failure_file(base: Path) -> str:
    """Return what SageMaker shows of output/failure; empty if there is none."""
    try:
        with open(base / "output" / "failure", encoding="utf-8", errors="replace") as file:
            return file.read(FAILURE_LENGTH).strip()
    except OSError:
        return ""


def write_metrics(base: Path) -> None:
    """Write the model's metrics as metrics.json, and as metrics.csv with a line for each epoch; if there is a model."""
    try:
        text = (base / "model" / "metrics.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    files = {"metrics.json": text}
    if history := json.loads(text).get("history"):
        files["metrics.csv"] = epoch_csv(history)
    for name, content in files.items():
        with atomic_write(reports_folder(base) / name) as temporary:
            temporary.write_text(content, encoding="utf-8")


def pack_folder(folder: Path, archive: Path) -> bool:
    """Write the files in ``folder`` as a tar.gz; False if there are none. Equal files give equal bytes."""
    found = folder.iterdir() if folder.is_dir() else ()
    names = sorted(path.name for path in found if not path.name.startswith("."))  # not those that are being written
    if not names:
        return False
    archive.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(archive) as temporary,
        open(temporary, "wb") as file,
        gzip.GzipFile("", "wb", 0, file, mtime=0) as packed,  # not compressed: weights are noise
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name in names:
            tar.add(folder / name, arcname=name, filter=_without_owner)
    return True


def _without_owner(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Regular files and folders alone, without owner and time."""
    if not (info.isreg() or info.isdir()):
        return None
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() else 0o644
    return info
