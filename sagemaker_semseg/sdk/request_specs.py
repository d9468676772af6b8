"""Checks an estimator's arguments, hyperparameters and channels and makes its ``TrainingSpec``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sagemaker_semseg.errors import DataError, Fault, HyperparameterError, UserError
from sagemaker_semseg.hyperparameters import TABLE, resolve
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.backends import backend_of
from sagemaker_semseg.sdk.inputs import channels_of, missing_channels
from sagemaker_semseg.sdk.requests import tag_list
from sagemaker_semseg.sdk.specs import Channel, TrainingSpec
from sagemaker_semseg.sdk.tensorboard_output import with_plain_form

if TYPE_CHECKING:
    from sagemaker_semseg.sdk.estimator import SemSegEstimator

FOR_SAGEMAKER: Final = (
    "rules",
    "debugger_hook_config",
    "tensorboard_output_config",
    "enable_sagemaker_metrics",
    "profiler_config",
    "disable_profiler",
    "training_repository_access_mode",
    "training_repository_credentials_provider_arn",
    "container_entry_point",
    "container_arguments",
    "disable_output_compression",
    "enable_infra_check",
    "enable_remote_debug",
    "enable_session_tag_chaining",
    "training_plan",
    "instance_placement_config",
)
"""Arguments that go to SageMaker as they are."""

_OF_SCRIPTS: Final = ("source_dir", "git_config", "code_location", "entry_point", "dependencies")
_SAME_NAME: Final = (
    "image_uri",
    "role",
    "keep_alive_period_in_seconds",
    "volume_size",
    "volume_kms_key",
    "max_run",
    "input_mode",
    "output_path",
    "output_kms_key",
    "encrypt_inter_container_traffic",
    "use_spot_instances",
    "max_wait",
    "checkpoint_s3_uri",
    "checkpoint_local_path",
    "max_retry_attempts",
    "instance_type",
    "instance_count",
)
_HYPERPARAMETERS: Final = tuple(row.name for row in TABLE)


def faults_of_arguments(given: Mapping[str, Any], others: Mapping[str, Any], known: Sequence[str]) -> list[Fault]:
    """Return what is wrong with an estimator's arguments. others: those without a parameter. known: all names."""
    faults = []
    for name in others:
        if name not in _HYPERPARAMETERS:
            near = difflib.get_close_matches(name, (*_HYPERPARAMETERS, *known), n=1)
            what = "there is neither such an argument nor such a hyperparameter"
            faults.append(Fault(name, what, f"did you mean {near[0]}?" if near else "leave it out"))
    twice = set(others) & set(given["hyperparameters"] or {})
    faults += [Fault(name, "is given twice", "once by itself and once in hyperparameters") for name in sorted(twice)]
    if not given["instance_type"] or not isinstance(given["instance_type"], str):
        what = f"is {given['instance_type']!r}"
        faults.append(Fault("instance_type", what, 'give "local", "local_gpu" or one of SageMaker like "ml.g5.xlarge"'))
    count = given["instance_count"]
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        faults.append(Fault("instance_count", f"is {count!r}", "give a number from 1 on"))
    if given["input_mode"] not in ("File", "Pipe", "FastFile"):
        faults.append(Fault("input_mode", f"is {given['input_mode']!r}", "give File, Pipe or FastFile"))
    if not isinstance(given["max_run"], int) or given["max_run"] < 1:
        faults.append(Fault("max_run", f"is {given['max_run']!r}", "give a number of seconds"))
    for name in _OF_SCRIPTS:
        if given[name]:
            faults.append(Fault(name, "is for scripts of one's own; this is an algorithm", "leave it out"))
    if given["instance_groups"]:
        faults.append(Fault("instance_groups", "all machines of a training are alike", "give instance_type and _count"))
    return faults


def training(
    estimator: SemSegEstimator, inputs: Any, name: str, experiment_config: Mapping[str, str] | None
) -> TrainingSpec:
    """Return the training that ``fit`` starts. Raises one error with everything that is wrong with it."""
    errors: list[UserError] = []
    hyperparameters = _checked(estimator.hyperparameters(), errors)
    channels: list[Channel] = []
    try:
        channels = channels_of(inputs, model_uri=estimator.model_uri, model_channel_name=estimator.model_channel_name)
        if missing := missing_channels(channels):
            errors.append(DataError("The inputs can't be used:", missing))
    except UserError as error:
        errors.append(error)
    spec = TrainingSpec(
        name,
        hyperparameters,
        tuple(channels),
        tags=tuple(tag_list(estimator.tags) or ()),
        subnets=tuple(estimator.subnets or ()),
        security_group_ids=tuple(estimator.security_group_ids or ()),
        metric_definitions=tuple(estimator.metric_definitions or METRIC_DEFINITIONS),
        enable_network_isolation=estimator.enable_network_isolation(),
        environment={key: str(value) for key, value in (estimator.environment or {}).items()},
        experiment_config=experiment_config,
        more=with_plain_form(estimator.more),
        **{argument: getattr(estimator, argument) for argument in _SAME_NAME},
    )
    if faults := backend_of(estimator.instance_type, estimator.sagemaker_session).faults(spec):
        errors.append(UserError(f"It can't run on {estimator.instance_type}:", faults))
    if errors:
        raise errors[0] if len(errors) == 1 else all_of("The training can't be started:", errors)
    return spec


def arguments_of(spec: TrainingSpec, model_channel_name: str) -> dict[str, Any]:
    """Return the arguments of an estimator from a job's specification, as far as it has them."""
    model = next((channel for channel in spec.channels if channel.name == model_channel_name), None)
    return {
        **{name: getattr(spec, name) for name in _SAME_NAME},
        "hyperparameters": dict(spec.hyperparameters),
        "tags": list(spec.tags) or None,
        "subnets": list(spec.subnets) or None,
        "security_group_ids": list(spec.security_group_ids) or None,
        "metric_definitions": list(spec.metric_definitions) or None,
        "enable_network_isolation": spec.enable_network_isolation,
        "model_uri": model.place if model else None,
        "model_channel_name": model_channel_name,
    }


def _checked(given: Mapping[str, Any], errors: list[UserError]) -> dict[str, str]:
    """Return the given hyperparameters as strings."""
    try:
        resolve(given)
    except HyperparameterError as error:
        errors.append(error)
        return {}
    return {name: _as_text(value) for name, value in given.items() if value is not None}


def _as_text(value: Any) -> str:
    """Return a hyperparameter as SageMaker delivers it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def all_of(what: str, errors: Sequence[UserError]) -> UserError:
    """Return one error with the faults of several."""
    faults = [fault for error in errors for fault in error.faults or [Fault("fit", error.message)]]
    return UserError(what, faults)
