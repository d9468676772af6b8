"""The table of a tuning's trainings, the best one first.

pandas (extra ``notebook``) is needed for ``dataframe`` and ``export_csv`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.sdk.specs import TuningJob
from sagemaker_semseg.sdk.table import Table, data_frame

_OBJECTIVE = "FinalHyperParameterTuningJobObjectiveMetric"


class TuningAnalytics(Table):
    """The trainings of a tuning; has the methods of v2's ``HyperparameterTuningJobAnalytics``.

    trials: for each training its values of the searched hyperparameters, name, status, objective and times.
    """

    def __init__(self, job: TuningJob):
        self.name = job.name
        self._job = job
        self._summaries: list[Mapping[str, Any]] | None = None

    @property
    def trials(self) -> list[dict[str, Any]]:
        return [_row(summary) for summary in self.training_job_summaries()]

    def training_job_summaries(self, force_refresh: bool = False) -> list[Mapping[str, Any]]:
        """Return SageMaker's summaries of the trainings; requested once, unless ``force_refresh``."""
        if self._summaries is None or force_refresh:
            self._summaries = self._job.training_jobs()
        return self._summaries

    def description(self, force_refresh: bool = False) -> Mapping[str, Any]:
        """Return the tuning's state."""
        return self._job.describe()

    @property
    def tuning_ranges(self) -> dict[str, Any]:
        """The ranges that are searched, by hyperparameter, in the form of SageMaker's API."""
        found = self.description().get("HyperParameterTuningJobConfig", {}).get("ParameterRanges", {})
        return {parameter["Name"]: parameter for kind in found.values() for parameter in kind}

    def dataframe(self, force_refresh: bool = False) -> Any:
        """Return a pandas table with v2's columns."""
        self.training_job_summaries(force_refresh)
        return data_frame(self.trials, None, ".trials")

    def export_csv(self, filename: str) -> None:
        self.dataframe().to_csv(filename)

    def _cells(self) -> list[list[str]]:
        rows = self.trials
        spec = self._job.spec()
        sign = -1 if spec.objective_type == "Maximize" else 1
        rows.sort(key=lambda row: (row["FinalObjectiveValue"] is None, sign * (row["FinalObjectiveValue"] or 0)))
        names = sorted(spec.ranges)
        titles = ["job", "status", spec.objective_metric_name, *names]
        return [titles, *([_cell(row.get(name)) for name in (*_SHOWN, *names)] for row in rows)]


_SHOWN = ("TrainingJobName", "TrainingJobStatus", "FinalObjectiveValue")


def _row(summary: Mapping[str, Any]) -> dict[str, Any]:
    begun, ended = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    row: dict[str, Any] = {name: _number(value) for name, value in summary["TunedHyperParameters"].items()}
    row |= {name: summary[name] for name in ("TrainingJobName", "TrainingJobStatus")}
    row["FinalObjectiveValue"] = summary.get(_OBJECTIVE, {}).get("Value")
    row |= {"TrainingStartTime": begun, "TrainingEndTime": ended}
    if begun and ended:
        row["TrainingElapsedTimeSeconds"] = (ended - begun).total_seconds()
    return row


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
