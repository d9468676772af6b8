"""Batch transform: writes a file of results for each image of a folder or prefix; as SDK 2's ``Transformer``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.backends import backend_of, find_transform_job
from sagemaker_semseg.sdk.instances import redirected_type
from sagemaker_semseg.sdk.names import DEFAULT_BASE, name_from_base
from sagemaker_semseg.sdk.requests import Tags, tag_list
from sagemaker_semseg.sdk.specs import Job, ModelSpec, TransformSpec
from sagemaker_semseg.sdk.training_job import shows


class SemSegTransformer:
    """Applies a model to a whole folder or prefix.

    Args:
        accept: The replies' content type; masks (image/png) by default.
        output_path: Where the results are written, a folder or s3://; ``transform`` sets it if it is None.

    Example:
        transformer = estimator.transformer(1, "local", output_path="masks/", accept="image/png")
        transformer.transform("images/", content_type="image/jpeg")     # masks/a.jpg.out, ...
    """

    def __init__(
        self,
        model: ModelSpec,
        instance_count: int,
        instance_type: str,
        strategy: str | None = None,
        assemble_with: str | None = None,
        output_path: str | None = None,
        output_kms_key: str | None = None,
        accept: str | None = None,
        max_concurrent_transforms: int | None = None,
        max_payload: int | None = None,
        tags: Tags | None = None,
        env: Mapping[str, str] | None = None,
        base_transform_job_name: str | None = None,
        sagemaker_session: Any = None,
        volume_kms_key: str | None = None,
    ):
        self.model, self.model_name = model, model.name
        self.instance_count, self.instance_type = instance_count, instance_type
        if redirected := redirected_type(instance_type):
            self.instance_count, self.instance_type = 1, redirected
        self.strategy, self.assemble_with, self.accept = strategy, assemble_with, accept
        self.output_path, self.output_kms_key, self.volume_kms_key = output_path, output_kms_key, volume_kms_key
        self.max_concurrent_transforms, self.max_payload = max_concurrent_transforms, max_payload
        self.tags, self.env = tuple(tag_list(tags) or ()), dict(env or {})
        self.base_transform_job_name = base_transform_job_name
        self.sagemaker_session = sagemaker_session
        self.latest_transform_job: Job | None = None

    def transform(
        self,
        data: str | os.PathLike[str],
        data_type: str = "S3Prefix",
        content_type: str | None = None,
        compression_type: str | None = None,
        split_type: str | None = None,
        job_name: str | None = None,
        input_filter: str | None = None,
        output_filter: str | None = None,
        join_source: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
        model_client_config: Mapping[str, Any] | None = None,
        batch_data_capture_config: Any = None,
        wait: bool = True,
        logs: bool = True,
    ) -> None:
        """Transform every file below ``data``; ``KEY.out`` below ``output_path`` is the reply to ``KEY``.

        Raises ``UserError`` with everything that is wrong; ``JobFailed``, naming the files, if some can't be
        transformed.
        """
        more = {
            "input_filter": input_filter,
            "output_filter": output_filter,
            "join_source": join_source,
            "experiment_config": experiment_config,
            "model_client_config": model_client_config,
            "batch_data_capture_config": batch_data_capture_config,
        }
        spec = TransformSpec(
            job_name or name_from_base(self.base_transform_job_name or DEFAULT_BASE),
            self.model,
            os.fspath(data),
            self.output_path,
            self.instance_type,
            self.instance_count,
            data_type=data_type,
            content_type=content_type,
            compression_type=compression_type,
            split_type=split_type,
            accept=self.accept,
            assemble_with=self.assemble_with,
            strategy=self.strategy,
            max_concurrent_transforms=self.max_concurrent_transforms,
            max_payload=self.max_payload,
            environment=self.env,
            output_kms_key=self.output_kms_key,
            volume_kms_key=self.volume_kms_key,
            tags=self.tags,
            more={name: value for name, value in more.items() if value is not None},
        )
        backend = backend_of(self.instance_type, self.sagemaker_session)
        if faults := backend.faults(spec):
            raise UserError("The transform can't be started:", faults)
        self.latest_transform_job = backend.transform(spec, attached=wait)
        self.output_path = self.output_path or self.latest_transform_job.state().output
        if wait:
            self.wait(logs)

    def wait(self, logs: bool = True) -> None:
        """Return when the latest transform has ended. Raises ``JobFailed``."""
        self._latest().wait(logs=shows(logs))

    def stop_transform_job(self, wait: bool = True) -> None:
        job = self._latest()
        job.stop()
        if wait:
            job.wait(logs=False)

    def delete_model(self) -> None:
        """Delete the model on SageMaker; the artifact stays."""
        backend_of(self.instance_type, self.sagemaker_session).delete_model(self.model_name)

    @classmethod
    def attach(cls, transform_job_name: str, sagemaker_session: Any = None) -> SemSegTransformer:
        """Return the transformer of a transform that any process started."""
        job = find_transform_job(transform_job_name, sagemaker_session)
        spec = job.state().spec
        if not isinstance(spec, TransformSpec):
            raise UserError(f"The record of {transform_job_name} doesn't say how it was started.")
        transformer = cls(
            spec.model,
            spec.instance_count,
            spec.instance_type,
            spec.strategy,
            spec.assemble_with,
            spec.output_path,
            accept=spec.accept,
            sagemaker_session=sagemaker_session,
        )
        transformer.latest_transform_job = job
        return transformer

    def _latest(self) -> Job:
        if self.latest_transform_job is None:
            raise UserError("There is no transform yet: call transform first.")
        return self.latest_transform_job
