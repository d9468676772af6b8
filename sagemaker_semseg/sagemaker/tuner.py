"""``sagemaker.tuner``: a search for hyperparameters, over this namespace's estimator."""

from __future__ import annotations

from typing import Any

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.estimator import Estimator
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker_semseg.sdk.tuner import HyperparameterTuner as Tuner

__all__ = ["CategoricalParameter", "ContinuousParameter", "HyperparameterTuner", "IntegerParameter"]


class HyperparameterTuner(Tuner, not_here.AbsentMethods):
    """``sagemaker_semseg.HyperparameterTuner``, whose estimators are this namespace's."""

    @classmethod
    def attach(
        cls, tuning_job_name: str, sagemaker_session: Any = None, job_details: Any = None, estimator_cls: Any = None
    ) -> Tuner:
        """Return the tuner of a tuning job that any process has started. The arguments are those of the base class."""
        return super().attach(tuning_job_name, sagemaker_session, job_details, estimator_cls or Estimator)


__getattr__ = not_here.attribute_of(__name__)
