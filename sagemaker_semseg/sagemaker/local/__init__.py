"""``sagemaker.local``: a session of this machine. Jobs run here by ``instance_type="local"``, without Docker."""

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.session import LocalSession

__all__ = ["LocalSession"]

__getattr__ = not_here.attribute_of(__name__)
