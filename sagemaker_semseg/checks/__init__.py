"""The doctor: a data set comes in, everything that is wrong or doubtful with it goes out, before any training."""

from sagemaker_semseg.checks.report import Finding, Report
from sagemaker_semseg.checks.runner import run_checks

__all__ = ["Finding", "Report", "run_checks"]
