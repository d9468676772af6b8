"""Specifications that the tests of remote jobs start from."""

import pytest

from sagemaker_semseg.sdk.specs import Channel, EndpointSpec, ModelSpec, TrainingSpec, TransformSpec

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/semseg:0.1.0"


def four(**more):
    """The four channels."""
    names = ("train", "train_annotation", "validation", "validation_annotation")
    return [Channel(name, f"s3://images/set/{name}", **more) for name in names]


@pytest.fixture
def training():
    return TrainingSpec(
        name="semseg-2026-11-25-10-00-00-000",
        hyperparameters={"num_classes": "21", "use_pretrained_model": "True"},
        channels=four(),
        instance_type="ml.g5.xlarge",
        image_uri=IMAGE,
        role=ROLE,
        output_path="s3://images/out",
    )


@pytest.fixture
def model():
    return ModelSpec("street", "s3://images/out/job/output/model.tar.gz", image_uri=IMAGE, role=ROLE)


@pytest.fixture
def endpoint(model):
    return EndpointSpec("street", model, instance_type="ml.c5.xlarge")


@pytest.fixture
def transform(model):
    return TransformSpec("street-1", model, "s3://images/new", "s3://images/masks", "ml.c5.xlarge")
