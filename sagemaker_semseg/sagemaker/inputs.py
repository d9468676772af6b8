"""``sagemaker.inputs``: the data of a channel."""

from __future__ import annotations

from typing import Any

from sagemaker_semseg.sagemaker import not_here, renamed
from sagemaker_semseg.sdk.training_input import ShuffleConfig, TrainingInput

__all__ = ["ShuffleConfig", "TrainingInput", "s3_input"]


class s3_input(TrainingInput):
    """SDK 1's name for ``TrainingInput``."""

    def __init__(self, *args: Any, **kwargs: Any):
        renamed.warn_of("The class sagemaker.session.s3_input")
        super().__init__(*args, **kwargs)


__getattr__ = not_here.attribute_of(__name__)
