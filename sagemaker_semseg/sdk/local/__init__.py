"""Jobs and endpoints on this machine: processes in folders like SageMaker's, without Docker, account or network.

``backend`` starts and finds them, ``job_store`` has their records, ``supervisor`` is the process that runs one job.
"""

from sagemaker_semseg.sdk.local.backend import LocalBackend

__all__ = ["LocalBackend"]
