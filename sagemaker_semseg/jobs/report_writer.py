"""Writes the report of a training while it runs."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone

import psutil

from sagemaker_semseg.errors import DataError
from sagemaker_semseg.report.epoch_table import write_epochs
from sagemaker_semseg.report.training_page import render
from sagemaker_semseg.report.training_record import TrainingFiles, read_record
from sagemaker_semseg.report.training_start import TrainingStart
from sagemaker_semseg.storage import atomic_write

__all__ = ["ReportWriter", "peak_memory"]


class ReportWriter:
    """Writes the report of a training that runs, after each epoch. A report that fails doesn't stop the training."""

    def __init__(
        self,
        files: TrainingFiles,
        class_names: Sequence[str],
        facts: Sequence[tuple[str, str]],
        notes: Sequence[str],
    ):
        self.files, self._begun, self._failed = files, time.monotonic(), False
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._start = TrainingStart(now, 0.0, 0, tuple(class_names), tuple(facts), tuple(notes))
        if (files.checkpoints / "last.safetensors").is_file():
            self._start = self._resumed()

    def write(self) -> None:
        """Write ``training.json``; if an epoch has ended, also the page, ``metrics.csv`` and ``metrics.json``."""
        seconds = self._start.seconds + time.monotonic() - self._begun
        memory = max(self._start.peak_memory, peak_memory())
        try:
            dataclasses.replace(self._start, seconds=round(seconds, 1), peak_memory=memory).write(self.files.reports)
            if (self.files.checkpoints / "last.safetensors").is_file():
                record = read_record(self.files)
                write_epochs(record.history, record.best_epoch, self.files.reports)
                html = render(record)
                with atomic_write(self.files.page) as temporary:
                    temporary.write_text(html, encoding="utf-8")
        except Exception as error:  # hours of training are worth more than their report
            if not self._failed:
                print(f"the report can't be written: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            self._failed = True

    def _resumed(self) -> TrainingStart:
        """Return the start with the time that the training took before it was stopped."""
        try:
            before = TrainingStart.read(self.files.reports)
        except DataError:
            before = None
        if before is None:
            return self._start
        return dataclasses.replace(
            self._start, started=before.started, seconds=before.seconds, peak_memory=before.peak_memory
        )


def peak_memory() -> int:
    """Return the bytes of memory that this process has taken at most."""
    try:
        import resource
    except ImportError:  # Windows
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
