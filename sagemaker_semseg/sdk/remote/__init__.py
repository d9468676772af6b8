"""Jobs and endpoints on Amazon SageMaker, through boto3 (extra ``aws``), which is imported when it is first used.

``backend`` is what an estimator calls. ``account`` holds boto3's clients and what an account has by default;
``transfer`` brings files to S3 and back; ``jobs``, ``endpoints`` and ``tuning`` follow what was started, ``cloudwatch``
reads its log, ``listing`` what there is; ``failures`` puts what AWS refuses into words. What is sent is built by
``requests``.
"""

from sagemaker_semseg.sdk.remote.backend import RemoteBackend

__all__ = ["RemoteBackend"]
