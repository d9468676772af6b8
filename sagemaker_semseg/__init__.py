"""Semantic segmentation in the shape of Amazon SageMaker's built-in algorithm, open and runnable anywhere.

    from sagemaker_semseg import SemSegEstimator

The public names are loaded when they are first used: importing the package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagemaker_semseg.sdk.deserializers import ArrayDeserializer as ArrayDeserializer
    from sagemaker_semseg.sdk.deserializers import BytesDeserializer as BytesDeserializer
    from sagemaker_semseg.sdk.estimator import SemSegEstimator as SemSegEstimator
    from sagemaker_semseg.sdk.model import SemSegModel as SemSegModel
    from sagemaker_semseg.sdk.predictor import SemSegPredictor as SemSegPredictor
    from sagemaker_semseg.sdk.serializers import IdentitySerializer as IdentitySerializer
    from sagemaker_semseg.sdk.serializers import ImageSerializer as ImageSerializer
    from sagemaker_semseg.sdk.transformer import SemSegTransformer as SemSegTransformer

__version__ = "0.1.0"

_HOMES = {
    "ArrayDeserializer": "sdk.deserializers",
    "BytesDeserializer": "sdk.deserializers",
    "IdentitySerializer": "sdk.serializers",
    "ImageSerializer": "sdk.serializers",
    "SemSegEstimator": "sdk.estimator",
    "SemSegModel": "sdk.model",
    "SemSegPredictor": "sdk.predictor",
    "SemSegTransformer": "sdk.transformer",
}

__all__ = [  # ``__getattr__`` has them
    "ArrayDeserializer",
    "BytesDeserializer",
    "IdentitySerializer",
    "ImageSerializer",
    "SemSegEstimator",
    "SemSegModel",
    "SemSegPredictor",
    "SemSegTransformer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
