"""Writes the figures of each epoch as CSV and JSON, for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sagemaker_semseg.storage import atomic_write

__all__ = ["epoch_csv", "write_epochs"]


def epoch_csv(history: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with a line for each epoch; a figure that an epoch lacks is empty."""
    table = io.StringIO()
    names = dict.fromkeys(name for epoch in history for name in epoch)
    writer = csv.DictWriter(table, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return table.getvalue()


def write_epochs(history: Sequence[Mapping[str, float]], best_epoch: int | None, folder: Path) -> None:
    """Write ``metrics.csv``, and ``metrics.json`` with ``history`` and ``best_epoch``; epochs count from 0."""
    epochs = [{"epoch": number, **figures} for number, figures in enumerate(history)]
    content = {"history": epochs, "best_epoch": best_epoch}
    files = {"metrics.csv": epoch_csv(epochs), "metrics.json": json.dumps(content, indent=1) + "\n"}
    for name, text in files.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
