"""Every hyperparameter, from one table: what the user gives comes in, a checked ``Hyperparameters`` goes out.

``table`` holds the hyperparameters as data, ``values`` reads and checks what a user gives, ``flags`` makes the flags
of the command line, ``page`` the documentation.
Training, the command line and the artifact call it.

    >>> resolve({"num_classes": "11", "crop_size": 64}).crop_size
    64
"""

from sagemaker_semseg.hyperparameters.flags import add_flags, from_flags
from sagemaker_semseg.hyperparameters.page import markdown
from sagemaker_semseg.hyperparameters.table import TABLE, Hyperparameter, Hyperparameters, Interval
from sagemaker_semseg.hyperparameters.values import resolve, to_strings

__all__ = [
    "TABLE",
    "Hyperparameter",
    "Hyperparameters",
    "Interval",
    "add_flags",
    "from_flags",
    "markdown",
    "resolve",
    "to_strings",
]
