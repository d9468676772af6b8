"""The same jobs by SageMaker's SDK 3 and by this package: every difference in what is sent is listed here, and wanted.

.envs/sagemaker3/bin/python tests/peers/requests_3.py          (``make test-sagemaker3``)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import requests_recorded as recorded  # noqa: E402

recorded.prepare()

import functools  # noqa: E402
import importlib.metadata  # noqa: E402
import json  # noqa: E402

import boto3  # noqa: E402
import moto  # noqa: E402
from botocore.awsrequest import AWSResponse  # noqa: E402
from sagemaker.core.helper.session_helper import Session  # noqa: E402
from sagemaker.core.inference_config import AsyncInferenceConfig, ServerlessInferenceConfig  # noqa: E402
from sagemaker.core.model_monitor import DataCaptureConfig  # noqa: E402
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter  # noqa: E402
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
from sagemaker.serve.model_builder import ModelBuilder  # noqa: E402
from sagemaker.train import ModelTrainer  # noqa: E402
from sagemaker.train.tuner import HyperparameterTuner  # noqa: E402

from sagemaker_semseg.sdk.estimator import SemSegEstimator  # noqa: E402
from sagemaker_semseg.sdk.model import SemSegModel  # noqa: E402
from sagemaker_semseg.sdk.tuner import Tuner  # noqa: E402

_METRICS = "SageMaker doesn't know the image: the expressions that find our numbers in the log are sent along"
_COMPRESSION = "what SageMaker does by itself"
_SOURCE = "a tag by which version 3 finds its endpoints again"
_TUNING = "CreateHyperParameterTuningJob.TrainingJobDefinition"
WANTED: dict[str, str] = {
    "CreateTrainingJob.AlgorithmSpecification.MetricDefinitions": _METRICS,
    "CreateTrainingJob.HyperParameters.use_pretrained_model": "as SDK 2 writes it; both are read",
    "CreateTrainingJob.InputDataConfig[].InputMode": "the job's own mode, which is said once for all channels",
    "CreateTrainingJob.OutputDataConfig.CompressionType": _COMPRESSION,
    "CreateEndpoint.Tags": _SOURCE,
    "CreateEndpointConfig.Tags": _SOURCE,
    f"{_TUNING}.AlgorithmSpecification.MetricDefinitions": _METRICS,
    f"{_TUNING}.OutputDataConfig.CompressionType": _COMPRESSION,
}

ARTIFACT = "s3://images/out/model.tar.gz"
OURS = {**recorded.PLAIN, "base_job_name": "job"}
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
    return [InputData(channel_name=name, data_source=place) for name, place in recorded.FOUR.items()]


def sources():
    return [
        InputData(
            channel_name=name,
            data_source=S3DataSource(
                s3_data_type="S3Prefix", s3_uri=place, s3_data_distribution_type="FullyReplicated"
            ),
            content_type="image/jpeg",
        )
        for name, place in recorded.FOUR.items()
    ]


TRAININGS = {
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
            "input_mode": "FastFile", "environment": {"A": "b"}, "tags": recorded.TAGS,
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


def trainer(session, **arguments):
    return ModelTrainer(**arguments, hyperparameters=recorded.HYPERPARAMETERS, sagemaker_session=session)


def estimator(session, **arguments):
    return SemSegEstimator(**arguments, hyperparameters=recorded.HYPERPARAMETERS, sagemaker_session=session)


def builder(session, **arguments):
    """Version 3 builds a model of an image and an artifact as they are."""
    return ModelBuilder(
        image_uri=recorded.IMAGE, s3_model_data_url=ARTIFACT, role_arn=recorded.ROLE, sagemaker_session=session,
        **arguments,
    )  # fmt: skip


def model(session, **arguments):
    return SemSegModel(recorded.IMAGE, ARTIFACT, recorded.ROLE, sagemaker_session=session, **arguments)


def deployment(recorder, session, theirs_session, arguments, number):
    """A model, and an endpoint with it."""
    configs = ("serverless_inference_config", "async_inference_config")
    theirs = {name: value for name, value in arguments.items() if name not in configs}
    theirs["inference_config"] = next((arguments[name] for name in configs if name in arguments), None)
    with recorder.recording() as first:
        built = builder(theirs_session)
        built.build(model_name=f"street-1{number}", tags=arguments.get("tags"))
        built.deploy(endpoint_name=f"street-1{number}", wait=False, **theirs)
    with recorder.recording() as second:
        model(session, name=f"street-2{number}").deploy(**arguments, endpoint_name=f"street-2{number}", wait=False)
    return recorded.differences(first, second)


def models(recorder, session, theirs_session):
    network = {"subnets": ["subnet-1"], "security_group_ids": ["sg-1"]}
    with recorder.recording() as first:
        builder(
            theirs_session, env_vars={"A": "b"}, network=Networking(**network, enable_network_isolation=True)
        ).build(model_name="model-10000000000061", tags=recorded.TAGS)
    with recorder.recording() as second:
        model(
            session, name="model-20000000000061", env={"A": "b"}, enable_network_isolation=True,
            vpc_config={"Subnets": network["subnets"], "SecurityGroupIds": network["security_group_ids"]},
        ).create("ml.c5.xlarge", tags=recorded.TAGS)  # fmt: skip
    return recorded.differences(first, second)


def transforms(recorder, session, theirs_session):
    sent = []
    built = builder(theirs_session)
    for number, thing in enumerate((built, model(session, name="model-20000000000041"))):
        with recorder.recording() as found:
            if thing is built:
                built.build(model_name="model-10000000000041", tags=recorded.TAGS)
            transformer = thing.transformer(1, "ml.c5.xlarge", **recorded.TRANSFORMER)
            name = f"street-{number}0000000000043"
            transformer.transform("s3://images/new", job_name=name, **recorded.TRANSFORM)
        sent.append(found)
    return recorded.differences(*sent)


def tunings(recorder, session, theirs_session):
    ranges = recorded.ranges(ContinuousParameter, IntegerParameter, CategoricalParameter)
    with recorder.recording() as first:
        HyperparameterTuner(
            trainer(theirs_session, **THEIRS), "validation:mIOU", ranges,
            [{"Name": "validation:mIOU", "Regex": "x"}], **recorded.TUNING,
        ).tune(strings(), job_name="tuning-00000000000051", wait=False)  # fmt: skip
    with recorder.recording() as second:
        Tuner(estimator(session, **OURS), "validation:mIOU", ranges, **recorded.TUNING).fit(
            strings(), job_name="tuning-00000000000052", wait=False
        )
    return recorded.differences(first, second)


def allowed(**call):
    """Version 3 asks IAM what the role may do, which moto has no answer to."""
    return AWSResponse("", 200, {}, None), {"EvaluationResults": [], "IsTruncated": False}


def without_half_answers(parsed, **call):
    """moto describes a model's network and an endpoint's capture of data in part only, which version 3 refuses."""
    for name in ("VpcConfig", "DataCaptureConfig"):
        parsed.pop(name, None)


def main() -> int:
    session = boto3.Session()
    recorder = recorded.Recorder(session)
    session.events.register("before-call.iam.SimulatePrincipalPolicy", allowed)
    session.events.register("after-call.sagemaker", without_half_answers)
    boto3.client("s3").create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    service = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [service]})
    boto3.client("iam").create_role(RoleName="SageMakerRole", AssumeRolePolicyDocument=trust)
    theirs_session = Session(boto_session=session)
    cases = {}
    for case, (theirs, ours, inputs) in TRAININGS.items():
        with recorder.recording() as first:
            trainer(theirs_session, **theirs).train(input_data_config=inputs(), wait=False, logs=False)
        with recorder.recording() as second:
            estimator(session, **ours).fit(inputs(), wait=False)
        cases[case] = recorded.differences(first, second)
    capture = functools.partial(DataCaptureConfig, sagemaker_session=theirs_session)
    for number, (case, arguments) in enumerate(
        recorded.deployments(ServerlessInferenceConfig, AsyncInferenceConfig, capture).items()
    ):
        cases[case] = deployment(recorder, session, theirs_session, arguments, f"{number:013}")
    cases["a model with everything"] = models(recorder, session, theirs_session)
    cases["a batch transform"] = transforms(recorder, session, theirs_session)
    cases["a tuning"] = tunings(recorder, session, theirs_session)
    return recorded.report(f"sagemaker {importlib.metadata.version('sagemaker')}", cases, WANTED)


if __name__ == "__main__":
    with moto.mock_aws():
        status = main()
    sys.exit(status)
