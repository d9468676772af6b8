"""From what SageMaker tells of a job back to the specification: what was asked for is what it tells."""

from dataclasses import replace

from sagemaker_semseg.sdk.requests import model, training_job, transform_job
from sagemaker_semseg.sdk.requests.from_describe import model_spec, training_spec, transform_spec
from sagemaker_semseg.sdk.specs import Channel


def test_a_training_there_and_back(training):
    assert training_spec(training_job(training)) == replace(training, metric_definitions=[])
    full = replace(
        training, instance_count=2, keep_alive_period_in_seconds=600, volume_size=50, volume_kms_key="k", max_run=60,
        output_kms_key="o", subnets=("subnet-1",), security_group_ids=("sg-1",), environment={"A": "b"},
        metric_definitions=[{"Name": "mine", "Regex": "x"}], encrypt_inter_container_traffic=True,
        checkpoint_s3_uri="s3://images/c", checkpoint_local_path="/c", enable_network_isolation=True,
        max_retry_attempts=2, experiment_config={"ExperimentName": "e"}, input_mode="Pipe",
        more={"enable_sagemaker_metrics": True, "disable_output_compression": True},
        channels=[
            Channel(
                name, f"s3://b/{name}.manifest", "application/x-recordio", "Pipe", "AugmentedManifestFile",
                "ShardedByS3Key", "None", "RecordIO", ("source-ref", "mask-ref"), 7, ("gpus",),
            )
            for name in ("train", "validation")
        ],
    )  # fmt: skip
    assert training_spec(training_job(full)) == full
    spot = replace(training, use_spot_instances=True, max_wait=90000, metric_definitions=[])
    assert training_spec(training_job(spot)) == spot


def test_a_model_and_a_transform_there_and_back(transform):
    full = replace(
        transform.model,
        environment={"A": "b"},
        subnets=("s",),
        security_group_ids=("g",),
        enable_network_isolation=True,
    )
    assert model_spec(model(full)) == full
    assert transform_spec(transform_job(transform), transform.model) == transform
    every = replace(
        transform, content_type="image/jpeg", accept="image/png", strategy="SingleRecord", max_payload=10,
        max_concurrent_transforms=2, environment={"A": "b"}, output_kms_key="o", volume_kms_key="v",
        more={"model_client_config": {"InvocationsMaxRetries": 1}, "input_filter": "$"},
    )  # fmt: skip
    assert transform_spec(transform_job(every), every.model) == every


def test_a_short_description():
    """Of a job that something else has started, in another way."""
    assert training_spec({"TrainingJobName": "x"}).channels == []
    assert model_spec({"ModelName": "m"}).model_data == ""
