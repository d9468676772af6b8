"""``sagemaker.session``: an account of AWS, or this machine where there are no credentials."""

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.inputs import ShuffleConfig, TrainingInput, s3_input
from sagemaker_semseg.sdk import session
from sagemaker_semseg.sdk.session import get_execution_role

__all__ = ["LocalSession", "Session", "ShuffleConfig", "TrainingInput", "get_execution_role", "s3_input"]


class Session(session.Session, not_here.AbsentMethods):
    """A session of an account of AWS, or of this machine where there are no credentials."""


class LocalSession(session.LocalSession, Session):
    """A session of this machine, whatever credentials there are."""


__getattr__ = not_here.attribute_of(__name__)
