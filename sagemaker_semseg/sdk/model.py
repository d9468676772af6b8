"""A trained model, for endpoints and batch transforms; arguments as SDK 2's ``Model``."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.model_location import load_inference_artifact
from sagemaker_semseg.sdk.backends import backend_of
from sagemaker_semseg.sdk.instances import redirected_type
from sagemaker_semseg.sdk.names import DEFAULT_BASE, name_from_base
from sagemaker_semseg.sdk.predictor import SemSegPredictor
from sagemaker_semseg.sdk.requests import Tags, tag_list
from sagemaker_semseg.sdk.specs import LOCAL_TYPES, EndpointSpec, ModelSpec
from sagemaker_semseg.sdk.transformer import SemSegTransformer
from sagemaker_semseg.storage import in_s3, local_path

if TYPE_CHECKING:
    from sagemaker_semseg.jobs.run_export import ExportResult


class SemSegModel:
    """A trained model that can be deployed.

    Args:
        model_data: A path or s3:// address of a model.tar.gz.

    The other arguments are those of SDK 2's ``Model``.

    Example:
        predictor = SemSegModel(model_data="out/model.tar.gz").deploy(1, "local")
    """

    _predictor_class: ClassVar[type[SemSegPredictor]] = SemSegPredictor

    def __init__(
        self,
        image_uri: str | None = None,
        model_data: str | None = None,
        role: str | None = None,
        predictor_cls: Callable[..., Any] | None = None,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        vpc_config: Mapping[str, Sequence[str]] | None = None,
        sagemaker_session: Any = None,
        enable_network_isolation: bool = False,
        model_kms_key: str | None = None,
    ):
        if not model_data:
            raise UserError("A model needs model_data: the path or the s3:// of a model.tar.gz.")
        self.image_uri, self.model_data, self.role = image_uri, str(model_data), role
        self.predictor_cls = predictor_cls
        self.env = dict(env or {})
        self.name = name
        self.vpc_config = dict(vpc_config or {})
        self.sagemaker_session = sagemaker_session
        self.enable_network_isolation = enable_network_isolation
        self.model_kms_key = model_kms_key
        self.endpoint_name: str | None = None

    def spec(self, tags: Tags | None = None) -> ModelSpec:
        self.name = self.name or name_from_base(DEFAULT_BASE)
        return ModelSpec(
            self.name,
            self.model_data,
            self.image_uri,
            self.role,
            environment=self.env,
            subnets=tuple(self.vpc_config.get("Subnets", ())),
            security_group_ids=tuple(self.vpc_config.get("SecurityGroupIds", ())),
            enable_network_isolation=self.enable_network_isolation,
            tags=tuple(tag_list(tags) or ()),
        )

    def quantize(
        self,
        data: Any,
        output: str | os.PathLike[str] | None = None,
        *,
        images: int = 64,
        max_drop: float = 0.01,
        force: bool = False,
        attribute_names: Any = None,
    ) -> SemSegModel:
        """Return this model with an int8 graph, which takes a quarter of the time on CPUs with VNNI.

        Args:
            data: The folder of the channels, a manifest, or where each channel is, by name, as for
                ``sagemaker_semseg.quantize``.
            output: The artifact to be written; by default ``model.int8.tar.gz`` beside ``model_data``, or in the
                current folder where that is in S3.
            images: Training images to calibrate with.
            max_drop: How far mIOU may fall.
            force: Whether the model is written even if a limit is exceeded.
            attribute_names: Of manifests, as for ``sagemaker_semseg.quantize``.

        Raises:
            QuantizationRefused: The int8 graph is worse than the limits allow.
            UserError: ``output`` is in S3, to which nothing is written; or S3 can't be used.

        Example:
            model = SemSegModel(model_data="out/model.tar.gz").quantize("mydata")
            predictor = model.deploy(1, "local")
        """
        from sagemaker_semseg.jobs.api import quantize  # and ONNX Runtime

        path = None if in_s3(self.model_data) else local_path(self.model_data)
        folder = Path() if path is None else path if path.is_dir() else path.parent
        target = os.fspath(output or folder / "model.int8.tar.gz")
        more = {"images": images, "max_drop": max_drop, "force": force, "attribute_names": attribute_names}
        quantize(self._readable(), data, target, **more)
        quantized = copy.copy(self)
        quantized.model_data, quantized.name, quantized.endpoint_name = target, None, None
        return quantized

    def export(self, format: str, path: str | os.PathLike[str], *, quantize: Any = False) -> ExportResult:
        """Write this model for another runtime, which loads the file again; it is compared with the network.

        Args:
            format: "onnx", "onnx-int8", "savedmodel", "tflite", "tflite-int8", "openvino", "gluoncv", "torch", or "all"
                that the model can have on this machine.
            path: The file to be written; a folder for "savedmodel" and "all".
            quantize: Write the int8 form of "onnx" or "tflite"; "all" has both. For ONNX as at ``deploy``: True for
                models that have an int8 graph, else data for the method ``quantize``.

        Returns:
            ``paths``, the file of each format, and ``figures``, how far it is from the network.

        Raises:
            UserError: The format is unknown or needs a package that is missing, or there is no int8 graph.
            QuantizationRefused: The int8 graph is worse than the limits allow.
            AlgorithmError: A file differs from the network by more than rounding explains. It isn't written.

        Example:
            result = SemSegModel(model_data="out/model.tar.gz").export("onnx", "model.onnx")
            result.figures["onnx"]["argmax_agreement"]
        """
        from sagemaker_semseg.jobs.api import export_model

        if quantize is not False and format in ("onnx", "onnx-int8", "all"):
            self._make_int8_graph(quantize, "The model can't be exported:")
        return export_model(self._readable(), path, format, quantize=quantize is not False)

    def has_int8_graph(self) -> bool:
        """Return whether the model has an int8 graph."""
        return load_inference_artifact(self._readable()).int8_graph is not None

    def _make_int8_graph(self, data: Any, refusal: str) -> None:
        """Make ``model_data`` a model with an int8 graph, unless it has one. data: True if there must be one."""
        if self.has_int8_graph():
            return
        if data is True:
            remedy = 'give the data that makes one, quantize="mydata", or train with the hyperparameter quantize'
            raise UserError(refusal, [Fault("quantize", f"is True, and {self.model_data} has no int8 graph", remedy)])
        self.model_data = self.quantize(data).model_data

    def _readable(self) -> str:
        """Return ``model_data`` as an address in S3 or a path of this machine."""
        return self.model_data if in_s3(self.model_data) else str(local_path(self.model_data))

    def create(self, instance_type: str | None = None, tags: Tags | None = None) -> None:
        """Create the model on SageMaker; on this machine nothing has to be done."""
        backend_of(instance_type, self.sagemaker_session).create_model(self.spec(tags))

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        accelerator_type: str | None = None,
        endpoint_name: str | None = None,
        tags: Tags | None = None,
        kms_key: str | None = None,
        wait: bool = True,
        data_capture_config: Any = None,
        async_inference_config: Any = None,
        serverless_inference_config: Any = None,
        volume_size: int | None = None,
        model_data_download_timeout: int | None = None,
        container_startup_health_check_timeout: int | None = None,
        inference_recommendation_id: str | None = None,
        explainer_config: Any = None,
        quantize: Any = False,
    ) -> Any:
        """Start an endpoint and return its predictor.

        wait: return when it takes requests. On this machine such an endpoint ends with this process at the latest; with
        False it runs until it is deleted. quantize: data for the method ``quantize``, which then makes ``model_data``
        unless the model has an int8 graph; True is for models that have one. The endpoint uses int8 where its CPU is
        fast with it. Raises ``UserError`` with everything that is wrong.
        """
        if quantize is not False:
            self._make_int8_graph(quantize, "The endpoint can't be started:")
        only_there = {
            "accelerator_type": accelerator_type,
            "inference_recommendation_id": inference_recommendation_id,
            "explainer_config": explainer_config,
        }
        faults = [Fault(name, "is not supported", "leave it out") for name, given in only_there.items() if given]
        if redirected := redirected_type(instance_type, serverless=serverless_inference_config is not None):
            instance_type, initial_instance_count, serverless_inference_config = redirected, 1, None
            if redirected in LOCAL_TYPES:
                async_inference_config = data_capture_config = None
        if instance_type is None and serverless_inference_config is None:
            what = "is missing"
            faults.append(Fault("instance_type", what, 'give "local", or an instance of SageMaker like "ml.c5.xlarge"'))
        spec = EndpointSpec(
            endpoint_name or name_from_base(DEFAULT_BASE),
            self.spec(tags),
            instance_type,
            initial_instance_count,
            tags=tuple(tag_list(tags) or ()),
            kms_key=kms_key,
            data_capture_config=data_capture_config,
            serverless_inference_config=serverless_inference_config,
            async_inference_config=async_inference_config,
            volume_size=volume_size,
            model_data_download_timeout=model_data_download_timeout,
            container_startup_health_check_timeout=container_startup_health_check_timeout,
        )
        backend = None
        if not faults:
            backend = backend_of(instance_type, self.sagemaker_session)
            faults = backend.faults(spec)
        if faults or backend is None:
            raise UserError("The endpoint can't be started:", faults)
        endpoint = backend.deploy(spec, attached=wait)
        if wait:
            endpoint.wait()
        self.endpoint_name = endpoint.name
        if self.predictor_cls is not None:
            return self.predictor_cls(endpoint.name, self.sagemaker_session)
        return self._predictor_class.of(
            endpoint, self.sagemaker_session, serializer=serializer, deserializer=deserializer
        )

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
        volume_kms_key: str | None = None,
    ) -> SemSegTransformer:
        """Return a transformer that applies this model to a whole folder or prefix."""
        return SemSegTransformer(
            self.spec(tags),
            instance_count,
            instance_type,
            strategy=strategy,
            assemble_with=assemble_with,
            output_path=output_path,
            output_kms_key=output_kms_key,
            accept=accept,
            max_concurrent_transforms=max_concurrent_transforms,
            max_payload=max_payload,
            tags=tags,
            env=env,
            sagemaker_session=self.sagemaker_session,
            volume_kms_key=volume_kms_key,
        )

    def delete_model(self) -> None:
        """Delete the model on SageMaker; the artifact stays."""
        if self.name:
            backend_of(None, self.sagemaker_session).delete_model(self.name)
