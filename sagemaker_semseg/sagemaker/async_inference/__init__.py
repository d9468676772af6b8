"""``sagemaker.async_inference``: endpoints on SageMaker whose requests and replies are objects in S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sagemaker_semseg.sagemaker import not_here


@dataclass
class AsyncInferenceConfig:
    """Configuration of an asynchronous endpoint; the fields are SageMaker's."""

    output_path: str | None = None
    max_concurrent_invocations_per_instance: int | None = None
    kms_key_id: str | None = None
    notification_config: Mapping[str, str] | None = None
    failure_path: str | None = None


__getattr__ = not_here.attribute_of(__name__)
