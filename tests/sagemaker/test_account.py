"""A notebook with credentials (moto): jobs in the account, and jobs of this machine with a bucket of the account."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sagemaker_semseg
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend
from tests.sdk.local.conftest import bucket_server as bucket_server

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


HERE = """
import json
import sagemaker

sess = sagemaker.Session(default_bucket="images")
bucket = sess.default_bucket()
names = ("train", "train_annotation", "validation", "validation_annotation")
channels = {name: sess.upload_data(f"data/{name}", bucket, f"set/{name}") for name in names}
with open("train_label_map.json", "w") as file:
    json.dump({"map": {str(label): label for label in range(4)}}, file)
channels["label_map"] = sess.upload_data("train_label_map.json", bucket, "set/label_map")
settings = dict(
    instance_count=1, instance_type="ml.p3.2xlarge", output_path=f"s3://{bucket}/out", sagemaker_session=sess
)
first = sagemaker.estimator.Estimator(**settings)
first.set_hyperparameters(num_classes=4, num_training_samples=2)
first.fit(channels, job_name="first", logs=False)
second = sagemaker.estimator.Estimator(
    **settings, model_uri=first.model_data, checkpoint_s3_uri=f"s3://{bucket}/checkpoints"
)
second.set_hyperparameters(**first.hyperparameters())
second.fit(channels, job_name="second", logs=False)
attached = sagemaker.estimator.Estimator.attach("second", sagemaker_session=sess)
attached.deploy(1, "ml.c5.xlarge", endpoint_name="here")
predictor = sagemaker.predictor.Predictor("here", sagemaker_session=sess)
with open("test.jpg", "rb") as file:
    reply = predictor.predict(file.read(), {"ContentType": "image/jpeg", "Accept": "image/png"})
predictor.delete_endpoint()
"""


def test_jobs_of_this_machine_with_a_bucket_of_the_account(bucket_server, state, small_model, tmp_path, monkeypatch):
    backend = LocalBackend([sys.executable, str(Path(__file__).with_name("model_job.py"))])
    monkeypatch.setattr(backends, "local_backend", lambda: backend)
    monkeypatch.setenv("MODEL", str(small_model))
    monkeypatch.chdir(tmp_path)
    made = make_demo_set(tmp_path / "data", train=2, validation=1, test=1, size=32)
    made["test"][0].rename(tmp_path / "test.jpg")
    sagemaker_semseg.replace_sagemaker(instance_type="local")
    cell = {}
    try:
        exec(HERE, cell)
    finally:
        sagemaker_semseg.restore_sagemaker()
    assert not cell["sess"].is_local
    assert cell["second"].model_data == "s3://images/out/second/output/model.tar.gz"
    assert "out/second/output/model.tar.gz" in cell["sess"].list_s3_files("images", "out")
    data = state / "training/second/ml/input/data"
    assert [path.name for path in (data / "label_map").iterdir()] == ["train_label_map.json"]
    assert [path.name for path in (data / "model").iterdir()] == ["model.tar.gz"]
    assert (data / "model/model.tar.gz").read_bytes() == cell["sess"].read_bytes(
        "images", "out/first/output/model.tar.gz"
    )
    with Image.open(tmp_path / "test.jpg") as image, Image.open(io.BytesIO(cell["reply"])) as mask:
        assert mask.size == image.size
        assert np.asarray(mask).max() < 4
    assert not (state / "buckets").exists()
