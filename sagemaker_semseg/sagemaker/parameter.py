"""``sagemaker.parameter``: ranges that a tuning searches."""

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter

__all__ = ["CategoricalParameter", "ContinuousParameter", "IntegerParameter"]

__getattr__ = not_here.attribute_of(__name__)
