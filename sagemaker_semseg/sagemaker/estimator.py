"""``sagemaker.estimator``: the estimator with SDK 2's defaults and old spellings."""

from __future__ import annotations

from typing import Any

from sagemaker_semseg.sagemaker import not_here, renamed
from sagemaker_semseg.sagemaker.model import Model
from sagemaker_semseg.sdk.estimator import SemSegEstimator


class Estimator(SemSegEstimator, not_here.AbsentMethods):
    """``SemSegEstimator``, whose predictors return bytes as SDK 2's do.

    Example:
        estimator = sagemaker.estimator.Estimator(image, role, instance_count=1, instance_type="local")
    """

    _model_class = Model

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **renamed.with_new_names(kwargs, renamed.OF_ESTIMATOR))

    @property
    def _current_job_name(self) -> str | None:
        """The latest training's name, which many of AWS's notebooks read here."""
        return self.latest_training_job.name if self.latest_training_job else None


EstimatorBase = SemSegEstimator

__getattr__ = not_here.attribute_of(__name__)
