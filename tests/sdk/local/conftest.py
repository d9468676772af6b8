"""A state folder of its own for every test, data of four channels, and a backend whose trainings cost nothing."""

import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend
from sagemaker_semseg.sdk.specs import Channel, TrainingSpec

FAKE_JOB = Path(__file__).with_name("fake_job.py")
CHANNELS = ("train", "train_annotation", "validation", "validation_annotation")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(folder))
    return folder


@pytest.fixture
def inputs(tmp_path):
    """Four channels with a file each."""
    for name in CHANNELS:
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "data" / name / "a.png")
    return {name: str(tmp_path / "data" / name) for name in CHANNELS}


@pytest.fixture
def backend(monkeypatch):
    """This machine, with the fake job; an estimator gets it, too."""
    backend = LocalBackend([sys.executable, str(FAKE_JOB)])
    monkeypatch.setattr(backends, "local_backend", lambda: backend)
    return backend


@pytest.fixture
def spec(inputs, tmp_path):
    """A specification of a job; ``seed`` says what the fake one does."""

    def spec(seed=0, name="job", **more):
        channels = tuple(Channel(channel, place) for channel, place in inputs.items())
        hyperparameters = {"num_classes": "4", "seed": str(seed)}
        given = {"output_path": str(tmp_path / "out"), **more}
        return TrainingSpec(name, hyperparameters, channels, "local", **given)

    return spec


def eventually(condition, seconds=120):
    """Wait until something is so; fails if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture
def bucket_server(aws, tmp_path):
    """A client of an S3 in a process' thread, which other processes reach as well; the bucket is ``images``."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    _, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.setenv(name, "testing")
    aws.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    aws.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    client = boto3.client("s3")
    client.create_bucket(Bucket="images")
    yield client
    server.stop()
