"""A state folder of its own for every test, no credentials, and a backend whose trainings cost nothing."""

import sys

import pytest

import sagemaker_semseg
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend
from tests.sdk.local.conftest import FAKE_JOB
from tests.sdk.local.conftest import inputs as inputs


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def no_credentials(monkeypatch):
    monkeypatch.setattr(backends, "boto_session", lambda: None)


@pytest.fixture
def backend(state, no_credentials, monkeypatch):
    """This machine, with the fake job."""
    backend = LocalBackend([sys.executable, str(FAKE_JOB)])
    monkeypatch.setattr(backends, "local_backend", lambda: backend)
    return backend


@pytest.fixture
def replaced():
    """``import sagemaker`` is this package's, and every ml.* job is of this machine."""
    sagemaker_semseg.replace_sagemaker(instance_type="local")
    yield
    sagemaker_semseg.restore_sagemaker()
