"""Checks of a data set before training: what is wrong or doubtful with it, and a report of it."""

from sagemaker_semseg.checks.report import Finding, Report
from sagemaker_semseg.checks.runner import run_checks

__all__ = ["Finding", "Report", "run_checks"]
