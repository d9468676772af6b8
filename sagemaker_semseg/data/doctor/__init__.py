"""The doctor: a data set comes in, everything that is wrong or doubtful with it goes out, before any training."""

from sagemaker_semseg.data.doctor.examination import examine
from sagemaker_semseg.data.doctor.report import Finding, Report

__all__ = ["Finding", "Report", "examine"]
