"""``sagemaker.serverless``: endpoints on SageMaker without an instance of their own."""

from __future__ import annotations

from dataclasses import dataclass

from sagemaker_semseg.sagemaker import not_here


@dataclass
class ServerlessInferenceConfig:
    """Configuration of a serverless endpoint; the fields are SageMaker's."""

    memory_size_in_mb: int = 2048
    max_concurrency: int = 5
    provisioned_concurrency: int | None = None


__getattr__ = not_here.attribute_of(__name__)
