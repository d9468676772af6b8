"""Chooses where a job runs by its instance type, and finds jobs by their names.

A backend is imported when it is first needed: boto3 takes its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.specs import LOCAL_TYPES, Backend, Endpoint, Job, TuningJob

Thing = TypeVar("Thing")


def backend_of(instance_type: str | None, sagemaker_session: Any = None) -> Backend:
    """Return the backend for an instance type; None means SageMaker, whose serverless endpoints have no type.

    sagemaker_session: a ``boto3.Session``, or a ``Session`` of the SageMaker Python SDK; None is the default one.
    """
    return local_backend() if instance_type in LOCAL_TYPES else remote_backend(sagemaker_session)


def find_training_job(name: str, sagemaker_session: Any = None) -> tuple[Backend, Job]:
    """Return a training job and its backend. Raises ``UserError`` if there is none of the name."""
    return _find(lambda backend: (backend, backend.training_job(name)), sagemaker_session)


def find_transform_job(name: str, sagemaker_session: Any = None) -> Job:
    """Return a transform job. Raises ``UserError`` if there is none of the name."""
    return _find(lambda backend: backend.transform_job(name), sagemaker_session)


def find_tuning_job(name: str, sagemaker_session: Any = None) -> TuningJob:
    """Return a tuning job. Raises ``UserError`` if there is none of the name."""
    return _find(lambda backend: backend.tuning_job(name), sagemaker_session)


def find_endpoint(name: str, sagemaker_session: Any = None) -> Endpoint:
    """Return an endpoint. Raises ``UserError`` if there is none of the name."""
    return _find(lambda backend: backend.endpoint(name), sagemaker_session)


def _find(find: Callable[[Backend], Thing], sagemaker_session: Any) -> Thing:
    """Search this machine, then SageMaker, unless the session is one of this machine."""
    try:
        return find(local_backend())
    except UserError as error:
        if getattr(sagemaker_session, "is_local", False):
            raise
        not_here = error
    try:
        return find(remote_backend(sagemaker_session))
    except UserError as error:
        raise UserError(f"{not_here}\nSageMaker was asked, too: {error}") from None


def local_backend() -> Backend:
    """Return the backend of this machine."""
    from sagemaker_semseg.sdk.local import LocalBackend

    return LocalBackend()


def account(boto_session: Any) -> Any:
    """Return the account of a ``boto3.Session``."""
    from sagemaker_semseg.sdk.remote.clients import Account

    return Account(boto_session)


def boto_session() -> Any:
    """Return boto3's session if boto3 is installed and finds credentials and a region, else None."""
    from sagemaker_semseg.sdk.remote.clients import session_with_credentials

    return session_with_credentials()


def remote_backend(sagemaker_session: Any) -> Backend:
    """Return the backend of SageMaker. sagemaker_session: as in ``backend_of``."""
    from sagemaker_semseg.sdk.remote import RemoteBackend

    return RemoteBackend(sagemaker_session)
