"""Specifications of jobs, models and endpoints, and the interface of the places that run them.

``local`` (this machine) and ``remote`` (SageMaker) implement ``Backend``; the estimator, predictor, transformer and
tuner use nothing else of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.parameters import Parameter
from sagemaker_semseg.storage import in_s3, local_path

LOCAL_TYPES = ("local", "local_gpu")
"""Instance types that mean this machine, as in the SageMaker Python SDK."""

Status = Literal["InProgress", "Stopping", "Stopped", "Completed", "Failed"]
"""Of a job, in SageMaker's words; the last three are its end."""

ENDED = ("Stopped", "Completed", "Failed")


class JobFailed(UserError):
    """A job or an endpoint has failed; the message has its reason."""


class InvocationFailed(UserError):
    """An endpoint has refused a request. status: of its answer."""

    def __init__(self, message: str, faults: Sequence[Fault] = (), status: int = 0):
        super().__init__(message, faults)
        self.status = status


@dataclass(frozen=True)
class Channel:
    """One channel of a job; None for what wasn't given.

    place: as it was given: a path, ``file://`` or ``s3://``. attribute_names: of an augmented manifest, the image's
    first. shuffle_seed: for the order in which SageMaker streams the objects. The others have SageMaker's values.
    """

    name: str
    place: str
    content_type: str | None = None
    input_mode: str | None = None
    data_type: str = "S3Prefix"
    distribution: str = "FullyReplicated"
    compression: str | None = None
    record_wrapping: str | None = None
    attribute_names: tuple[str, ...] = ()
    shuffle_seed: int | None = None
    instance_groups: tuple[str, ...] = ()

    def is_piped(self, mode: str) -> bool:
        """Return whether the channel is in Pipe mode. mode: the job's, for channels without their own."""
        return (self.input_mode or mode) == "Pipe"

    @property
    def is_local(self) -> bool:
        return not in_s3(self.place)

    @property
    def path(self) -> Path:
        """The path of a local channel."""
        return local_path(self.place)


@dataclass(frozen=True)
class TrainingSpec:
    """One training job; None for what wasn't given.

    hyperparameters: checked, as strings, without those that weren't given. instance_count to training_plan: the
    estimator's arguments under their names; ``more`` has those that only SageMaker uses.
    """

    name: str
    hyperparameters: Mapping[str, str]
    channels: Sequence[Channel]
    instance_type: str
    instance_count: int = 1
    image_uri: str | None = None
    role: str | None = None
    keep_alive_period_in_seconds: int | None = None
    volume_size: int = 30
    volume_kms_key: str | None = None
    max_run: int = 24 * 60 * 60
    input_mode: str = "File"
    output_path: str | None = None
    output_kms_key: str | None = None
    tags: Sequence[Mapping[str, str]] = ()
    subnets: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    metric_definitions: Sequence[Mapping[str, str]] = ()
    encrypt_inter_container_traffic: bool = False
    use_spot_instances: bool = False
    max_wait: int | None = None
    checkpoint_s3_uri: str | None = None
    checkpoint_local_path: str | None = None
    enable_network_isolation: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # it may hold secrets
    max_retry_attempts: int | None = None
    experiment_config: Mapping[str, str] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """A model: an artifact, and the container that serves it. model_data: a path or s3://."""

    name: str
    model_data: str
    image_uri: str | None = None
    role: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    subnets: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    enable_network_isolation: bool = False
    tags: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class EndpointSpec:
    """An endpoint for a model. The arguments of ``deploy`` under their names."""

    name: str
    model: ModelSpec
    instance_type: str | None
    initial_instance_count: int | None = 1
    tags: Sequence[Mapping[str, str]] = ()
    kms_key: str | None = None
    data_capture_config: Any = None
    serverless_inference_config: Any = None
    async_inference_config: Any = None
    volume_size: int | None = None
    model_data_download_timeout: int | None = None
    container_startup_health_check_timeout: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TransformSpec:
    """A batch transform: every object below ``data`` is one request. The arguments of SDK 2's ``Transformer``."""

    name: str
    model: ModelSpec
    data: str
    output_path: str | None
    instance_type: str
    instance_count: int = 1
    data_type: str = "S3Prefix"
    content_type: str | None = None
    compression_type: str | None = None
    split_type: str | None = None
    accept: str | None = None
    assemble_with: str | None = None
    strategy: str | None = None
    max_concurrent_transforms: int | None = None
    max_payload: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    output_kms_key: str | None = None
    volume_kms_key: str | None = None
    tags: Sequence[Mapping[str, str]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TuningSpec:
    """A search over hyperparameters by trainings that are otherwise equal. The arguments of SDK 2's tuner.

    training: what all trainings share. ranges: checked. max_jobs: None for all points of a grid.
    """

    name: str
    training: TrainingSpec
    ranges: Mapping[str, Parameter]
    objective_metric_name: str = "validation:mIOU"
    objective_type: str = "Maximize"
    strategy: str = "Bayesian"
    max_jobs: int | None = 1
    max_parallel_jobs: int = 1
    max_runtime_in_seconds: int | None = None
    early_stopping_type: str = "Off"
    random_seed: int | None = None
    strategy_config: Mapping[str, Any] | None = None
    completion_criteria_config: Mapping[str, Any] | None = None
    warm_start_config: Mapping[str, Any] | None = None
    tags: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class State:
    """The state of a job.

    failure: why it failed or was stopped; else empty. output: where the results are or will be: a training's
    ``model.tar.gz``, a transform's folder. spec: how it was started, as far as that is known.
    """

    name: str
    status: Status
    failure: str = ""
    output: str | None = None
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    spec: TrainingSpec | TransformSpec | None = None


class Job(Protocol):
    """A training or a transform, started by any process."""

    name: str

    def state(self) -> State:
        """Return its current state."""

    def stop(self) -> None:
        """Request its end with the results so far. Returns at once; a second request changes nothing."""

    def logs(self, *, follow: bool) -> Iterator[str]:
        """Yield the lines of its log; with ``follow`` until it has ended."""

    def wait(self, *, logs: bool) -> State:
        """Return when it has ended, ``Completed`` or ``Stopped``, printing its log meanwhile. Raises ``JobFailed``.

        Ctrl-C: a job that ends with this process is stopped and waited for, others keep running; then it is raised.
        """


class TuningJob(Protocol):
    """A tuning, started by any process. Its descriptions have SageMaker's form. job_name: SDK 2's word for the name."""

    name: str
    job_name: str

    def spec(self) -> TuningSpec:
        """Return how it was started, as far as that is known."""

    def describe(self) -> Mapping[str, Any]:
        """Return an answer in the form of DescribeHyperParameterTuningJob."""

    def training_jobs(self) -> list[Mapping[str, Any]]:
        """Return its trainings in the form of ListTrainingJobsForHyperParameterTuningJob."""

    def best_training_job(self) -> str | None:
        """Return its best training's name, or None while none has an objective."""

    def stop(self) -> None:
        """Request its end with the results so far. Returns at once; a second request changes nothing."""

    def wait(self) -> Any:
        """Return when it has ended, ``Completed`` or ``Stopped``, printing its progress. Raises ``JobFailed``.

        Ctrl-C: as of a ``Job``.
        """


@dataclass(frozen=True)
class Reply:
    """An endpoint's answer. body: has ``read()``, as botocore's stream has, and ``close()``."""

    body: Any
    content_type: str


class Endpoint(Protocol):
    """An endpoint, started by any process."""

    name: str

    def invoke(self, arguments: Mapping[str, Any]) -> Reply:
        """Send a request. arguments: boto3's ``invoke_endpoint``: Body, ContentType, Accept, CustomAttributes.

        Raises ``InvocationFailed`` with the model's error.
        """

    def wait(self) -> None:
        """Return when it takes requests. Raises ``JobFailed``."""

    def delete(self, *, config: bool = True) -> None:
        """Delete it. config: also its configuration, where there is one."""

    def delete_model(self) -> None:
        """Delete its model, where that is a thing of its own. The artifact stays."""


class Backend(Protocol):
    """A place that runs jobs: this machine or SageMaker."""

    def faults(self, spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec) -> list[Fault]:
        """Return what would keep it from starting, as far as that can be known without starting it.

        The faults of a tuning's training are not among the tuning's.
        """

    def train(self, spec: TrainingSpec, *, attached: bool) -> Job:
        """Start a training. attached: it ends when this process does (where there is a choice).

        Raises ``UserError``, also for a name that is taken.
        """

    def training_job(self, name: str) -> Job:
        """Return a training job. Raises ``UserError`` if there is none of the name."""

    def create_model(self, spec: ModelSpec) -> None:
        """Create the model, where that is needed."""

    def delete_model(self, name: str) -> None: ...

    def deploy(self, spec: EndpointSpec, *, attached: bool) -> Endpoint:
        """Start an endpoint; ``wait`` for it before use. Creates the model, too. attached: as in ``train``."""

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint. Raises ``UserError`` if there is none of the name."""

    def transform(self, spec: TransformSpec, *, attached: bool) -> Job: ...

    def transform_job(self, name: str) -> Job: ...

    def tune(self, spec: TuningSpec, *, attached: bool) -> TuningJob:
        """Start a tuning. On this machine an ended one of the same name is resumed."""

    def tuning_job(self, name: str) -> TuningJob:
        """Return a tuning job. Raises ``UserError`` if there is none of the name."""
