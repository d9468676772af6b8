"""Runs jobs and endpoints on SageMaker.

Local data is uploaded first, a role's name becomes its ARN, and the default bucket takes what has no place. If
something can't start, what was created for it is deleted again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sagemaker_semseg.environment import image_uri
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk import requests
from sagemaker_semseg.sdk.builtin_image import builtin_image_warning
from sagemaker_semseg.sdk.instances import training_warning
from sagemaker_semseg.sdk.remote import s3_transfer
from sagemaker_semseg.sdk.remote.aws_errors import is_absent, is_taken
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.remote.endpoints import RemoteEndpoint
from sagemaker_semseg.sdk.remote.jobs import RemoteTraining, RemoteTransform, not_here
from sagemaker_semseg.sdk.remote.listing import Started, started
from sagemaker_semseg.sdk.remote.tuning import RemoteTuning
from sagemaker_semseg.sdk.requests.from_describe import model_spec
from sagemaker_semseg.sdk.specs import (
    EndpointSpec,
    ModelSpec,
    TrainingSpec,
    TransformSpec,
    TuningSpec,
)
from sagemaker_semseg.storage import in_s3, local_path

# placeholders while a specification is only checked, and nothing is asked of AWS
_SOME_ROLE = "arn:aws:iam::000000000000:role/"
_SOME_PLACE = "s3://to-be-made"


class RemoteBackend:
    """SageMaker in one account.

    session: a ``boto3.Session``, a ``Session`` of AWS's SDK, or None for boto3's default.
    """

    def __init__(self, session: Any = None):
        self.account = Account(session)

    def faults(self, spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec) -> list[Fault]:
        """Return what is wrong with a specification; AWS isn't asked."""
        if isinstance(spec, TuningSpec):
            return requests.check_name("job_name", spec.name, requests.TUNING_NAME_LENGTH)
        if find_spec("boto3") is None:
            return [Fault("SageMaker", "boto3 is missing", "pip install 'sagemaker-semseg[aws]'")]
        found: list[Fault] = []
        try:
            self.account.client("sagemaker")
        except UserError as error:
            found += error.faults or [Fault("sagemaker_session", error.message)]
        if isinstance(spec, TrainingSpec):
            return found + requests.training_faults(_placeholder_training(spec)) + _absent(spec)
        model = _placeholder_model(spec.model)
        found += requests.model_faults(model) + _absent_file("model_data", spec.model.model_data)
        if isinstance(spec, EndpointSpec):
            return found + requests.endpoint_faults(spec)
        data = spec.data if in_s3(spec.data) else _SOME_PLACE
        planned = replace(spec, data=data, output_path=_s3_or(spec.output_path, _SOME_PLACE))
        return found + requests.transform_faults(planned) + _absent_file("data", spec.data)

    # ---- trainings

    def train(self, spec: TrainingSpec, *, attached: bool) -> RemoteTraining:
        """Start a training. attached: ignored, jobs run by themselves."""
        request = self.training_request(spec)
        self._create("create_training_job", request, f"training job {spec.name}")
        return RemoteTraining(self.account, spec.name, _folder(spec.output_path))

    def training_request(self, spec: TrainingSpec) -> dict[str, Any]:
        """Upload the inputs and return the request; warns of an unfit instance type and of AWS's image."""
        requests.refuse(self.faults(spec))
        for warning in (training_warning(spec.instance_type), builtin_image_warning(spec.image_uri)):
            if warning:
                warnings.warn(warning, stacklevel=2)
        channels = [
            replace(channel, place=s3_transfer.upload_channel(self.account, channel)) if channel.is_local else channel
            for channel in spec.channels
        ]
        ready = replace(
            spec,
            channels=channels,
            image_uri=spec.image_uri or image_uri(),
            role=self.account.role_arn(str(spec.role)),
            output_path=self._output(spec.output_path),
        )
        return requests.training_job(ready)

    def training_job(self, name: str) -> RemoteTraining:
        job = RemoteTraining(self.account, name)
        _find(job.describe, job.kind, name)
        return job

    # ---- models, endpoints, transforms

    def create_model(self, spec: ModelSpec) -> None:
        self._make_model(self._ready(spec))

    def delete_model(self, name: str) -> None:
        self.account.call("sagemaker", "delete_model", f"model {name}", ModelName=name)

    def deploy(self, spec: EndpointSpec, *, attached: bool) -> RemoteEndpoint:
        """Start an endpoint. attached: ignored, endpoints run until they are deleted."""
        requests.refuse(self.faults(spec))
        spec = replace(spec, model=self._ready(spec.model))
        default = None
        if requests.needs_output_path(spec):
            default = f"s3://{self.account.bucket}/{s3_transfer.PREFIX}/{spec.name}"
        config, endpoint = requests.endpoint_config(spec, default_output_path=default), requests.endpoint(spec)
        made: list[Callable[[], None]] = []
        try:
            if self._make_model(spec.model):
                made.append(lambda: self.delete_model(spec.model.name))
            self._create("create_endpoint_config", config, f"endpoint configuration {spec.name}")
            made.append(lambda: self._delete("delete_endpoint_config", EndpointConfigName=spec.name))
            self._create("create_endpoint", endpoint, f"endpoint {spec.name}")
            made.append(lambda: self._delete("delete_endpoint", EndpointName=spec.name))
        except BaseException:
            _undo(made)
            raise
        return RemoteEndpoint(self.account, spec.name, lambda: _undo(made))

    def endpoint(self, name: str) -> RemoteEndpoint:
        endpoint = RemoteEndpoint(self.account, name)
        _find(endpoint.describe, "endpoint", name)
        return endpoint

    def transform(self, spec: TransformSpec, *, attached: bool) -> RemoteTransform:
        """Start a training. attached: ignored, jobs run by themselves."""
        requests.refuse(self.faults(spec))
        output = self._output(spec.output_path)
        if not in_s3(spec.output_path or ""):
            output = f"{output.rstrip('/')}/{spec.name}"  # unlike a training, a transform makes no folder of its own
        data = spec.data
        if not in_s3(data):
            data = s3_transfer.upload(self.account, local_path(data), "transform")
        ready = replace(spec, data=data, output_path=output, model=self._ready(spec.model))
        request = requests.transform_job(ready)
        made = self._make_model(ready.model)
        try:
            self._create("create_transform_job", request, f"transform job {spec.name}")
        except BaseException:
            _undo([lambda: self.delete_model(ready.model.name)] if made else [])
            raise
        return RemoteTransform(self.account, spec.name, _folder(spec.output_path))

    def transform_job(self, name: str) -> RemoteTransform:
        job = RemoteTransform(self.account, name)
        _find(job.describe, job.kind, name)
        return job

    # ---- tuning

    def tune(self, spec: TuningSpec, *, attached: bool) -> RemoteTuning:
        """Start a tuning. attached: ignored, jobs run by themselves."""
        training = self.training_request(spec.training)
        settings = {member.name: getattr(spec, member.name) for member in fields(TuningSpec)}
        request = requests.tuning_job(
            settings.pop("name"),
            hyperparameter_ranges=settings.pop("ranges"),
            **{**settings, "training": training},
        )
        self._create("create_hyper_parameter_tuning_job", request, f"tuning job {spec.name}")
        return RemoteTuning(self.account, spec.name)

    def tuning_job(self, name: str) -> RemoteTuning:
        job = RemoteTuning(self.account, name)
        _find(job.describe, "tuning job", name)
        return job

    def started(self, kind: str) -> list[Started]:
        """Return what this account has of a kind, the newest first, of any process."""
        return started(self.account, kind)

    # ---- requests

    def _create(self, method: str, request: Mapping[str, Any], where: str) -> None:
        self.account.call_once("sagemaker", method, where, **request)

    def _delete(self, method: str, **name: str) -> None:
        self.account.call("sagemaker", method, next(iter(name.values())), **name)

    def _ready(self, spec: ModelSpec) -> ModelSpec:
        """Return the model with its artifact in S3, the role's ARN and the image."""
        data = spec.model_data
        if not in_s3(data):
            data = s3_transfer.upload(self.account, local_path(data), "model")
        image = spec.image_uri or image_uri()
        requests.refuse(requests.model_faults(_placeholder_model(replace(spec, image_uri=image, model_data=data))))
        return replace(spec, model_data=data, image_uri=image, role=self.account.role_arn(str(spec.role)))

    def _make_model(self, spec: ModelSpec) -> bool:
        """Create the model and return True; False if an equal one of its name exists."""
        try:
            self._create("create_model", requests.model(spec), f"model {spec.name}")
        except UserError as error:
            if not is_taken(error):
                raise
            answer = self.account.call("sagemaker", "describe_model", f"model {spec.name}", ModelName=spec.name)
            if model_spec(answer) != replace(spec, tags=()):
                raise
            return False
        return True

    def _output(self, place: str | None) -> str:
        return _s3_or(place, "") or f"s3://{self.account.bucket}/"


def _find(describe: Callable[[], object], kind: str, name: str) -> None:
    try:
        describe()
    except UserError as error:
        raise not_here(kind, name, error) from None


def _undo(made: list[Callable[[], None]]) -> None:
    """Delete what was created, the last first; warn of what can't be deleted, since it may cost money."""
    while made:
        try:
            made.pop()()
        except UserError as error:
            if not is_absent(error):
                warnings.warn(f"something is left behind: {error}", stacklevel=2)


def _placeholder_training(spec: TrainingSpec) -> TrainingSpec:
    channels = [replace(channel, place=_SOME_PLACE) if channel.is_local else channel for channel in spec.channels]
    return replace(
        spec,
        channels=channels,
        image_uri=spec.image_uri or image_uri(),
        role=_role(spec.role),
        output_path=_s3_or(spec.output_path, _SOME_PLACE),
    )


def _placeholder_model(spec: ModelSpec) -> ModelSpec:
    data = spec.model_data if not spec.model_data or in_s3(spec.model_data) else _SOME_PLACE
    return replace(spec, image_uri=spec.image_uri or image_uri(), role=_role(spec.role), model_data=data)


def _role(role: str | None) -> str | None:
    return role if not role or role.startswith("arn:") else _SOME_ROLE + role


def _s3_or(place: str | None, other: str) -> str:
    return place if place and in_s3(place) else other


def _folder(place: str | None) -> Path | None:
    """Return the local folder for results, if they aren't to stay in S3."""
    return None if not place or in_s3(place) else local_path(place)


def _absent(spec: TrainingSpec) -> list[Fault]:
    return [fault for channel in spec.channels for fault in _absent_file(channel.name, channel.place)]


def _absent_file(where: str, place: str) -> list[Fault]:
    if not place or in_s3(place) or local_path(place).exists():
        return []
    return [Fault(where, f"{place}: no such file or folder", "check the path, or give s3://bucket/prefix")]
