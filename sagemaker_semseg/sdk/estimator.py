"""The estimator: trains a network and makes endpoints and batch transforms of the model.

Names, order and defaults of all arguments are those of the SageMaker Python SDK 2's ``Estimator``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sagemaker_semseg.data.channels import DATA_CHANNELS, LABEL_MAP
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk import request_specs
from sagemaker_semseg.sdk.analytics import TrainingJobAnalytics
from sagemaker_semseg.sdk.backends import backend_of, find_training_job
from sagemaker_semseg.sdk.instances import redirected_type
from sagemaker_semseg.sdk.model import SemSegModel
from sagemaker_semseg.sdk.names import DEFAULT_BASE, base_from_image, base_from_name, name_from_base
from sagemaker_semseg.sdk.requests import Tags
from sagemaker_semseg.sdk.specs import TrainingSpec
from sagemaker_semseg.sdk.training_job import TrainingJob, shows
from sagemaker_semseg.sdk.training_report import TrainingReport, make_report
from sagemaker_semseg.sdk.transformer import SemSegTransformer
from sagemaker_semseg.storage import in_s3, local_path

if TYPE_CHECKING:
    from sagemaker_semseg.jobs.run_export import ExportResult

VPC_CONFIG_DEFAULT: Final = "VPC_CONFIG_DEFAULT"
"""As in v2: the estimator's own subnets and security groups."""


class SemSegEstimator:
    """Trains a semantic segmentation network, on this machine or on SageMaker.

    Args:
        instance_type: "local" and "local_gpu" are this machine, anything else is SageMaker.
        hyperparameters: Those of docs/hyperparameters.md; each may also be an argument, ``num_classes=11``.
        output_path: A folder or s3://; the model is written to OUTPUT_PATH/JOB/output/model.tar.gz.

    The other arguments mean what they mean in SDK 2; those that only SageMaker has are an error on this machine.

    Raises:
        UserError: Names every argument that can't be used.

    Example:
        estimator = SemSegEstimator(
            instance_count=1,
            instance_type="local",
            output_path="out",
            hyperparameters=dict(algorithm="deeplab", num_classes=11),
        )
        estimator.fit({"train": "data/train", "train_annotation": "data/train_annotation",
                       "validation": "data/validation", "validation_annotation": "data/validation_annotation"})
        predictor = estimator.deploy(initial_instance_count=1, instance_type="local")
    """

    _model_class: ClassVar[type[SemSegModel]] = SemSegModel

    def __init__(
        self,
        image_uri: str | None = None,
        role: str | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        keep_alive_period_in_seconds: int | None = None,
        volume_size: int = 30,
        volume_kms_key: str | None = None,
        max_run: int = 24 * 60 * 60,
        input_mode: str = "File",
        output_path: str | None = None,
        output_kms_key: str | None = None,
        base_job_name: str | None = None,
        sagemaker_session: Any = None,
        hyperparameters: Mapping[str, Any] | None = None,
        tags: Tags | None = None,
        subnets: Sequence[str] | None = None,
        security_group_ids: Sequence[str] | None = None,
        model_uri: str | None = None,
        model_channel_name: str = "model",
        metric_definitions: Sequence[Mapping[str, str]] | None = None,
        encrypt_inter_container_traffic: bool | None = None,
        use_spot_instances: bool = False,
        max_wait: int | None = None,
        checkpoint_s3_uri: str | None = None,
        checkpoint_local_path: str | None = None,
        enable_network_isolation: bool | None = None,
        rules: Sequence[Any] | None = None,
        debugger_hook_config: Any = None,
        tensorboard_output_config: Any = None,
        enable_sagemaker_metrics: bool | None = None,
        profiler_config: Any = None,
        disable_profiler: bool = False,
        environment: Mapping[str, str] | None = None,
        max_retry_attempts: int | None = None,
        source_dir: str | None = None,
        git_config: Mapping[str, str] | None = None,
        container_log_level: int = logging.INFO,
        code_location: str | None = None,
        entry_point: str | None = None,
        dependencies: Sequence[str] | None = None,
        instance_groups: Sequence[Any] | None = None,
        training_repository_access_mode: str | None = None,
        training_repository_credentials_provider_arn: str | None = None,
        container_entry_point: Sequence[str] | None = None,
        container_arguments: Sequence[str] | None = None,
        disable_output_compression: bool = False,
        enable_infra_check: bool | None = None,
        enable_remote_debug: bool | None = None,
        enable_session_tag_chaining: bool | None = None,
        training_plan: str | None = None,
        instance_placement_config: Any = None,
        **kwargs: Any,
    ):
        given = {name: value for name, value in locals().items() if name not in ("self", "kwargs")}
        faults = request_specs.faults_of_arguments(given, kwargs, tuple(given))
        if faults:
            raise UserError("The estimator can't be made like this:", faults)
        self.image_uri, self.role = image_uri, role
        self.instance_count, self.instance_type = instance_count or 1, str(instance_type)
        if redirected := redirected_type(instance_type):
            self.instance_count, self.instance_type = 1, redirected
        self.keep_alive_period_in_seconds = keep_alive_period_in_seconds
        self.volume_size, self.volume_kms_key, self.max_run = volume_size, volume_kms_key, max_run
        self.input_mode, self.output_path, self.output_kms_key = input_mode, output_path, output_kms_key
        self.base_job_name, self.sagemaker_session = base_job_name, sagemaker_session
        self.tags, self.subnets, self.security_group_ids = tags, subnets, security_group_ids
        self.model_uri, self.model_channel_name = model_uri, model_channel_name
        self.metric_definitions = metric_definitions
        self.encrypt_inter_container_traffic = bool(encrypt_inter_container_traffic)
        self.use_spot_instances, self.max_wait = use_spot_instances, max_wait
        self.checkpoint_s3_uri, self.checkpoint_local_path = checkpoint_s3_uri, checkpoint_local_path
        self.environment, self.max_retry_attempts = environment, max_retry_attempts
        self._enable_network_isolation = bool(enable_network_isolation)
        self.more = {name: given[name] for name in request_specs.FOR_SAGEMAKER if given[name] is not None}
        self._hyperparameters: dict[str, Any] = {**(hyperparameters or {}), **kwargs}
        self.latest_training_job: TrainingJob | None = None
        self.jobs: list[TrainingJob] = []
        self._models: list[SemSegModel] = []
        self._endpoints: list[Any] = []

    def set_hyperparameters(self, **kwargs: Any) -> None:
        """Set hyperparameters beside those that are set. ``fit`` checks all of them together."""
        self._hyperparameters.update(kwargs)

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters that were set, as they were given."""
        return self._hyperparameters

    def enable_network_isolation(self) -> bool:
        return self._enable_network_isolation

    def training_image_uri(self) -> str | None:
        return self.image_uri

    # ---- training

    def fit(
        self,
        inputs: Any = None,
        wait: bool = True,
        logs: bool | str | Sequence[str] = "All",
        job_name: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
    ) -> None:
        """Train.

        Args:
            inputs: A mapping of channels to their data: a path, s3://, a ``TrainingInput`` of SDK 2, an
                ``InputData`` or a ``Channel`` of SDK 3; or a folder that holds the channels' folders.
            wait: Return when the training has ended. On this machine the training then ends with this process at
                the latest, and Ctrl-C stops it and keeps the model so far. With False it runs by itself.
            logs: "All" prints the log, "None" doesn't.
            job_name: By default the base name and the time.
            experiment_config: SageMaker's; ignored on this machine.

        Raises:
            UserError: Everything that is wrong, before anything starts.
            JobFailed: The training failed; the message has its reason.
        """
        base = self.base_job_name or (base_from_image(self.image_uri) if self.image_uri else DEFAULT_BASE)
        spec = request_specs.training(self, inputs, job_name or name_from_base(base), experiment_config)
        backend = backend_of(self.instance_type, self.sagemaker_session)
        job = backend.train(spec, attached=wait)
        self.latest_training_job = TrainingJob(job)
        self.jobs.append(self.latest_training_job)
        print(f"training job {job.name}", file=sys.stderr, flush=True)
        if wait:
            job.wait(logs=shows(logs))

    @classmethod
    def attach(
        cls, training_job_name: str, sagemaker_session: Any = None, model_channel_name: str = "model"
    ) -> SemSegEstimator:
        """Return the estimator of a job that any process started; waits for the job's end, as in SDK 2.

        Args:
            training_job_name: The job's.
            sagemaker_session: Where to look for a job that isn't of this machine.
            model_channel_name: The name of the channel with the earlier model.

        Raises:
            UserError: There is no job of the name.
            JobFailed: The job has failed.
        """
        _, job = find_training_job(training_job_name, sagemaker_session)
        spec = job.state().spec
        if not isinstance(spec, TrainingSpec):
            raise UserError(f"The record of {training_job_name} doesn't say how it was started.")
        arguments = request_specs.arguments_of(spec, model_channel_name)
        estimator = cls(
            **arguments, base_job_name=base_from_name(training_job_name), sagemaker_session=sagemaker_session
        )
        estimator.latest_training_job = TrainingJob(job)
        estimator.jobs.append(estimator.latest_training_job)
        job.wait(logs=False)
        return estimator

    def logs(self) -> None:
        """Print the log of the latest training until it ends."""
        for line in self._job().job.logs(follow=True):
            print(line, flush=True)

    @property
    def model_data(self) -> str:
        """The address of the model. Raises ``UserError`` if there is none yet."""
        job = self._job()
        state = job.job.state()
        if not state.output:
            what = f"{job.name} is {state.status}" + (f" ({state.failure})" if state.failure else "")
            raise UserError(f"There is no model: the training job {what}.")
        return state.output

    @property
    def training_job_analytics(self) -> TrainingJobAnalytics:
        """The metrics of the latest training so far, epoch by epoch."""
        lines = self._job().job.logs(follow=False)
        return TrainingJobAnalytics.of_log(lines, self.metric_definitions or METRIC_DEFINITIONS)

    def report(self, data: Any = None, path: Any = None) -> TrainingReport:
        """Write a page about the latest training, and show it in a notebook; on this machine also while it runs.

        Args:
            data: Labeled images to measure and to show: a folder that holds the channels, or a mapping of channels, as
                for ``sagemaker_semseg.evaluate``. None for none.
            path: The HTML file. ``report.html`` in the job's folder if None; in the current folder, named like the
                job, if it ran on SageMaker.

        Returns:
            ``path`` and ``html``; a notebook shows the page.

        Raises:
            UserError: There is no training, or no epoch has ended.
        """
        return make_report(self._job(), data, path)

    # ---- the model

    def create_model(
        self,
        role: str | None = None,
        image_uri: str | None = None,
        predictor_cls: Any = None,
        vpc_config_override: Any = VPC_CONFIG_DEFAULT,
        **kwargs: Any,
    ) -> SemSegModel:
        """Return the model of the latest training. kwargs: of ``SemSegModel``."""
        return self._model_class(
            image_uri or self.image_uri,
            self.model_data,
            role or self.role,
            predictor_cls=predictor_cls,
            vpc_config=self.get_vpc_config(vpc_config_override),
            sagemaker_session=self.sagemaker_session,
            **{"enable_network_isolation": self._enable_network_isolation, **kwargs},
        )

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        accelerator_type: str | None = None,
        endpoint_name: str | None = None,
        use_compiled_model: bool = False,
        wait: bool = True,
        model_name: str | None = None,
        kms_key: str | None = None,
        data_capture_config: Any = None,
        tags: Tags | None = None,
        serverless_inference_config: Any = None,
        async_inference_config: Any = None,
        volume_size: int | None = None,
        model_data_download_timeout: int | None = None,
        container_startup_health_check_timeout: int | None = None,
        inference_recommendation_id: str | None = None,
        explainer_config: Any = None,
        quantize: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Start an endpoint with the model of the latest training and return its predictor. See ``SemSegModel.deploy``.

        instance_type: may differ from the training's. quantize: add an int8 graph first, with the data of the training,
        if the training hasn't; raises ``QuantizationRefused`` where that is worse. kwargs: of ``create_model``.
        """
        if use_compiled_model:
            raise UserError("There are no compiled models: leave out use_compiled_model.")
        base = self.base_job_name or base_from_name(self._job().name)
        name = name_from_base(base)
        model = self.create_model(**{"model_kms_key": self.output_kms_key, **kwargs})
        if quantize:
            model = self._quantized(model)
        model.name = model_name or name
        predictor = model.deploy(
            initial_instance_count,
            instance_type,
            serializer,
            deserializer,
            accelerator_type,
            endpoint_name or name,
            tags=tags or self.tags,
            kms_key=kms_key,
            wait=wait,
            data_capture_config=data_capture_config,
            async_inference_config=async_inference_config,
            serverless_inference_config=serverless_inference_config,
            volume_size=volume_size,
            model_data_download_timeout=model_data_download_timeout,
            container_startup_health_check_timeout=container_startup_health_check_timeout,
            inference_recommendation_id=inference_recommendation_id,
            explainer_config=explainer_config,
        )
        self._endpoints.append(predictor)
        return predictor

    def export(self, format: str, path: Any, *, quantize: bool = False) -> ExportResult:
        """Write the model of the latest training for another runtime, compared with the network.

        Args:
            format: "onnx", "onnx-int8", "savedmodel", "tflite", "tflite-int8", "openvino", "gluoncv", "torch" or "all".
            path: The file to be written; a folder for "savedmodel" and "all".
            quantize: Write the int8 form of "onnx" or "tflite"; "all" has both. What ONNX needs for it is made with the
                data of the training, if the training hasn't.

        Returns:
            ``paths``, the file of each format, and ``figures``, how far it is from the network.

        Raises:
            UserError: The format is unknown, needs a package that is missing, or has no int8 form.
            QuantizationRefused: The int8 graph is worse than the limits allow.

        Example:
            estimator.export("onnx", "model.onnx").figures["onnx"]["argmax_agreement"]
        """
        model = self.create_model()
        if quantize and format in ("onnx", "onnx-int8", "all"):
            model = self._quantized(model)
        return model.export(format, path, quantize=quantize)

    def _quantized(self, model: SemSegModel) -> SemSegModel:
        """Return the model with an int8 graph, made with the channels of the latest training."""
        if str(self._hyperparameters.get("quantize", False)).lower() in ("true", "1"):
            return model  # the training has
        spec = self._job().job.state().spec
        if model.has_int8_graph() or not isinstance(spec, TrainingSpec):
            return model
        channels = [channel for channel in spec.channels if channel.name in (*DATA_CHANNELS, LABEL_MAP)]
        places = {
            channel.name: channel.place if in_s3(channel.place) else local_path(channel.place) for channel in channels
        }
        attributes = {channel.name: channel.attribute_names for channel in channels if channel.attribute_names}
        return model.quantize(places, attribute_names=attributes)

    def delete_endpoint(self) -> None:
        """Delete the endpoint that ``deploy`` started last."""
        if not self._endpoints:
            raise UserError("This estimator has no endpoint: deploy starts one.")
        self._endpoints[-1].delete_endpoint()
        self._endpoints.pop()

    def transformer(
        self,
        instance_count: int,
        instance_type: str,
        strategy: str | None = None,
        assemble_with: str | None = None,
        output_path: str | None = None,
        output_kms_key: str | None = None,
        accept: str | None = None,
        env: Mapping[str, str] | None = None,
        max_concurrent_transforms: int | None = None,
        max_payload: int | None = None,
        tags: Tags | None = None,
        role: str | None = None,
        volume_kms_key: str | None = None,
        vpc_config_override: Any = VPC_CONFIG_DEFAULT,
        enable_network_isolation: bool | None = None,
        model_name: str | None = None,
    ) -> SemSegTransformer:
        """Return a transformer that applies the latest model to a whole folder or prefix."""
        isolated = self._enable_network_isolation if enable_network_isolation is None else enable_network_isolation
        model = self.create_model(role, vpc_config_override=vpc_config_override, enable_network_isolation=isolated)
        model.name = model_name or name_from_base(self.base_job_name or base_from_name(self._job().name))
        return model.transformer(
            instance_count,
            instance_type,
            strategy,
            assemble_with,
            output_path,
            output_kms_key,
            accept,
            env,
            max_concurrent_transforms,
            max_payload,
            tags or self.tags,
            volume_kms_key,
        )

    def get_vpc_config(self, vpc_config_override: Any = VPC_CONFIG_DEFAULT) -> dict[str, list[str]] | None:
        """Return subnets and security groups in SageMaker's form; None without both."""
        if vpc_config_override != VPC_CONFIG_DEFAULT:
            return dict(vpc_config_override) if vpc_config_override else None
        if not self.subnets or not self.security_group_ids:
            return None
        return {"Subnets": list(self.subnets), "SecurityGroupIds": list(self.security_group_ids)}

    def __repr__(self) -> str:
        job = f", latest_training_job={self.latest_training_job.name!r}" if self.latest_training_job else ""
        return f"{type(self).__name__}(instance_type={self.instance_type!r}{job})"

    def _job(self) -> TrainingJob:
        if self.latest_training_job is None:
            raise UserError("This estimator has trained nothing yet: call fit, or attach to a job.")
        return self.latest_training_job
