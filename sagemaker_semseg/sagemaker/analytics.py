"""``sagemaker.analytics``: metrics of trainings and tunings by the names of their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk import analytics, tuning_analytics
from sagemaker_semseg.sdk.backends import find_training_job, find_tuning_job


class TrainingJobAnalytics(analytics.TrainingJobAnalytics, not_here.AbsentMethods):
    """The metrics of a training job. metric_names: those that are wanted; None for all."""

    def __init__(
        self,
        training_job_name: str,
        metric_names: Sequence[str] | None = None,
        sagemaker_session: Any = None,
        start_time: Any = None,
        end_time: Any = None,
        period: Any = None,
    ):
        _, job = find_training_job(training_job_name, sagemaker_session)
        points = analytics.TrainingJobAnalytics.of_log(job.logs(follow=False)).points
        super().__init__([point for point in points if not metric_names or point.metric_name in metric_names])
        self.name = training_job_name


class HyperparameterTuningJobAnalytics(tuning_analytics.TuningAnalytics, not_here.AbsentMethods):
    """The trainings of a tuning job."""

    def __init__(self, hyperparameter_tuning_job_name: str, sagemaker_session: Any = None):
        super().__init__(find_tuning_job(hyperparameter_tuning_job_name, sagemaker_session))


__getattr__ = not_here.attribute_of(__name__)
