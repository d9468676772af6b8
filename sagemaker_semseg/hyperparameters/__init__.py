"""Hyperparameters of a training: one table, from which values are checked and the documentation is made."""

from sagemaker_semseg.hyperparameters.page import markdown
from sagemaker_semseg.hyperparameters.table import MAX_CLASSES, TABLE, Hyperparameter, Hyperparameters, Interval
from sagemaker_semseg.hyperparameters.values import Resolution, resolve, to_strings, try_resolve

__all__ = [
    "MAX_CLASSES",
    "TABLE",
    "Hyperparameter",
    "Hyperparameters",
    "Interval",
    "Resolution",
    "markdown",
    "resolve",
    "to_strings",
    "try_resolve",
]
