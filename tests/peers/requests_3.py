"""The same trainings by SageMaker's SDK 3 and by this package: every difference in what is sent is listed, and wanted.

.envs/sagemaker3/bin/python tests/peers/requests_3.py          (``make test-sagemaker3``)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import requests_recorded as recorded  # noqa: E402

recorded.prepare()

import importlib.metadata  # noqa: E402
import json  # noqa: E402

import boto3  # noqa: E402
import moto  # noqa: E402
from botocore.awsrequest import AWSResponse  # noqa: E402
from sagemaker.core.helper.session_helper import Session  # noqa: E402
from sagemaker.core.shapes import (  # noqa: E402
    Channel,
    DataSource,
    S3DataSource,
    ShuffleConfig,
    StoppingCondition,
    Tag,
)
from sagemaker.core.training.configs import (  # noqa: E402
    CheckpointConfig,
    Compute,
    InputData,
    Networking,
    OutputDataConfig,
)
from sagemaker.train import ModelTrainer  # noqa: E402

from sagemaker_semseg.sdk.estimator import SemSegEstimator  # noqa: E402

WANTED: dict[str, str] = {
    "CreateTrainingJob.AlgorithmSpecification.MetricDefinitions": "SageMaker doesn't know the image: the expressions "
    "that find our numbers in the log are sent along",
    "CreateTrainingJob.HyperParameters.use_pretrained_model": "as SDK 2 writes it; both are read",
    "CreateTrainingJob.InputDataConfig[].InputMode": "the job's own mode, which is said once for all channels",
    "CreateTrainingJob.OutputDataConfig.CompressionType": "what SageMaker does by itself",
}

HYPERPARAMETERS = {
    "num_classes": 21, "use_pretrained_model": True, "learning_rate": 0.0001, "algorithm": "fcn", "epochs": "10",
}  # fmt: skip
FOUR = {name: f"s3://images/set/{name}" for name in recorded.NAMES}
OURS = {
    "image_uri": recorded.IMAGE, "role": recorded.ROLE, "instance_count": 1, "instance_type": "ml.g5.xlarge",
    "output_path": "s3://images/out", "base_job_name": "job",
}  # fmt: skip
THEIRS = {
    "training_image": recorded.IMAGE, "role": recorded.ROLE, "base_job_name": "job",
    "compute": Compute(instance_type="ml.g5.xlarge", instance_count=1, volume_size_in_gb=30),
    "output_data_config": OutputDataConfig(s3_output_path="s3://images/out"),
    "stopping_condition": StoppingCondition(max_runtime_in_seconds=86400),
}  # fmt: skip


def manifests():
    """As version 3's ``Channel``."""
    return [
        Channel(
            channel_name=name,
            data_source=DataSource(
                s3_data_source=S3DataSource(
                    s3_data_type="AugmentedManifestFile",
                    s3_uri=f"s3://images/{name}.manifest",
                    s3_data_distribution_type="FullyReplicated",
                    attribute_names=["source-ref", "mask-ref"],
                )
            ),
            content_type="image/jpeg",
            record_wrapper_type="RecordIO",
            input_mode="Pipe",
            shuffle_config=ShuffleConfig(seed=7),
        )
        for name in ("train", "validation")
    ]


def strings():
    """As version 3's ``InputData``."""
    return [InputData(channel_name=name, data_source=place) for name, place in FOUR.items()]


def sources():
    return [
        InputData(
            channel_name=name,
            data_source=S3DataSource(
                s3_data_type="S3Prefix", s3_uri=place, s3_data_distribution_type="FullyReplicated"
            ),
            content_type="image/jpeg",
        )
        for name, place in FOUR.items()
    ]


CASES = {
    "a plain training": (THEIRS, OURS, strings),
    "an augmented manifest through the pipe": (
        {**THEIRS, "training_input_mode": "Pipe"}, {**OURS, "input_mode": "Pipe"}, manifests,
    ),
    "everything that can be said": (
        {
            **THEIRS,
            "compute": Compute(
                instance_type="ml.g5.xlarge", instance_count=2, volume_size_in_gb=50, volume_kms_key_id=recorded.KEY,
                enable_managed_spot_training=True,
            ),
            "networking": Networking(
                subnets=["subnet-1"], security_group_ids=["sg-1"], enable_network_isolation=True,
                enable_inter_container_traffic_encryption=True,
            ),
            "output_data_config": OutputDataConfig(s3_output_path="s3://images/out", kms_key_id=recorded.KEY),
            "stopping_condition": StoppingCondition(max_runtime_in_seconds=3600, max_wait_time_in_seconds=7200),
            "checkpoint_config": CheckpointConfig(s3_uri="s3://images/c", local_path="/opt/ml/checkpoints"),
            "training_input_mode": "FastFile",
            "environment": {"A": "b"},
            "tags": [Tag(key="team", value="streets")],
        },
        {
            **OURS, "instance_count": 2, "volume_size": 50, "volume_kms_key": recorded.KEY, "use_spot_instances": True,
            "subnets": ["subnet-1"], "security_group_ids": ["sg-1"], "enable_network_isolation": True,
            "encrypt_inter_container_traffic": True, "output_kms_key": recorded.KEY, "max_run": 3600, "max_wait": 7200,
            "checkpoint_s3_uri": "s3://images/c", "checkpoint_local_path": "/opt/ml/checkpoints",
            "input_mode": "FastFile", "environment": {"A": "b"}, "tags": [{"Key": "team", "Value": "streets"}],
        },
        sources,
    ),
    "warm instances": (
        {
            **THEIRS,
            "compute": Compute(
                instance_type="ml.g5.xlarge", instance_count=1, volume_size_in_gb=30, keep_alive_period_in_seconds=600
            ),
        },
        {**OURS, "keep_alive_period_in_seconds": 600},
        strings,
    ),
}  # fmt: skip


def allowed(**call):
    """Version 3 asks IAM what the role may do, which moto has no answer to."""
    return AWSResponse("", 200, {}, None), {"EvaluationResults": [], "IsTruncated": False}


def main() -> int:
    session = boto3.Session()
    recorder = recorded.Recorder(session)
    session.events.register("before-call.iam.SimulatePrincipalPolicy", allowed)
    boto3.client("s3").create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    service = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [service]})
    boto3.client("iam").create_role(RoleName="SageMakerRole", AssumeRolePolicyDocument=trust)
    cases = {}
    for case, (theirs, ours, inputs) in CASES.items():
        with recorder.recording() as first:
            trainer = ModelTrainer(
                **theirs, hyperparameters=HYPERPARAMETERS, sagemaker_session=Session(boto_session=session)
            )
            trainer.train(input_data_config=inputs(), wait=False, logs=False)
        with recorder.recording() as second:
            estimator = SemSegEstimator(**ours, hyperparameters=HYPERPARAMETERS, sagemaker_session=session)
            estimator.fit(inputs(), wait=False)
        cases[case] = recorded.differences(first, second)
    return recorded.report(f"sagemaker {importlib.metadata.version('sagemaker')}", cases, WANTED)


if __name__ == "__main__":
    with moto.mock_aws():
        status = main()
    sys.exit(status)
