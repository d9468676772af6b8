"""The report of a training job, as a page that a notebook shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import escape

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.jobs.api import write_report
from sagemaker_semseg.sdk.specs import Job
from sagemaker_semseg.sdk.training_job import TrainingJob

__all__ = ["TrainingReport", "make_report"]


class TrainingReport:
    """A page about a training; a notebook shows it as the value of a cell.

    Attributes:
        path: The HTML file.
        html: Its content.
    """

    def __init__(self, path: Path):
        self.path = path
        self.html = path.read_text(encoding="utf-8")

    def _repr_html_(self) -> str:
        frame = "width: 100%; height: 48em; border: 0"  # a frame keeps the page's style from the notebook's
        return f'<iframe srcdoc="{escape(self.html)}" style="{frame}" title="The report of the training"></iframe>'

    def __repr__(self) -> str:
        return f"TrainingReport({str(self.path)!r})"


def make_report(training: TrainingJob, data: Any = None, path: Any = None) -> TrainingReport:
    """Write the report of a training job. The arguments are those of ``SemSegEstimator.report``."""
    place = _place(training.job)
    if path is None and place.startswith("s3://"):
        path = f"{training.name}.html"
    return TrainingReport(write_report(place, data, path))


def _place(job: Job) -> str:
    from sagemaker_semseg.sdk.local.jobs import LocalJob

    if isinstance(job, LocalJob):
        return str(job.store.folder(job.name) / "ml")
    state = job.state()
    if state.status not in ("Completed", "Stopped") or not state.output:
        what = f"the job is {state.status}"
        raise UserError(f"There is no report of {job.name} yet: {what}; its epochs are in training_job_analytics.")
    return state.output
