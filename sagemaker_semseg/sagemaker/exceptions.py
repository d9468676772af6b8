"""``sagemaker.exceptions``: SDK 2's names for what can fail."""

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.specs import JobFailed as UnexpectedStatusException

CapacityError = UnexpectedStatusException

__all__ = ["CapacityError", "UnexpectedStatusException"]

__getattr__ = not_here.attribute_of(__name__)
