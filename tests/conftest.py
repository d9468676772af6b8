"""Amazon S3 as it looks from here, without a network."""

import pytest

from sagemaker_semseg.storage import s3, s3_retry

VARIABLES = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE", "AWS_SESSION_TOKEN")


@pytest.fixture
def aws(monkeypatch, tmp_path_factory):
    """No credentials, no configuration, and a boto3 that starts anew; a test sets what it needs."""
    import boto3

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / "no-such-file"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(s3_retry, "FIRST_PAUSE", 0.0)
    s3.client.cache_clear()
    yield monkeypatch
    s3.client.cache_clear()


@pytest.fixture
def bucket(aws):
    """A client of an S3 in this process, with an empty bucket called ``pictures``."""
    import boto3
    import moto

    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="pictures")
        yield client
