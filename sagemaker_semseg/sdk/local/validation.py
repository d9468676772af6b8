"""Finds what keeps a job or an endpoint from starting on this machine, before anything is started."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.inputs import AUGMENTED, MANIFEST_FILE
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.study import LOCAL_STRATEGIES, MAX_TRIALS, grid_size
from sagemaker_semseg.sdk.parameters import CategoricalParameter
from sagemaker_semseg.sdk.specs import (
    Channel,
    EndpointSpec,
    ModelSpec,
    TrainingSpec,
    TransformSpec,
    TuningSpec,
)
from sagemaker_semseg.sdk.tensorboard_output import NAME as TENSORBOARD
from sagemaker_semseg.sdk.tensorboard_output import tensorboard_faults, tensorboard_place
from sagemaker_semseg.storage import in_s3, local_path

GPU_SIGNS = ("/dev/nvidiactl", "/dev/dxg")
_SERVER = ("starlette", "uvicorn", "h11", "prometheus_client")
CRITERIA = ("TargetObjectiveMetricValue", "BestObjectiveNotImproving")
"""Of SageMaker's TuningJobCompletionCriteria, those that are known here."""

_REMOTE = 'that is there on SageMaker alone: instance_type "ml...."'


def faults(spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec) -> list[Fault]:
    """Return everything that is wrong with ``spec`` for this machine."""
    if isinstance(spec, TuningSpec):
        return list(_tuning(spec))
    if isinstance(spec, TrainingSpec):
        found = _training(spec)
    elif isinstance(spec, EndpointSpec):
        found = _endpoint(spec)
    else:
        found = _transform(spec)
    return [*_machine(spec.instance_type), *found]


def ignored_arguments(spec: TrainingSpec | TuningSpec) -> Iterator[str]:
    """Yield a sentence for each argument that means nothing on this machine."""
    if isinstance(spec, TuningSpec):
        if spec.early_stopping_type != "Off":
            yield "early_stopping_type is ignored on this machine: the hyperparameter early_stopping ends trainings"
        return
    for name in ("use_spot_instances", "max_wait"):
        if getattr(spec, name):
            yield f"{name} is ignored: this machine has no spot instances"
    if spec.checkpoint_local_path:
        yield "checkpoint_local_path is ignored: on this machine checkpoints are in the job's folder"


def notes(spec: TrainingSpec) -> Iterator[str]:
    """Yield what is worth knowing of a training before it starts."""
    if spec.image_uri:
        yield f"image_uri isn't needed on this machine, which runs this package itself: {spec.image_uri}"


def _machine(instance_type: str | None) -> Iterator[Fault]:
    if sys.platform == "win32":
        yield Fault("instance_type", "jobs on this machine need Linux or macOS", "run it in WSL")
    if instance_type == "local_gpu" and not shutil.which("nvidia-smi") and not any(map(_exists, GPU_SIGNS)):
        yield Fault("instance_type", "local_gpu, and this machine shows no NVIDIA GPU", 'use "local"')


def _training(spec: TrainingSpec) -> Iterator[Fault]:
    if spec.instance_count > 1 and spec.instance_type == "local_gpu":
        what = "is more than 1, and the processes would share this machine's GPUs"
        yield Fault("instance_count", what, 'give 1, which uses all GPUs, or instance_type="local"')
    if spec.instance_count > 1 and any(channel.is_piped(spec.input_mode) for channel in spec.channels):
        yield Fault("instance_count", "is more than 1, and a pipe has one reader", "give 1, or input_mode='File'")
    yield from _faults_of_name("training", spec.name)
    for channel in spec.channels:
        yield from _channel(channel, spec.input_mode)
    yield from _writable("output_path", spec.output_path)
    found = list(tensorboard_faults(spec))
    yield from found or _writable(TENSORBOARD, tensorboard_place(spec))


def _channel(channel: Channel, mode: str) -> Iterator[Fault]:
    if channel.is_piped(mode) and (channel.data_type != AUGMENTED or channel.record_wrapping != "RecordIO"):
        what = "in Pipe mode a channel is an augmented manifest in RecordIO"
        remedy = "give TrainingInput(..., s3_data_type='AugmentedManifestFile', record_wrapping='RecordIO')"
        yield Fault(channel.name, what, remedy)
    if not channel.is_local:
        return
    path = channel.path
    if not path.exists():
        yield Fault(channel.name, f"{channel.place}: no such file or folder", "check the path")
    elif path.is_dir() and not any(path.iterdir()):
        yield Fault(channel.name, f"{channel.place} is empty", "give the folder that holds the channel's files")


def _endpoint(spec: EndpointSpec) -> Iterator[Fault]:
    yield from _one_machine("initial_instance_count", spec.initial_instance_count or 1)
    yield from _faults_of_name("endpoints", spec.name)
    for name in ("serverless_inference_config", "async_inference_config", "data_capture_config"):
        if getattr(spec, name) is not None:
            yield Fault(name, _REMOTE, "leave it out")
    yield from _serving(spec.model)


def _transform(spec: TransformSpec) -> Iterator[Fault]:
    yield from _one_machine("instance_count", spec.instance_count)
    yield from _faults_of_name("transforms", spec.name)
    only = {
        "data_type": ("S3Prefix", MANIFEST_FILE, None),
        "split_type": ("None", None),
        "assemble_with": ("None", None),
        "compression_type": ("None", None),
        "strategy": ("SingleRecord", "MultiRecord", None),
    }
    for name, allowed in only.items():
        if (value := getattr(spec, name)) not in allowed:
            expected = " or ".join(map(str, allowed))
            yield Fault(name, f"is {value!r}; each file is one image and one reply: {expected}", "leave it out")
    for name in spec.more:
        yield Fault(name, _REMOTE, "leave it out")
    if not in_s3(spec.data) and not local_path(spec.data).exists():
        yield Fault("data", f"{spec.data}: no such file or folder", "check the path")
    yield from _writable("output_path", spec.output_path)
    yield from _serving(spec.model)


def _tuning(spec: TuningSpec) -> Iterator[Fault]:
    yield from _faults_of_name("tuning", spec.name)
    if spec.strategy not in LOCAL_STRATEGIES:
        what = f"is {spec.strategy!r}; on this machine there are {', '.join(LOCAL_STRATEGIES)}"
        yield Fault("strategy", what, "give one of them")
    if find_spec("optuna") is None:
        yield Fault("this machine", "tuning needs optuna", "pip install 'sagemaker-semseg[tune]'")
    if spec.strategy == "Grid":
        for name, parameter in spec.ranges.items():
            if not isinstance(parameter, CategoricalParameter):
                yield Fault(name, "a grid has choices, and this is a range", "give it a CategoricalParameter")
    if (spec.max_jobs or grid_size(spec.ranges)) > MAX_TRIALS:
        yield Fault("max_jobs", f"this machine runs at most {MAX_TRIALS} jobs of a tuning", "give fewer")
    for name in ("warm_start_config", "strategy_config"):
        if getattr(spec, name):
            yield Fault(name, _REMOTE, "leave it out")
    for name in set(spec.completion_criteria_config or ()) - set(CRITERIA):
        yield Fault("completion_criteria_config", f"{name}: {_REMOTE}", f"there are {' and '.join(CRITERIA)}")


def _serving(model: ModelSpec) -> Iterator[Fault]:
    if not in_s3(model.model_data) and not local_path(model.model_data).exists():
        yield Fault("model_data", f"{model.model_data}: no such file", "train first, or check the path")
    if missing := [name for name in _SERVER if find_spec(name) is None]:
        what = f"the server needs {', '.join(missing)}"
        yield Fault("this machine", what, "pip install 'sagemaker-semseg[serve]'")


def _one_machine(name: str, count: int) -> Iterator[Fault]:
    if count != 1:
        yield Fault(name, f"is {count}; this machine is one", "give 1")


def _faults_of_name(kind: str, name: str) -> Iterator[Fault]:
    try:
        JobStore(kind).folder(name)  # type: ignore[arg-type]
    except UserError as error:
        yield Fault("name", error.message, "give another name")


def _writable(name: str, place: str | None) -> Iterator[Fault]:
    if place and not in_s3(place):
        path = local_path(place).absolute()
        above = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
        if not above.is_dir():
            yield Fault(name, f"{place}: {above} is a file", "give a folder")


def _exists(path: str) -> bool:
    return Path(path).exists()
