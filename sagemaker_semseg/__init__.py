"""Semantic segmentation in the shape of Amazon SageMaker's built-in algorithm, open and runnable anywhere.

    from sagemaker_semseg import SemSegEstimator

The public names are loaded when they are first used: importing the package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sagemaker_semseg.environment import use_onednn as _use_onednn

_use_onednn()  # before the user's own ``import keras``, which loads TensorFlow

if TYPE_CHECKING:
    from sagemaker_semseg.inference import Segmenter as Segmenter
    from sagemaker_semseg.jobs.api import evaluate as evaluate
    from sagemaker_semseg.jobs.api import export_model as export_model
    from sagemaker_semseg.jobs.api import predict as predict
    from sagemaker_semseg.jobs.api import quantize as quantize
    from sagemaker_semseg.jobs.api import train as train
    from sagemaker_semseg.jobs.api import write_report as write_report
    from sagemaker_semseg.sdk import deserializers as deserializers
    from sagemaker_semseg.sdk import serializers as serializers
    from sagemaker_semseg.sdk import training_input as inputs  # noqa: F401
    from sagemaker_semseg.sdk import tuner as tuner
    from sagemaker_semseg.sdk.deserializers import ArrayDeserializer as ArrayDeserializer
    from sagemaker_semseg.sdk.deserializers import BytesDeserializer as BytesDeserializer
    from sagemaker_semseg.sdk.estimator import SemSegEstimator as SemSegEstimator
    from sagemaker_semseg.sdk.model import SemSegModel as SemSegModel
    from sagemaker_semseg.sdk.parameters import CategoricalParameter as CategoricalParameter
    from sagemaker_semseg.sdk.parameters import ContinuousParameter as ContinuousParameter
    from sagemaker_semseg.sdk.parameters import IntegerParameter as IntegerParameter
    from sagemaker_semseg.sdk.predictor import SemSegPredictor as SemSegPredictor
    from sagemaker_semseg.sdk.serializers import IdentitySerializer as IdentitySerializer
    from sagemaker_semseg.sdk.serializers import ImageSerializer as ImageSerializer
    from sagemaker_semseg.sdk.training_input import ShuffleConfig as ShuffleConfig
    from sagemaker_semseg.sdk.training_input import TrainingInput as TrainingInput
    from sagemaker_semseg.sdk.transformer import SemSegTransformer as SemSegTransformer
    from sagemaker_semseg.sdk.tuner import HyperparameterTuner as HyperparameterTuner
    from sagemaker_semseg.sdk.tuner import Tuner as Tuner

__version__ = "0.1.0"

_HOMES = {
    "ArrayDeserializer": "sdk.deserializers",
    "BytesDeserializer": "sdk.deserializers",
    "CategoricalParameter": "sdk.parameters",
    "ContinuousParameter": "sdk.parameters",
    "HyperparameterTuner": "sdk.tuner",
    "IdentitySerializer": "sdk.serializers",
    "ImageSerializer": "sdk.serializers",
    "IntegerParameter": "sdk.parameters",
    "Segmenter": "inference",
    "SemSegEstimator": "sdk.estimator",
    "SemSegModel": "sdk.model",
    "SemSegPredictor": "sdk.predictor",
    "SemSegTransformer": "sdk.transformer",
    "ShuffleConfig": "sdk.training_input",
    "TrainingInput": "sdk.training_input",
    "Tuner": "sdk.tuner",
    "evaluate": "jobs.api",
    "export_model": "jobs.api",
    "predict": "jobs.api",
    "quantize": "jobs.api",
    "train": "jobs.api",
    "write_report": "jobs.api",
}
# by v2's names, for notebooks that begin with ``import sagemaker_semseg as sagemaker``
_MODULES = {
    "deserializers": "sdk.deserializers",
    "inputs": "sdk.training_input",
    "serializers": "sdk.serializers",
    "tuner": "sdk.tuner",
}

__all__ = [  # ``__getattr__`` has them
    "ArrayDeserializer",
    "BytesDeserializer",
    "CategoricalParameter",
    "ContinuousParameter",
    "HyperparameterTuner",
    "IdentitySerializer",
    "ImageSerializer",
    "IntegerParameter",
    "Segmenter",
    "SemSegEstimator",
    "SemSegModel",
    "SemSegPredictor",
    "SemSegTransformer",
    "ShuffleConfig",
    "TrainingInput",
    "Tuner",
    "evaluate",
    "export_model",
    "predict",
    "quantize",
    "replace_sagemaker",
    "restore_sagemaker",
    "train",
    "write_report",
]


def replace_sagemaker(instance_type: str | None = None) -> None:
    """Make ``import sagemaker`` mean ``sagemaker_semseg.sagemaker`` in this process, so that no cell has to change.

    It doesn't matter whether AWS's SDK is installed. ``%load_ext sagemaker_semseg`` does the same in a notebook.

    Args:
        instance_type: "local" or "local_gpu" sends every ``ml.*`` job to this machine; None leaves them as they are.

    Example:
        import sagemaker_semseg
        sagemaker_semseg.replace_sagemaker(instance_type="local")
        import sagemaker
    """
    from sagemaker_semseg import sagemaker  # noqa: F401  # loads all of its modules
    from sagemaker_semseg.sagemaker import replacing

    replacing.replace(instance_type)


def restore_sagemaker() -> None:
    """Undo ``replace_sagemaker``: ``import sagemaker`` means AWS's SDK again, if that is installed."""
    from sagemaker_semseg.sagemaker import replacing

    replacing.restore()


def load_ipython_extension(ipython: Any) -> None:
    """Call ``replace_sagemaker``: ``%load_ext sagemaker_semseg`` in a notebook."""
    replace_sagemaker()


def unload_ipython_extension(ipython: Any) -> None:
    """Call ``restore_sagemaker``: ``%unload_ext sagemaker_semseg`` in a notebook."""
    restore_sagemaker()


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name) or _MODULES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{home}")
    value = globals()[name] = module if name in _MODULES else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
