"""Jobs and endpoints on this machine: processes over folders like SageMaker's, without Docker, account or network.

``backend`` is what an estimator calls. ``registry`` remembers what was started, ``supervisor`` is the process that sees
one job to its end, ``jobs`` and ``endpoints`` find them again, from any process. ``tuning`` finds a search over
hyperparameters, which ``trials`` carries out with a strategy of ``search``, and ``study`` remembers.
"""

from sagemaker_semseg.sdk.local.backend import LocalBackend

__all__ = ["LocalBackend"]
