"""Builds the request CreateTrainingJob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.inputs import AUGMENTED
from sagemaker_semseg.sdk.requests.shared_fields import (
    Request,
    check_image,
    check_more,
    check_name,
    check_role,
    check_s3,
    check_vpc,
    given,
    refuse,
    tag_list,
    vpc_config,
)
from sagemaker_semseg.sdk.specs import Channel, TrainingSpec
from sagemaker_semseg.sdk.tensorboard_output import request_form, tensorboard_faults

_MODES = ("File", "Pipe", "FastFile")
# rules and hooks of SageMaker's debugger look into frameworks' scripts, of which this has none
_MORE = (
    "enable_sagemaker_metrics",
    "disable_output_compression",
    "training_plan",
    "instance_placement_config",
    "container_entry_point",
    "container_arguments",
    "training_repository_access_mode",
    "training_repository_credentials_provider_arn",
    "enable_infra_check",
    "enable_remote_debug",
    "enable_session_tag_chaining",
    "disable_profiler",
    "profiler_config",
    "tensorboard_output_config",
)
_MOST_CHANNELS, _MOST_DEFINITIONS, _MOST_ATTRIBUTES = 20, 40, 16


def training_job(spec: TrainingSpec) -> Request:
    """Return the request CreateTrainingJob.

    spec: with everything in S3, the role's ARN and the image. The user's metric definitions follow this package's,
    since SageMaker doesn't know the image. Raises ``UserError`` with every fault.
    """
    refuse(training_faults(spec))
    more = dict(spec.more)
    compression = "NONE" if more.get("disable_output_compression") else None
    retries = None if spec.max_retry_attempts is None else {"MaximumRetryAttempts": spec.max_retry_attempts}
    checkpoints = given(S3Uri=spec.checkpoint_s3_uri, LocalPath=spec.checkpoint_local_path)
    return given(
        TrainingJobName=spec.name,
        AlgorithmSpecification=given(
            TrainingImage=spec.image_uri,
            TrainingInputMode=spec.input_mode,
            MetricDefinitions=definitions(spec.metric_definitions),
            EnableSageMakerMetricsTimeSeries=more.get("enable_sagemaker_metrics"),
            ContainerEntrypoint=more.get("container_entry_point"),
            ContainerArguments=more.get("container_arguments"),
            TrainingImageConfig=_image_config(spec),
        ),
        RoleArn=spec.role,
        HyperParameters=dict(spec.hyperparameters) or None,
        InputDataConfig=[input_data(channel) for channel in spec.channels],
        OutputDataConfig=given(
            S3OutputPath=spec.output_path, KmsKeyId=spec.output_kms_key, CompressionType=compression
        ),
        ResourceConfig=given(
            InstanceType=spec.instance_type,
            InstanceCount=spec.instance_count,
            VolumeSizeInGB=spec.volume_size,
            VolumeKmsKeyId=spec.volume_kms_key,
            KeepAlivePeriodInSeconds=spec.keep_alive_period_in_seconds,
            TrainingPlanArn=more.get("training_plan"),
            InstancePlacementConfig=more.get("instance_placement_config"),
        ),
        StoppingCondition=given(MaxRuntimeInSeconds=spec.max_run, MaxWaitTimeInSeconds=spec.max_wait),
        VpcConfig=vpc_config(spec),
        Tags=tag_list(spec.tags),
        EnableNetworkIsolation=spec.enable_network_isolation or None,
        EnableInterContainerTrafficEncryption=spec.encrypt_inter_container_traffic or None,
        EnableManagedSpotTraining=spec.use_spot_instances or None,
        CheckpointConfig=checkpoints or None,
        Environment=dict(spec.environment) or None,
        RetryStrategy=retries,
        ExperimentConfig=dict(spec.experiment_config or {}) or None,
        InfraCheckConfig=_switch("EnableInfraCheck", more.get("enable_infra_check")),
        RemoteDebugConfig=_switch("EnableRemoteDebug", more.get("enable_remote_debug")),
        SessionChainingConfig=_switch("EnableSessionTagChaining", more.get("enable_session_tag_chaining")),
        ProfilerConfig=request_form(more.get("profiler_config"))
        or _switch("DisableProfiler", more.get("disable_profiler")),
        TensorBoardOutputConfig=request_form(more.get("tensorboard_output_config")),
    )


def training_faults(spec: TrainingSpec) -> list[Fault]:
    """Return what SageMaker would refuse. The caller checks for missing channels."""
    return [
        *check_name("job_name", spec.name),
        *check_image(spec.image_uri),
        *check_role(spec.role),
        *check_s3("output_path", spec.output_path),
        *check_s3("checkpoint_s3_uri", spec.checkpoint_s3_uri),
        *check_vpc(spec),
        *check_more(spec.more, _MORE),
        *_check_profiler(spec.more),
        *tensorboard_faults(spec),
        *_check_channels(spec.channels, spec.input_mode),
        *_check_time(spec),
        *_check_counts(spec),
    ]


def input_data(channel: Channel) -> Request:
    """Return one entry of ``InputDataConfig``."""
    source = given(
        S3DataType=channel.data_type,
        S3Uri=channel.place,
        S3DataDistributionType=channel.distribution,
        AttributeNames=list(channel.attribute_names) or None,
        InstanceGroupNames=list(channel.instance_groups) or None,
    )
    return given(
        ChannelName=channel.name,
        DataSource={"S3DataSource": source},
        ContentType=channel.content_type,
        CompressionType=channel.compression,
        RecordWrapperType=channel.record_wrapping,
        InputMode=channel.input_mode,
        ShuffleConfig=None if channel.shuffle_seed is None else {"Seed": channel.shuffle_seed},
    )


def definitions(metric_definitions: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return this package's metrics and the user's, who may redefine them."""
    named = {metric["Name"]: dict(metric) for metric in (*METRIC_DEFINITIONS, *metric_definitions)}
    return list(named.values())


def _image_config(spec: TrainingSpec) -> Request | None:
    """Return the configuration of a registry outside AWS, which is reached through the job's network."""
    mode = spec.more.get("training_repository_access_mode")
    provider = spec.more.get("training_repository_credentials_provider_arn")
    if mode is None:
        return None
    credentials = None if provider is None else {"TrainingRepositoryCredentialsProviderArn": provider}
    return given(TrainingRepositoryAccessMode=mode, TrainingRepositoryAuthConfig=credentials)


def _switch(name: str, value: object) -> Request | None:
    return {name: True} if value else None


def _check_channels(channels: Sequence[Channel], input_mode: object) -> list[Fault]:
    faults = []
    if input_mode not in _MODES:
        faults.append(Fault("input_mode", f"{input_mode!r} came, one of {', '.join(_MODES)} is expected"))
    if len(channels) > _MOST_CHANNELS:
        faults.append(Fault("inputs", f"{len(channels)} channels, SageMaker takes {_MOST_CHANNELS}"))
    for channel in channels:
        faults += check_s3(channel.name, channel.place)
        names = channel.attribute_names
        if channel.data_type == AUGMENTED and not names:
            remedy = 'give TrainingInput(..., attribute_names=["source-ref", "...-ref"]), image first'
            faults.append(Fault(channel.name, "an augmented manifest needs the names of its attributes", remedy))
        elif names and channel.data_type != AUGMENTED:
            faults.append(Fault(channel.name, "attribute_names are for manifests", f'set s3_data_type="{AUGMENTED}"'))
        elif len(names) > _MOST_ATTRIBUTES:
            faults.append(Fault(channel.name, f"{len(names)} attributes, SageMaker takes {_MOST_ATTRIBUTES}"))
        if channel.data_type == AUGMENTED and (channel.input_mode or input_mode) != "Pipe":
            remedy = 'set input_mode="Pipe"'
            faults.append(Fault(channel.name, "SageMaker reads augmented manifests in pipe mode only", remedy))
        if channel.data_type == AUGMENTED and channel.record_wrapping != "RecordIO":
            remedy = 'set record_wrapping="RecordIO"'
            faults.append(Fault(channel.name, "without RecordIO, images in a pipe can't be separated", remedy))
    return faults


def _check_profiler(more: Mapping[str, Any]) -> list[Fault]:
    config = more.get("profiler_config")
    if config is None or isinstance(config, Mapping) or callable(getattr(config, "_to_request_dict", None)):
        return []
    what = f"{type(config).__name__} came, one of AWS's objects or a dictionary is expected"
    return [Fault("profiler_config", what)]


def _check_time(spec: TrainingSpec) -> list[Fault]:
    faults = []
    for name, seconds in (("max_run", spec.max_run), ("max_wait", spec.max_wait)):
        if seconds is not None and (not isinstance(seconds, int) or seconds < 1):
            faults.append(Fault(name, f"{seconds!r} came, a number of seconds is expected"))
    if faults:
        return faults
    if spec.use_spot_instances and spec.max_wait is None:
        what = "is missing: spot instances may have to be waited for"
        faults.append(Fault("max_wait", what, f"give max_wait={spec.max_run} or more"))
    if spec.max_wait is not None and not spec.use_spot_instances:
        faults.append(Fault("max_wait", "is for spot instances only", "set use_spot_instances=True, or leave it out"))
    if spec.max_wait is not None and spec.max_wait < spec.max_run:
        what = f"{spec.max_wait} s are less than max_run, {spec.max_run} s"
        faults.append(Fault("max_wait", what, "give at least max_run"))
    if spec.keep_alive_period_in_seconds and spec.use_spot_instances:
        what = "spot instances can't be kept warm"
        faults.append(Fault("keep_alive_period_in_seconds", what, "leave it out, or use_spot_instances"))
    return faults


def _check_counts(spec: TrainingSpec) -> list[Fault]:
    faults = []
    for name, count in (("instance_count", spec.instance_count), ("volume_size", spec.volume_size)):
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            faults.append(Fault(name, f"{count!r} came, an integer from 1 on is expected"))
    for number, metric in enumerate(spec.metric_definitions, 1):
        if not isinstance(metric, Mapping) or set(metric) != {"Name", "Regex"}:
            faults.append(Fault("metric_definitions", f"number {number} is not {{'Name': ..., 'Regex': ...}}"))
    if not faults and len(definitions(spec.metric_definitions)) > _MOST_DEFINITIONS:
        most = _MOST_DEFINITIONS - len(METRIC_DEFINITIONS)
        faults.append(Fault("metric_definitions", f"{len(spec.metric_definitions)} came, there is room for {most}"))
    if spec.checkpoint_local_path and not spec.checkpoint_s3_uri:
        faults.append(Fault("checkpoint_local_path", "checkpoints have no place in S3", "give checkpoint_s3_uri"))
    return faults
