"""Builds SageMaker's requests from specifications, as dictionaries; nothing is sent here.

Arguments that weren't given are left out. What SageMaker would refuse late or unclearly is a ``UserError`` with every
fault.
"""

from sagemaker_semseg.sdk.requests.hosting import (
    endpoint,
    endpoint_config,
    endpoint_faults,
    model,
    model_faults,
    needs_output_path,
)
from sagemaker_semseg.sdk.requests.shared_fields import TUNING_NAME_LENGTH, Tags, check_name, refuse, tag_list
from sagemaker_semseg.sdk.requests.training import training_faults, training_job
from sagemaker_semseg.sdk.requests.transform import transform_faults, transform_job
from sagemaker_semseg.sdk.requests.tuning import STRATEGIES, parameter_ranges, tuning_job

__all__ = [
    "STRATEGIES",
    "TUNING_NAME_LENGTH",
    "Tags",
    "check_name",
    "endpoint",
    "endpoint_config",
    "endpoint_faults",
    "model",
    "model_faults",
    "needs_output_path",
    "parameter_ranges",
    "refuse",
    "tag_list",
    "training_faults",
    "training_job",
    "transform_faults",
    "transform_job",
    "tuning_job",
]
