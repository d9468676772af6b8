"""For those who stay with AWS's SDK: an estimator of this package comes in, one of AWS's goes out, with the same image,
settings and hyperparameters, and the expressions that find the metrics in the log.

``SemSegEstimator.to_sagemaker_estimator`` and ``to_model_trainer`` call it. AWS's SDK (extra ``sagemaker``) is imported
here when one of them is called. Versions 2 and 3 have the same name, so that an environment holds one of them.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from sagemaker_semseg.environment import image_uri
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.sdk.inputs import channels_of
from sagemaker_semseg.sdk.requests import tag_list
from sagemaker_semseg.sdk.requests.training import definitions
from sagemaker_semseg.sdk.session import LOCAL_TYPES
from sagemaker_semseg.sdk.specification import as_text

if TYPE_CHECKING:
    from sagemaker_semseg.sdk.estimator import SemSegEstimator

# of our arguments, those that AWS's SDK 2 knows by the same name
_SAME = (
    "role", "instance_count", "instance_type", "keep_alive_period_in_seconds", "volume_size", "volume_kms_key",
    "max_run",
    "input_mode", "output_path", "output_kms_key", "base_job_name", "subnets", "security_group_ids", "model_uri",
    "model_channel_name", "encrypt_inter_container_traffic", "use_spot_instances", "max_wait", "checkpoint_s3_uri",
    "checkpoint_local_path", "environment", "max_retry_attempts",
)  # fmt: skip


def sagemaker_estimator(estimator: SemSegEstimator) -> Any:
    """An ``Estimator`` of AWS's SDK 2. A training that ours has made is theirs, too: they can deploy it."""
    image, hyperparameters = _checked(estimator, 2)
    from sagemaker.estimator import Estimator
    from sagemaker.session import Session

    session = estimator.sagemaker_session
    if session is not None and not hasattr(session, "boto_session"):
        session = Session(boto_session=session)
    theirs = Estimator(
        image_uri=image,
        **{name: getattr(estimator, name) for name in _SAME},
        **{"debugger_hook_config": False, **estimator.more},
        sagemaker_session=session,
        hyperparameters=hyperparameters,
        tags=tag_list(estimator.tags),
        metric_definitions=definitions(estimator.metric_definitions or ()),
        enable_network_isolation=estimator.enable_network_isolation(),
    )
    if estimator.latest_training_job is not None:
        from sagemaker.estimator import _TrainingJob

        theirs.latest_training_job = _TrainingJob(theirs.sagemaker_session, estimator.latest_training_job.name)
        theirs._current_job_name = estimator.latest_training_job.name
    return theirs


def model_trainer(estimator: SemSegEstimator) -> Any:
    """A ``ModelTrainer`` of AWS's SDK 3."""
    image, hyperparameters = _checked(estimator, 3)
    from sagemaker.core import shapes
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.training import configs
    from sagemaker.train import ModelTrainer

    session = estimator.sagemaker_session
    if session is not None and not hasattr(session, "boto_session"):
        session = Session(boto_session=session)
    given = _given(
        training_image=image,
        role=estimator.role,
        base_job_name=estimator.base_job_name,
        sagemaker_session=session,
        compute=configs.Compute(**_given(
            instance_type=estimator.instance_type,
            instance_count=estimator.instance_count,
            volume_size_in_gb=estimator.volume_size,
            volume_kms_key_id=estimator.volume_kms_key,
            keep_alive_period_in_seconds=estimator.keep_alive_period_in_seconds,
            enable_managed_spot_training=estimator.use_spot_instances or None,
        )),
        networking=configs.Networking(**_given(
            subnets=list(estimator.subnets or ()) or None,
            security_group_ids=list(estimator.security_group_ids or ()) or None,
            enable_network_isolation=estimator.enable_network_isolation() or None,
            enable_inter_container_traffic_encryption=estimator.encrypt_inter_container_traffic or None,
        )),
        stopping_condition=shapes.StoppingCondition(**_given(
            max_runtime_in_seconds=estimator.max_run, max_wait_time_in_seconds=estimator.max_wait
        )),
        training_input_mode=estimator.input_mode,
        hyperparameters=hyperparameters,
        environment=dict(estimator.environment or {}),
        tags=[shapes.Tag(key=tag["Key"], value=tag["Value"]) for tag in tag_list(estimator.tags) or ()] or None,
    )  # fmt: skip
    if estimator.output_path:
        given["output_data_config"] = configs.OutputDataConfig(
            **_given(s3_output_path=estimator.output_path, kms_key_id=estimator.output_kms_key)
        )
    if estimator.checkpoint_s3_uri:
        given["checkpoint_config"] = configs.CheckpointConfig(
            **_given(s3_uri=estimator.checkpoint_s3_uri, local_path=estimator.checkpoint_local_path)
        )
    if estimator.model_uri:
        (model,) = channels_of({}, model_uri=estimator.model_uri, model_channel_name=estimator.model_channel_name)
        source = shapes.S3DataSource(
            s3_data_type=model.data_type, s3_uri=model.place, s3_data_distribution_type=model.distribution
        )
        given["input_data_config"] = [
            shapes.Channel(
                channel_name=model.name,
                data_source=shapes.DataSource(s3_data_source=source),
                content_type=model.content_type,
                input_mode=model.input_mode,
            )
        ]
    trainer = ModelTrainer(**given)
    metrics = [
        shapes.MetricDefinition(name=metric["Name"], regex=metric["Regex"])
        for metric in definitions(estimator.metric_definitions or ())
    ]
    trainer = trainer.with_metric_definitions(metrics)
    if estimator.max_retry_attempts is not None:
        retries = shapes.RetryStrategy(maximum_retry_attempts=estimator.max_retry_attempts)
        trainer = trainer.with_retry_strategy(retries)
    return trainer


def _checked(estimator: SemSegEstimator, wanted: int) -> tuple[str, dict[str, str]]:
    """The image and the hyperparameters. Raises ``UserError`` with everything that stands in the way."""
    faults = []
    if estimator.instance_type in LOCAL_TYPES:
        what = f"is {estimator.instance_type!r}, which is this package's own"
        faults.append(Fault("instance_type", what, 'give one of SageMaker like "ml.g5.xlarge"'))
    image = estimator.image_uri or image_uri()
    if not image:
        remedy = "give image_uri= or set SAGEMAKER_SEMSEG_IMAGE_URI (docs/aws.md)"
        faults.append(Fault("image_uri", "is missing", remedy))
    try:
        found = version("sagemaker")
    except PackageNotFoundError:
        found = "none"
    if found.split(".")[0] != str(wanted):
        remedy = (
            f"pip install 'sagemaker-semseg[aws]' 'sagemaker>={wanted},<{wanted + 1}', in an environment of its own"
        )
        faults.append(Fault("sagemaker", f"{found} is installed, version {wanted} is needed", remedy))
    if faults:
        raise UserError(f"There is no bridge to AWS's SDK {wanted} like this:", faults)
    given = estimator.hyperparameters()
    resolve(given)
    # version 3 would write a bool as ``true``, which is read as well
    return str(image), {name: as_text(value) for name, value in given.items() if value is not None}


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
