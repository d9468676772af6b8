"""The names of the SageMaker Python SDK 2 over this package, for notebooks that were written for it.

    from sagemaker_semseg import sagemaker                        # in place of: import sagemaker
    from sagemaker_semseg.sagemaker.inputs import TrainingInput   # in place of: from sagemaker.inputs import ...

Its modules are thin: ``sagemaker.estimator.Estimator`` is ``SemSegEstimator``, with SDK 2's defaults and old spellings.
A name of SDK 2 that has no meaning for this algorithm raises an error that says what to use.
"""

from __future__ import annotations

from sagemaker_semseg.sagemaker import (
    amazon,
    analytics,
    async_inference,
    deserializers,
    estimator,
    exceptions,
    image_uris,
    inputs,
    local,
    model,
    not_here,
    parameter,
    predictor,
    s3,
    serializers,
    serverless,
    session,
    transformer,
    tuner,
    utils,
)
from sagemaker_semseg.sagemaker.analytics import HyperparameterTuningJobAnalytics, TrainingJobAnalytics
from sagemaker_semseg.sagemaker.inputs import TrainingInput, s3_input
from sagemaker_semseg.sagemaker.local import LocalSession
from sagemaker_semseg.sagemaker.model import Model
from sagemaker_semseg.sagemaker.predictor import Predictor, RealTimePredictor
from sagemaker_semseg.sagemaker.session import Session, get_execution_role

__version__ = "2.257.7"
"""The release of SDK 2 whose names these are."""

__all__ = [
    "HyperparameterTuningJobAnalytics",
    "LocalSession",
    "Model",
    "Predictor",
    "RealTimePredictor",
    "Session",
    "TrainingInput",
    "TrainingJobAnalytics",
    "amazon",
    "analytics",
    "async_inference",
    "deserializers",
    "estimator",
    "exceptions",
    "get_execution_role",
    "image_uris",
    "inputs",
    "local",
    "model",
    "parameter",
    "predictor",
    "s3",
    "s3_input",
    "serializers",
    "serverless",
    "session",
    "transformer",
    "tuner",
    "utils",
]

__getattr__ = not_here.attribute_of(__name__)
not_here.watch_imports()
