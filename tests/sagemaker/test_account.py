"""A notebook in an account of AWS (moto): its jobs run this package's image, unless it names AWS's."""

import pytest

import sagemaker_semseg
from sagemaker_semseg.data.demo_dataset import make_demo_set

OURS = "123456789012.dkr.ecr.us-east-1.amazonaws.com/semseg:1"
CELL = """
import sagemaker
from sagemaker import image_uris

sess = sagemaker.Session()
bucket = sess.default_bucket()
image = image_uris.retrieve("semantic-segmentation", sess.boto_region_name, version="latest")
model = sagemaker.estimator.Estimator(
    image, "arn:aws:iam::123456789012:role/R", instance_count=1, instance_type="ml.p3.2xlarge", sagemaker_session=sess,
    output_path=f"s3://{bucket}/output",
)
model.set_hyperparameters(num_classes=4, num_training_samples=2)
names = ("train", "train_annotation", "validation", "validation_annotation")
channels = {
    name: sagemaker.inputs.TrainingInput(sess.upload_data(f"data/{name}", bucket, name), s3_data_type="S3Prefix")
    for name in names
}
model.fit(channels, wait=False)
"""


@pytest.fixture
def account(aws, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.setenv(name, "testing")
    make_demo_set(tmp_path / "data", train=2, validation=1, test=1, size=32)
    monkeypatch.chdir(tmp_path)
    with pytest.importorskip("moto").mock_aws():
        sagemaker_semseg.replace_sagemaker()
        yield
        sagemaker_semseg.restore_sagemaker()


def started(cell):
    name = cell["model"].latest_training_job.name
    return cell["sess"].sagemaker_client.describe_training_job(TrainingJobName=name)


def test_the_image_of_this_package(account, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_IMAGE_URI", OURS)
    cell = {}
    exec(CELL, cell)
    job = started(cell)
    assert job["AlgorithmSpecification"]["TrainingImage"] == OURS
    bucket = "sagemaker-us-east-1-123456789012"
    places = {each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in job["InputDataConfig"]}
    assert places == {name: f"s3://{bucket}/{name}" for name in cell["names"]}
    assert len(cell["sess"].list_s3_files(bucket, "train")) == 2
    predictor = cell["model"].deploy(1, "ml.c5.xlarge", wait=False, endpoint_name="mine", model_name="mine")
    client = cell["sess"].sagemaker_client
    assert client.describe_model(ModelName="mine")["PrimaryContainer"]["Image"] == OURS
    assert client.describe_endpoint(EndpointName="mine")["EndpointConfigName"] == "mine"
    predictor.delete_endpoint()
    with pytest.raises(client.exceptions.ClientError):
        client.describe_endpoint(EndpointName="mine")


def test_the_image_of_aws(account, monkeypatch):
    monkeypatch.delenv("SAGEMAKER_SEMSEG_IMAGE_URI", raising=False)
    cell = {}
    with pytest.warns(UserWarning, match=r"semantic-segmentation:1 is AWS's own algorithm.*SAGEMAKER_SEMSEG_IMAGE_URI"):
        exec(CELL, cell)
    image = started(cell)["AlgorithmSpecification"]["TrainingImage"]
    assert image == "811284229777.dkr.ecr.us-east-1.amazonaws.com/semantic-segmentation:1"
