"""Builds the request CreateTransformJob.

One image is one request to the model and its mask one object: nothing is split or assembled.
"""

from __future__ import annotations

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.sdk.requests.shared_fields import (
    Request,
    check_more,
    check_name,
    check_s3,
    given,
    refuse,
    tag_list,
)
from sagemaker_semseg.sdk.specs import TransformSpec

_MORE = ("input_filter", "output_filter", "join_source", "model_client_config", "experiment_config")


def transform_job(spec: TransformSpec) -> Request:
    """Return the request CreateTransformJob. Raises ``UserError`` with every fault."""
    refuse(transform_faults(spec))
    more = spec.more
    processing = given(
        InputFilter=more.get("input_filter"), OutputFilter=more.get("output_filter"), JoinSource=more.get("join_source")
    )
    return given(
        TransformJobName=spec.name,
        ModelName=spec.model.name,
        MaxConcurrentTransforms=spec.max_concurrent_transforms,
        ModelClientConfig=dict(more.get("model_client_config") or {}) or None,
        MaxPayloadInMB=spec.max_payload,
        BatchStrategy=spec.strategy,
        Environment=dict(spec.environment) or None,
        TransformInput=given(
            DataSource={"S3DataSource": {"S3DataType": spec.data_type, "S3Uri": spec.data}},
            ContentType=spec.content_type,
            CompressionType=spec.compression_type,
            SplitType=spec.split_type,
        ),
        TransformOutput=given(
            S3OutputPath=spec.output_path,
            Accept=spec.accept,
            AssembleWith=spec.assemble_with,
            KmsKeyId=spec.output_kms_key,
        ),
        TransformResources=given(
            InstanceType=spec.instance_type, InstanceCount=spec.instance_count, VolumeKmsKeyId=spec.volume_kms_key
        ),
        DataProcessing=processing or None,
        Tags=tag_list(spec.tags),
        ExperimentConfig=dict(more.get("experiment_config") or {}) or None,
    )


def transform_faults(spec: TransformSpec) -> list[Fault]:
    """Return what SageMaker would refuse, or what would damage images; except the model's faults."""
    faults = [
        *check_name("job_name", spec.name),
        *check_s3("data", spec.data or ""),
        *check_s3("output_path", spec.output_path or ""),
        *check_more(spec.more, _MORE),
    ]
    if spec.split_type not in (None, "None"):
        faults.append(Fault("split_type", f"{spec.split_type!r} would cut images into pieces", "leave it out"))
    if spec.strategy not in (None, "SingleRecord"):
        faults.append(Fault("strategy", f"{spec.strategy!r} would join images", "leave it out, or give 'SingleRecord'"))
    if spec.more.get("join_source") not in (None, "None"):
        faults.append(Fault("join_source", "an image can't be joined with its mask", "leave it out"))
    return faults
