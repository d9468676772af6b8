"""Reads the metrics of a training from its log, as a table of its epochs.

pandas and matplotlib (extra ``notebook``) are needed for ``dataframe`` and ``plot`` alone.
"""

from __future__ import annotations

import io
import re
from calendar import timegm
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import strptime
from typing import Any

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.table import Table, data_frame

_EPOCH = re.compile(r"\bepoch=(\d+)\b")
_TIME = re.compile(r"^\[(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d) ")
_SHOWN = ("train:loss", "validation:mIOU", "validation:pixel_accuracy", "train:throughput")


@dataclass(frozen=True)
class Point:
    """One value. timestamp: seconds since the first one, as in SDK 2's table. epoch: counted from 0."""

    timestamp: float
    metric_name: str
    value: float
    epoch: int


class TrainingJobAnalytics(Table):
    """The metrics of a training job, epoch by epoch; printed, or shown in a notebook, it is a table.

    Attributes:
        points: Every value, in the order of the log.
        epochs: One mapping for each epoch, of "epoch" and the metrics' names.

    Example:
        metrics = estimator.training_job_analytics
        metrics.best("validation:mIOU")["epoch"]
        metrics.plot()
    """

    def __init__(self, points: Sequence[Point]):
        self.points = tuple(points)

    @classmethod
    def of_log(
        cls, lines: Iterable[str], definitions: Iterable[Mapping[str, str]] = METRIC_DEFINITIONS
    ) -> TrainingJobAnalytics:
        """Read the lines of a log.

        definitions: SageMaker's metric definitions, a Name and a Regex with one group each.
        """
        patterns = [(definition["Name"], re.compile(definition["Regex"])) for definition in definitions]
        return cls(list(_points(lines, patterns)))

    @property
    def epochs(self) -> list[dict[str, float]]:
        rows: dict[int, dict[str, float]] = {}
        for point in self.points:
            rows.setdefault(point.epoch, {"epoch": point.epoch})[point.metric_name] = point.value
        return [rows[epoch] for epoch in sorted(rows)]

    def best(self, metric_name: str = "validation:mIOU") -> dict[str, float]:
        """Return the epoch in which a metric was highest. Raises ``UserError`` if it never occurred."""
        rows = [row for row in self.epochs if metric_name in row]
        if not rows:
            names = ", ".join(sorted({point.metric_name for point in self.points})) or "none at all"
            raise UserError(f"There is no value of {metric_name} yet; there are: {names}.")
        return max(rows, key=lambda row: row[metric_name])

    def dataframe(self, force_refresh: bool = False) -> Any:
        """Return SDK 2's pandas table with timestamp, metric_name and value."""
        rows = [(point.timestamp, point.metric_name, point.value) for point in self.points]
        return data_frame(rows, ["timestamp", "metric_name", "value"], ".epochs")

    def export_csv(self, filename: str) -> None:
        """Write ``dataframe()`` as CSV."""
        self.dataframe().to_csv(filename)

    def plot(self, metric_names: Sequence[str] = ("train:loss", "validation:mIOU")) -> Any:
        """Plot each metric over the epochs, one panel each, and return the matplotlib figure."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise UserError("A plot needs matplotlib: pip install 'sagemaker-semseg[notebook]'") from None

        class Shown(Figure):
            """Also in a notebook that hasn't said ``%matplotlib inline``."""

            def _repr_png_(self) -> bytes:
                out = io.BytesIO()
                self.savefig(out, format="png")
                return out.getvalue()

        figure = Shown(figsize=(4.5 * len(metric_names), 3), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(metric_names), squeeze=False)[0], metric_names, strict=True):
            rows = [row for row in self.epochs if name in row]
            axes.plot([row["epoch"] + 1 for row in rows], [row[name] for row in rows], marker=".")
            axes.set(xlabel="epoch", title=name)
            axes.grid(alpha=0.3)
        return figure

    def __len__(self) -> int:
        return len(self.epochs)

    def _cells(self) -> list[list[str]]:
        rows = [
            [f"{row['epoch'] + 1:.0f}", *(f"{row[name]:.4f}" if name in row else "-" for name in _SHOWN)]
            for row in self.epochs
        ]
        return [["epoch", *_SHOWN], *rows]


def _points(lines: Iterable[str], patterns: Sequence[tuple[str, re.Pattern[str]]]) -> Iterator[Point]:
    epoch, first, now = 0, None, 0
    for line in lines:
        if found := _EPOCH.search(line):
            epoch = int(found[1])
        if found := _TIME.match(line):
            now = timegm(strptime(found[1], "%m/%d/%Y %H:%M:%S"))
            first = now if first is None else first
        for name, pattern in patterns:
            if (hit := pattern.search(line)) and (value := _number(hit[1])) is not None:
                yield Point(float(now - (first or now)), name, value, epoch)


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip(","))
    except ValueError:
        return None
