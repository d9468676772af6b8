"""For those who stay with AWS's SDK: an estimator of this package comes in, one of AWS's goes out, which asks SageMaker
for the same job: image, settings, hyperparameters, and the expressions that find the metrics in the log.

``SemSegEstimator.to_sagemaker_estimator`` and ``to_model_trainer`` call it. AWS's SDK (extra ``sagemaker``) is imported
when one of them is called. Its versions 2 and 3 have the same name, so that an environment holds one of them.
"""

from __future__ import annotations

import copy
import inspect
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from sagemaker_semseg.environment import image_uri
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk import request_specs
from sagemaker_semseg.sdk.instances import training_warning
from sagemaker_semseg.sdk.requests.shared_fields import given
from sagemaker_semseg.sdk.requests.training import definitions, training_job
from sagemaker_semseg.sdk.specs import LOCAL_TYPES, TrainingSpec
from sagemaker_semseg.storage import is_s3

if TYPE_CHECKING:
    from sagemaker_semseg.sdk.estimator import SemSegEstimator

# stand for what isn't asked yet: the inputs are given to AWS's estimator, and it finds a role by its name
_INPUTS: Final = ("train", "train_annotation", "validation", "validation_annotation")
_SOME_INPUTS: Final = dict.fromkeys(_INPUTS, "s3://to-be-given")
_SOME_TYPE: Final = "ml.g5.xlarge"
_SOME_ROLE: Final = "arn:aws:iam::000000000000:role/some"
_NOT_IN_3: Final = (
    "enable_sagemaker_metrics",
    "profiler_config",
    "disable_profiler",
    "container_entry_point",
    "container_arguments",
)


def sagemaker_estimator(estimator: SemSegEstimator) -> Any:
    """An ``Estimator`` of AWS's SDK 2. A training that ours has made is theirs, too: they can deploy it.

    Raises ``UserError`` with everything that stands in the way.
    """
    spec = _checked(estimator, 2)
    from sagemaker.estimator import Estimator, _TrainingJob
    from sagemaker.session import Session

    settings = {
        **request_specs.arguments_of(spec, estimator.model_channel_name),
        **spec.more,
        "base_job_name": estimator.base_job_name,
        "environment": dict(spec.environment) or None,
        "metric_definitions": definitions(spec.metric_definitions),
        "sagemaker_session": _session(estimator.sagemaker_session, Session),
    }
    # what is off by default isn't said: the user's configuration of AWS's SDK may have another default
    said = {name: value for name, value in settings.items() if value is not None and value is not False}
    # what its Estimator doesn't know it swallows without a word
    known = inspect.signature(Estimator).parameters
    what, remedy = f"is not known to sagemaker {version('sagemaker')}", "pip install -U 'sagemaker<3', or leave it out"
    _refuse(2, [Fault(name, what, remedy) for name in said if name not in known])
    # nothing in the image listens to the debugger, whose hook would be sent by itself
    theirs = Estimator(**said, debugger_hook_config=False)
    if estimator.latest_training_job is not None:
        theirs.latest_training_job = _TrainingJob(theirs.sagemaker_session, estimator.latest_training_job.name)
        theirs._current_job_name = estimator.latest_training_job.name
    return theirs


def model_trainer(estimator: SemSegEstimator) -> Any:
    """A ``ModelTrainer`` of AWS's SDK 3, whose settings are the API's in other letters.

    Raises ``UserError`` with everything that stands in the way.
    """
    spec = _checked(estimator, 3)
    request = training_job(replace(spec, role=_SOME_ROLE))
    from sagemaker.core import shapes
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.training import configs
    from sagemaker.train import ModelTrainer

    algorithm = request["AlgorithmSpecification"]
    spot = given(EnableManagedSpotTraining=request.get("EnableManagedSpotTraining"))
    network = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")
    channels = [channel for channel in request["InputDataConfig"] if channel["ChannelName"] not in _INPUTS]
    trainer = ModelTrainer(
        **given(
            training_image=spec.image_uri,
            training_image_config=_made(shapes.TrainingImageConfig, algorithm.get("TrainingImageConfig")),
            role=spec.role,
            base_job_name=estimator.base_job_name,
            sagemaker_session=_session(estimator.sagemaker_session, Session),
            compute=_made(configs.Compute, {**request["ResourceConfig"], **spot}),
            networking=_made(
                configs.Networking,
                {**request.get("VpcConfig", {}), **{name: True for name in network if request.get(name)}},
            ),
            stopping_condition=_made(shapes.StoppingCondition, request["StoppingCondition"]),
            output_data_config=_made(configs.OutputDataConfig, request["OutputDataConfig"]),
            checkpoint_config=_made(configs.CheckpointConfig, request.get("CheckpointConfig")),
            input_data_config=[_made(shapes.Channel, channel) for channel in channels] or None,
            training_input_mode=spec.input_mode,
            hyperparameters=dict(spec.hyperparameters),
            environment=dict(spec.environment),
            tags=[_made(shapes.Tag, tag) for tag in spec.tags] or None,
        )
    )
    trainer.with_metric_definitions([_made(shapes.MetricDefinition, row) for row in algorithm["MetricDefinitions"]])
    for name, kind, take in (
        ("RetryStrategy", shapes.RetryStrategy, trainer.with_retry_strategy),
        ("InfraCheckConfig", shapes.InfraCheckConfig, trainer.with_infra_check_config),
        ("RemoteDebugConfig", shapes.RemoteDebugConfig, trainer.with_remote_debug_config),
        ("SessionChainingConfig", shapes.SessionChainingConfig, trainer.with_session_chaining_config),
        ("TensorBoardOutputConfig", configs.TensorBoardOutputConfig, trainer.with_tensorboard_output_config),
    ):
        if form := request.get(name):
            take(_made(kind, form))
    return trainer


def _checked(estimator: SemSegEstimator, wanted: int) -> TrainingSpec:
    """What our own ``fit`` would ask for; the inputs are stand-ins. Raises ``UserError`` with all that is wrong."""
    faults = _faults_of_version(wanted)
    if estimator.instance_type in LOCAL_TYPES:
        what = f"is {estimator.instance_type!r}, this package's own; AWS's SDK would look for Docker"
        faults.append(Fault("instance_type", what, f'give one of SageMaker like "{_SOME_TYPE}"'))
        estimator = copy.copy(estimator)
        estimator.instance_type = _SOME_TYPE  # so that the other faults are found, too
    for name in ("output_path", "model_uri"):
        place = getattr(estimator, name)
        if place and not is_s3(str(place)):
            what = f"{place} is on this machine, and AWS's SDK {wanted} brings nothing from there"
            faults.append(Fault(name, what, "give s3://bucket/prefix"))
    if wanted == 3:
        what, remedy = "can't be said to a ModelTrainer", "leave it out, or train with fit of this package"
        faults += [Fault(name, what, remedy) for name in _NOT_IN_3 if estimator.more.get(name)]
    else:
        what, remedy = "is a dictionary", "give AWS's own object (sagemaker.debugger)"
        forms = ("profiler_config", "tensorboard_output_config")
        faults += [Fault(name, what, remedy) for name in forms if isinstance(estimator.more.get(name), Mapping)]
    try:
        spec = request_specs.training(estimator, _SOME_INPUTS, "bridge", None)
    except UserError as error:
        _refuse(wanted, [*faults, *(error.faults or [Fault("the estimator", error.message)])])
        raise
    _refuse(wanted, faults)
    if warning := training_warning(spec.instance_type):
        warnings.warn(warning, stacklevel=4)
    return replace(spec, image_uri=spec.image_uri or image_uri())


def _faults_of_version(wanted: int) -> list[Fault]:
    try:
        found = version("sagemaker")
    except PackageNotFoundError:
        found = ""
    if found.split(".")[0] == str(wanted):
        return []
    what = f"{found or 'nothing'} is installed, version {wanted} is needed"
    remedy = f"pip install 'sagemaker-semseg[sagemaker]' 'sagemaker>={wanted},<{wanted + 1}'"
    if found:
        other = "to_model_trainer" if wanted == 2 else "to_sagemaker_estimator"
        remedy += f" in an environment of its own, or call {other}"
    return [Fault("sagemaker", what, remedy)]


def _refuse(wanted: int, faults: list[Fault]) -> None:
    if faults:
        raise UserError(f"There is no bridge to AWS's SDK {wanted} like this:", list(dict.fromkeys(faults)))


def _session(ours: Any, kind: Any) -> Any:
    """As AWS's SDK has it: of its own kind, around boto3's."""
    return ours if ours is None or hasattr(ours, "boto_session") else kind(boto_session=ours)


def _made(kind: Any, form: Mapping[str, Any] | None) -> Any:
    """One of version 3's objects from its form in the API; None without one."""
    return kind(**_snaked(form)) if form else None


def _snaked(form: Any) -> Any:
    """``{"VolumeSizeInGB": 30}`` -> ``{"volume_size_in_gb": 30}``, all the way down."""
    if isinstance(form, Mapping):
        return {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(): _snaked(value) for name, value in form.items()}
    return [_snaked(item) for item in form] if isinstance(form, list | tuple) else form
