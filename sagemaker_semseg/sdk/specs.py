"""What an estimator asks of the place where it works: this machine (``local``) or SageMaker (``remote``).

Specifications come in, which say everything about one job, model or endpoint; handles to what was started go out.
The estimator, the predictor, the transformer and the tuner call a ``Backend`` and know no more of it than stands here.
Nothing is imported for a backend before it is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.parameters import Parameter
from sagemaker_semseg.storage import is_s3

LOCAL_TYPES = ("local", "local_gpu")
"""Instance types that mean this machine, as in the SageMaker Python SDK."""

Status = Literal["InProgress", "Stopping", "Stopped", "Completed", "Failed"]
"""Of a job, in SageMaker's words; the last three are its end."""

ENDED = ("Stopped", "Completed", "Failed")


class JobFailed(UserError):
    """A job or an endpoint has come to a bad end; the message has the reason that it left."""


class InvocationFailed(UserError):
    """An endpoint has answered that it can't serve a request. status: of its answer."""

    def __init__(self, message: str, faults: Sequence[Fault] = (), status: int = 0):
        super().__init__(message, faults)
        self.status = status


@dataclass(frozen=True)
class Channel:
    """One channel of a job; None where nothing was said.

    place: as it was given: a path, ``file://`` or ``s3://``. attribute_names: of an augmented manifest, the image's
    first. shuffle_seed: draws the order in which SageMaker streams the objects. The others have SageMaker's values.
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
        """Whether it comes through FIFOs. mode: the job's, for channels that have none of their own."""
        return (self.input_mode or mode) == "Pipe"

    @property
    def is_local(self) -> bool:
        return not is_s3(self.place)

    @property
    def path(self) -> Path:
        """Of a local channel."""
        return Path(self.place.removeprefix("file://")).expanduser()


@dataclass(frozen=True)
class TrainingSpec:
    """One training job. What is None wasn't said.

    hyperparameters: checked, as strings, without those that weren't given. instance_count to training_plan: the
    arguments of the estimator, by their names there; ``more`` has those that only SageMaker can make something of.
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
    """An endpoint for a model. The arguments of ``deploy``, by their names there."""

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
    """A batch transform: every object below ``data`` is one request. The arguments of v2's ``Transformer``."""

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
    """A search over hyperparameters, by trainings that are alike but for these. The arguments of v2's tuner.

    training: what all of them share. ranges: checked. max_jobs: None for as many as a grid has points.
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
    """What is known of a job.

    failure: why it has failed or was stopped, in words; empty otherwise. output: where the results are or will be: a
    training's ``model.tar.gz``, a transform's folder. spec: how it was started, as far as that is known.
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
    """A training or a transform that was started, by this process or by another."""

    name: str

    def state(self) -> State:
        """How it stands now."""

    def stop(self) -> None:
        """Ask it to end, with what it has so far. Returns at once; asking twice does no harm."""

    def logs(self, *, follow: bool) -> Iterator[str]:
        """The lines of its log; with ``follow`` until it has ended."""

    def wait(self, *, logs: bool) -> State:
        """Return when it has ended, ``Completed`` or ``Stopped``; print its log meanwhile. Raises ``JobFailed``.

        Ctrl-C: one that ends with this process is asked to stop and waited for, others go on; then it is raised.
        """


class TuningJob(Protocol):
    """A tuning that was started, by this process or by another. What is told of it has SageMaker's words."""

    name: str

    def spec(self) -> TuningSpec:
        """How it was started, as far as that is known."""

    def describe(self) -> Mapping[str, Any]:
        """As DescribeHyperParameterTuningJob tells it."""

    def training_jobs(self) -> list[Mapping[str, Any]]:
        """All that it has started, as ListTrainingJobsForHyperParameterTuningJob tells of them."""

    def best_training_job(self) -> str | None:
        """Its name; None as long as none has an objective."""

    def stop(self) -> None:
        """Ask it to end, with what it has so far. Returns at once; asking twice does no harm."""

    def wait(self) -> Any:
        """Return when it has ended, ``Completed`` or ``Stopped``; print how it goes meanwhile. Raises ``JobFailed``.

        Ctrl-C: as of a ``Job``.
        """


@dataclass(frozen=True)
class Reply:
    """An endpoint's answer. body: has ``read()``, as botocore's stream has, and ``close()``."""

    body: Any
    content_type: str


class Endpoint(Protocol):
    """An endpoint that was started, by this process or by another."""

    name: str

    def invoke(self, arguments: Mapping[str, Any]) -> Reply:
        """arguments: of boto3's ``invoke_endpoint``: Body, ContentType, Accept, CustomAttributes and so on.

        Raises ``InvocationFailed`` with what the model answered, if that is no result.
        """

    def wait(self) -> None:
        """Return when it takes requests. Raises ``JobFailed``."""

    def delete(self, *, config: bool = True) -> None:
        """End it. config: its configuration, too, where there is such a thing."""

    def delete_model(self) -> None:
        """Forget the model behind it, where that is a thing of its own. Its artifact stays."""


class Backend(Protocol):
    """This machine or SageMaker."""

    def faults(self, spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec) -> list[Fault]:
        """What would keep it from starting there, as far as that can be known without starting it.

        Those of a tuning's training are not among the tuning's.
        """

    def train(self, spec: TrainingSpec, *, keep: bool) -> Job:
        """Start a training. keep: it is to end if this process does (where there is a choice).

        Raises ``UserError``; a name that is taken is one.
        """

    def training_job(self, name: str) -> Job:
        """One that was started. Raises ``UserError`` if there is none of the name."""

    def create_model(self, spec: ModelSpec) -> None:
        """Make it known there, where that is needed."""

    def delete_model(self, name: str) -> None: ...

    def deploy(self, spec: EndpointSpec, *, keep: bool) -> Endpoint:
        """Start an endpoint; ``wait`` on it before use. Makes the model known, too. keep: as in ``train``."""

    def endpoint(self, name: str) -> Endpoint:
        """One that was started. Raises ``UserError`` if there is none of the name."""

    def transform(self, spec: TransformSpec, *, keep: bool) -> Job: ...

    def transform_job(self, name: str) -> Job: ...

    def tune(self, spec: TuningSpec, *, keep: bool) -> TuningJob:
        """Start a tuning. On this machine one of the same name that has ended goes on where it was."""

    def tuning_job(self, name: str) -> TuningJob:
        """One that was started. Raises ``UserError`` if there is none of the name."""
