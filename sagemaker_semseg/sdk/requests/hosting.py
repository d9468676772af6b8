"""Builds the requests CreateModel, CreateEndpointConfig and CreateEndpoint."""

from __future__ import annotations

from collections.abc import Mapping

from sagemaker_semseg.errors import Fault
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
from sagemaker_semseg.sdk.specs import EndpointSpec, ModelSpec

VARIANT = "AllTraffic"
_SERVERLESS_MEMORY = range(1024, 6144 + 1, 1024)


def model(spec: ModelSpec) -> Request:
    """Return the request CreateModel. spec: with the artifact in S3, the role's ARN and the image."""
    refuse(model_faults(spec))
    container = {"Image": spec.image_uri, "Environment": dict(spec.environment), "ModelDataUrl": spec.model_data}
    return given(
        ModelName=spec.name,
        PrimaryContainer=container,
        ExecutionRoleArn=spec.role,
        VpcConfig=vpc_config(spec),
        EnableNetworkIsolation=spec.enable_network_isolation or None,
        Tags=tag_list(spec.tags),
    )


def model_faults(spec: ModelSpec) -> list[Fault]:
    """Return what SageMaker would refuse of a model."""
    return [
        *check_name("model_name", spec.name),
        *check_image(spec.image_uri),
        *check_role(spec.role),
        *check_s3("model_data", spec.model_data or ""),
        *check_vpc(spec),
    ]


def endpoint_config(spec: EndpointSpec, *, default_output_path: str | None = None) -> Request:
    """Return the request CreateEndpointConfig for one model: real-time, serverless or asynchronous.

    The configurations in ``spec`` may be AWS's objects or mappings in the API's form. default_output_path: where they
    write, unless they name a place.
    """
    serverless = _serverless(spec.serverless_inference_config)
    asynchronous = _asynchronous(spec.async_inference_config, default_output_path)
    capture = _capture(spec.data_capture_config, default_output_path)
    refuse([
        *endpoint_faults(spec),
        *([] if asynchronous is None else check_s3("output_path", asynchronous["OutputConfig"].get("S3OutputPath"))),
        *([] if capture is None else check_s3("destination_s3_uri", capture.get("DestinationS3Uri"))),
    ])  # fmt: skip
    variant = given(
        VariantName=VARIANT,
        ModelName=spec.model.name,
        InitialVariantWeight=1,
        InitialInstanceCount=None if serverless else spec.initial_instance_count,
        InstanceType=None if serverless else spec.instance_type,
        ServerlessConfig=serverless,
        VolumeSizeInGB=spec.volume_size,
        ModelDataDownloadTimeoutInSeconds=spec.model_data_download_timeout,
        ContainerStartupHealthCheckTimeoutInSeconds=spec.container_startup_health_check_timeout,
    )
    return given(
        EndpointConfigName=spec.name,
        ProductionVariants=[variant],
        KmsKeyId=spec.kms_key,
        DataCaptureConfig=capture,
        AsyncInferenceConfig=asynchronous,
        Tags=tag_list(spec.tags),
    )


def needs_output_path(spec: EndpointSpec) -> bool:
    """Return whether a configuration of an endpoint doesn't say where it writes."""
    asynchronous = _asynchronous(spec.async_inference_config, None)
    capture = _capture(spec.data_capture_config, None)
    places = ("S3OutputPath", "S3FailurePath")
    return (asynchronous is not None and not all(map(asynchronous["OutputConfig"].get, places))) or (
        capture is not None and not capture.get("DestinationS3Uri")
    )


def endpoint_faults(spec: EndpointSpec) -> list[Fault]:
    """Return what SageMaker would refuse of an endpoint, except its model."""
    serverless = _serverless(spec.serverless_inference_config)
    return [
        *check_name("endpoint_name", spec.name),
        *check_more(spec.more, ()),
        *(_check_machines(spec) if serverless is None else _check_serverless(serverless, spec)),
    ]


def endpoint(spec: EndpointSpec) -> Request:
    """Return the request CreateEndpoint; the configuration has the endpoint's name."""
    return given(EndpointName=spec.name, EndpointConfigName=spec.name, Tags=tag_list(spec.tags))


def _form(config: object, members: Mapping[str, str], what: str) -> Request | None:
    """Return a configuration in the API's form, from a mapping or from one of AWS's objects."""
    if config is None:
        return None
    if isinstance(config, Mapping):
        return dict(config)
    if not any(hasattr(config, attribute) for attribute in members.values()):
        refuse([Fault(what, f"{type(config).__name__} came", f"give AWS's object, or {{{', '.join(members)}}}")])
    return given(**{key: getattr(config, attribute, None) for key, attribute in members.items()})


def _serverless(config: object) -> Request | None:
    members = {
        "MemorySizeInMB": "memory_size_in_mb",
        "MaxConcurrency": "max_concurrency",
        "ProvisionedConcurrency": "provisioned_concurrency",
    }
    form = _form(config, members, "serverless_inference_config")
    return None if form is None else {"MemorySizeInMB": 2048, "MaxConcurrency": 5, **form}


def _asynchronous(config: object, default: str | None) -> Request | None:
    places = given(S3OutputPath=_below(default, "async-out"), S3FailurePath=_below(default, "async-failures"))
    if isinstance(config, Mapping):
        return {**config, "OutputConfig": {**places, **config.get("OutputConfig", {})}}
    members = {
        "S3OutputPath": "output_path",
        "S3FailurePath": "failure_path",
        "KmsKeyId": "kms_key_id",
        "NotificationConfig": "notification_config",
        "MaxConcurrentInvocationsPerInstance": "max_concurrent_invocations_per_instance",
    }
    form = _form(config, members, "async_inference_config")
    if form is None:
        return None
    most = form.pop("MaxConcurrentInvocationsPerInstance", None)
    client = None if most is None else {"MaxConcurrentInvocationsPerInstance": most}
    return given(ClientConfig=client, OutputConfig={**places, **form})


def _capture(config: object, default: str | None) -> Request | None:
    members = {
        "EnableCapture": "enable_capture",
        "InitialSamplingPercentage": "sampling_percentage",
        "DestinationS3Uri": "destination_s3_uri",
        "KmsKeyId": "kms_key_id",
        "CaptureOptions": "capture_options",
        "CsvContentTypes": "csv_content_types",
        "JsonContentTypes": "json_content_types",
    }
    form = _form(config, members, "data_capture_config")
    if form is None:
        return None
    modes = {"REQUEST": "Input", "RESPONSE": "Output"}
    options = form.get("CaptureOptions") or list(modes)
    form["CaptureOptions"] = [
        option if isinstance(option, Mapping) else {"CaptureMode": modes.get(str(option).upper(), option)}
        for option in options
    ]
    form.setdefault("InitialSamplingPercentage", 20)
    if default is not None:
        form.setdefault("DestinationS3Uri", _below(default, "data-capture"))
    kinds = {kind: form.pop(kind) for kind in ("CsvContentTypes", "JsonContentTypes") if kind in form}
    if kinds:
        form["CaptureContentTypeHeader"] = kinds
    return form


def _below(place: str | None, name: str) -> str | None:
    return None if place is None else f"{place.rstrip('/')}/{name}"


def _check_machines(spec: EndpointSpec) -> list[Fault]:
    faults = []
    if not spec.instance_type:
        remedy = "give instance_type=, or serverless_inference_config="
        faults.append(Fault("instance_type", "is missing: where shall the endpoint run?", remedy))
    count = spec.initial_instance_count
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        faults.append(Fault("initial_instance_count", f"{count!r} came, an integer from 1 on is expected"))
    return faults


def _check_serverless(serverless: Request, spec: EndpointSpec) -> list[Fault]:
    faults = []
    memory = serverless["MemorySizeInMB"]
    if memory not in _SERVERLESS_MEMORY:
        expected = ", ".join(map(str, _SERVERLESS_MEMORY))
        faults.append(Fault("memory_size_in_mb", f"{memory!r} came, one of {expected} is expected"))
    if spec.async_inference_config is not None:
        what = "an endpoint is serverless or asynchronous, not both"
        faults.append(Fault("async_inference_config", what, "leave one of them out"))
    return faults
