"""``sagemaker.amazon``: what notebooks for the built-in algorithm use of it."""

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.amazon import amazon_estimator, common, record_pb2

__all__ = ["amazon_estimator", "common", "record_pb2"]

__getattr__ = not_here.attribute_of(__name__)
