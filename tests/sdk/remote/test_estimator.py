"""The estimator and the predictor over moto's SageMaker: what a notebook does."""

import boto3
import pytest

from sagemaker_semseg import SemSegEstimator, SemSegPredictor
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.specs import JobFailed
from tests.sdk.conftest import IMAGE, ROLE
from tests.sdk.remote.life import log

FOUR = {name: f"s3://images/{name}" for name in ("train", "train_annotation", "validation", "validation_annotation")}


def estimator(**more):
    given = {"image_uri": IMAGE, "role": ROLE, "instance_count": 1, "instance_type": "ml.g5.xlarge"}
    return SemSegEstimator(**{**given, "output_path": "s3://images/out", "num_classes": 3, **more})


def test_a_notebook_s_day(moto_cloud, capsys):
    mine = estimator(base_job_name="street", use_pretrained_model=True, tags={"team": "streets"})
    mine.fit(FOUR, logs="None")
    name = mine.latest_training_job.name
    assert name.startswith("street-2")
    log(
        "/aws/sagemaker/TrainingJobs", f"{name}/algo-1-1",
        "[11/25/2026 18:00:00 INFO 1] #quality_metric: host=algo-1, epoch=0, train loss <loss>=1.5",
        "[11/25/2026 18:00:09 INFO 1] #quality_metric: host=algo-1, epoch=0, validation mIOU <score>=0.25",
    )  # fmt: skip
    assert mine.training_job_analytics.epochs == [{"epoch": 0, "train:loss": 1.5, "validation:mIOU": 0.25}]
    assert mine.model_data == f"s3://images/out/{name}/output/model.tar.gz"

    found = SemSegEstimator.attach(name, boto3.Session())
    assert found.hyperparameters() == {"num_classes": "3", "use_pretrained_model": "True"}
    assert found.model_data == mine.model_data

    predictor = found.deploy(1, "ml.c5.xlarge", endpoint_name="street")
    assert isinstance(predictor, SemSegPredictor)
    again = SemSegPredictor("street", boto3.Session())
    again.delete_endpoint()
    again.delete_model()
    sagemaker = boto3.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == sagemaker.list_models()["Models"] == []

    transformer = found.transformer(1, "ml.c5.xlarge", output_path="s3://images/masks", accept="image/png")
    transformer.transform("s3://images/new", content_type="image/jpeg", wait=False)
    transformer.delete_model()
    assert sagemaker.list_models()["Models"] == []


def test_everything_that_is_wrong_comes_at_once(moto_cloud, monkeypatch):
    monkeypatch.delenv("SAGEMAKER_SEMSEG_IMAGE_URI", raising=False)
    mine = estimator(role=None, image_uri=None, num_classes=1, use_spot_instances=True, output_path="s3://")
    with pytest.raises(UserError) as caught:
        mine.fit({"train": "s3://images/train", "train_annotation": 7})
    assert [fault.where for fault in caught.value.faults].count("train_annotation") == 1
    wrong = {fault.where for fault in caught.value.faults}
    assert wrong >= {"num_classes", "role", "image_uri", "train_annotation", "max_wait"}
    assert boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []


def test_a_job_of_something_else_is_attached_to_as_far_as_it_goes(moto_cloud):
    boto3.client("sagemaker").create_training_job(
        TrainingJobName="theirs", RoleArn=ROLE, OutputDataConfig={"S3OutputPath": "s3://images/out"},
        AlgorithmSpecification={"TrainingImage": "other:1", "TrainingInputMode": "File"},
        ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )  # fmt: skip
    found = SemSegEstimator.attach("theirs", boto3.Session())
    assert (found.image_uri, found.instance_type, found.max_run) == ("other:1", "ml.c5.xlarge", 60)


def test_a_failed_job_is_attached_to_and_says_why(moto_cloud, backend, stub, training):
    from tests.sdk.remote.test_aws_errors import describe

    sagemaker = stub("sagemaker")
    for _ in range(2):
        answer = describe(training, TrainingJobStatus="Failed", SecondaryStatus="Failed", FailureReason="no such label")
        sagemaker.add_response("describe_training_job", answer)
    with pytest.raises(JobFailed, match="no such label"):
        backend.training_job(training.name).wait(logs=False)
