"""SageMaker as it looks from here, without a network: moto's, or single answers through botocore's Stubber."""

import contextlib

import botocore.loaders
import pytest
from botocore.stub import Stubber

from sagemaker_semseg.sdk.remote import RemoteBackend, clients, endpoints

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIATHEKEYTHEKEYTHE1",
    "AWS_SECRET_ACCESS_KEY": "THESECRET/THESECRET",
    "AWS_SESSION_TOKEN": "THETOKENTHETOKEN",
}


_LOADER = botocore.loaders.create_loader()


@pytest.fixture
def cloud(aws, monkeypatch):
    """Credentials, a region, no pauses. What botocore knows of the services is read once for all tests."""
    monkeypatch.setattr(botocore.loaders, "create_loader", lambda *paths: _LOADER)
    for name, value in SECRETS.items():
        aws.setenv(name, value)
    aws.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    aws.delenv("SAGEMAKER_SEMSEG_IMAGE_URI", raising=False)
    pauses = []
    monkeypatch.setattr(clients.time, "sleep", pauses.append)
    monkeypatch.setattr(endpoints.time, "sleep", pauses.append)
    aws.pauses = pauses
    return aws


@pytest.fixture
def backend(cloud):
    return RemoteBackend()


@pytest.fixture
def stub(backend):
    """``stub("sagemaker")`` is a Stubber of the backend's client; all that was to be asked has been in the end."""
    with contextlib.ExitStack() as stack:
        stubs = {}

        def of(service):
            if service not in stubs:
                stubs[service] = stack.enter_context(Stubber(backend.account.client(service)))
            return stubs[service]

        yield of
        for found in stubs.values():
            found.assert_no_pending_responses()


@pytest.fixture
def moto_cloud(cloud):
    import moto

    with moto.mock_aws():
        yield cloud
