"""``sagemaker.model``: a trained model with SDK 2's defaults."""

from __future__ import annotations

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.predictor import Predictor
from sagemaker_semseg.sdk.model import SemSegModel


class Model(SemSegModel, not_here.AbsentMethods):
    """``SemSegModel``, whose predictors return bytes as SDK 2's do."""

    _predictor_class = Predictor


__getattr__ = not_here.attribute_of(__name__)
