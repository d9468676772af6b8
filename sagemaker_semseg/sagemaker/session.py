"""``sagemaker.session``: an account of AWS, or this machine where there are no credentials."""

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.inputs import ShuffleConfig, TrainingInput, s3_input
from sagemaker_semseg.sdk.session import Session, get_execution_role

__all__ = ["Session", "ShuffleConfig", "TrainingInput", "get_execution_role", "s3_input"]

__getattr__ = not_here.attribute_of(__name__)
