"""Errors for names of SDK 2 that this package doesn't have: they say what to use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, NoReturn

from sagemaker_semseg.errors import UserError

HERE: Final = "sagemaker_semseg.sagemaker"

_METHODS: Final = (
    "use the methods of the estimator, the predictor and the transformer; boto3 for everything else of AWS"
)

# the beginning of a name in SDK 2 -> what to use; the longest one that fits counts
INSTEAD: Final = {
    "": "this package has the semantic segmentation algorithm alone",
    "Processor": "a step before or after the training is plain Python here",
    "ScriptProcessor": "a step before or after the training is plain Python here",
    "processing": "a step before or after the training is plain Python here",
    "workflow": "a pipeline's steps are plain calls here: fit, deploy, transform",
    "pipeline": "one model serves an endpoint: sagemaker.model.Model",
    "multidatamodel": "an endpoint serves one model: sagemaker.model.Model",
    "debugger": "fit prints the metrics; estimator.training_job_analytics has them as a table",
    "experiments": "estimator.training_job_analytics has a training's metrics",
    "lineage": "estimator.latest_training_job.describe() has what a job was started with",
    "model_monitor": "the endpoint has Prometheus' metrics: docs/serving.md",
    "jumpstart": "pretrained weights: use_pretrained_model=True, or the channels model and pretrained",
    "predictor_async": "deploy(async_inference_config=...) returns a predictor that waits for the reply",
    "serializers": "images are sent as bytes: ImageSerializer, IdentitySerializer or one of your own",
    "deserializers": "masks and probabilities: BytesDeserializer, NumpyDeserializer or one of your own",
    "inputs": "use TrainingInput",
    "predictor": "use Predictor; sagemaker.serializers and sagemaker.deserializers are for its bytes",
    "model": "use sagemaker.model.Model",
    "estimator": "use sagemaker.estimator.Estimator",
    "transformer": "call estimator.transformer(...) or Model(...).transformer(...)",
    "tuner": "use HyperparameterTuner; its configurations are dictionaries of SageMaker's API",
    "LocalSession": _METHODS,
    "Estimator": "docs/sdk.md has its methods; estimator.latest_training_job those of the job",
    "Predictor": "docs/sdk.md has its methods",
    "Model": "docs/sdk.md has its methods: create, deploy, transformer, delete_model",
    "Transformer": "docs/sdk.md has its methods: transform, wait, stop_transform_job",
    "HyperparameterTuner": "docs/tuning.md has its methods",
    "TrainingJobAnalytics": "dataframe() has the metrics",
    "HyperparameterTuningJobAnalytics": "dataframe() and description() have what is known",
    "session": _METHODS,
    "Session": _METHODS,
    "image_uris": "use image_uris.retrieve('semantic-segmentation', region)",
    "local": 'instance_type="local" runs a job on this machine, without Docker',
    "amazon": "use amazon_estimator.get_image_uri, common.read_recordio and record_pb2.Record of it",
    "analytics": "there are TrainingJobAnalytics and HyperparameterTuningJobAnalytics",
    "s3": "use S3Uploader and S3Downloader",
}


class NotHereError(UserError, ImportError):
    """A name of AWS's SDK 2 has nothing that corresponds to it here."""


class NoSuchMethodError(UserError, AttributeError):
    """A method of a class of AWS's SDK 2 has nothing that corresponds to it here."""


class AbsentMethods:
    """A base class whose missing public attributes raise ``NoSuchMethodError``."""

    def __getattr__(self, name: str) -> Any:
        owner = type(self).__name__
        if name.startswith("_"):
            raise AttributeError(f"{owner} has no attribute {name!r}")
        raise NoSuchMethodError(missing(f"{owner}.{name}").message)


def missing(name: str) -> NotHereError:
    """Return the error for a name of SDK 2, such as ``processing.Processor``."""
    parts = name.split(".")
    begins = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    instead = next((INSTEAD[begin] for begin in begins if begin in INSTEAD), INSTEAD[""])
    return NotHereError(
        f"sagemaker.{name} isn't here: {instead}.\n"
        "For AWS's own SDK: sagemaker_semseg.restore_sagemaker(), and pip install 'sagemaker>=2,<3'"
    )


def attribute_of(module: str) -> Callable[[str], NoReturn]:
    """Return a module's ``__getattr__``. Private names are absent as in any module."""

    def __getattr__(name: str) -> NoReturn:
        if name.startswith("_") or name == "replacing":  # a module of this room, before it is loaded
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise missing(f"{module.removeprefix(HERE)}.{name}".lstrip("."))

    return __getattr__


class _Finder(MetaPathFinder):
    """Asked last, for modules that nothing else has found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for root in _roots:
            if fullname.startswith(f"{root}.") and not fullname.rpartition(".")[2].startswith("_"):
                raise missing(fullname[len(root) + 1 :])
        return None


_finder = _Finder()
_roots: set[str] = set()


def watch_imports(root: str = HERE) -> None:
    """Raise the error for modules below a name, too."""
    _roots.add(root)
    if not any(finder is _finder for finder in sys.meta_path):
        sys.meta_path.append(_finder)


def ignore_imports(root: str) -> None:
    """Undo ``watch_imports``."""
    _roots.discard(root)
