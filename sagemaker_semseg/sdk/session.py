"""A session as in SDK 2: an account of AWS, or this machine where there are no credentials.

On this machine buckets are folders (``storage.local_buckets``), and jobs run by ``instance_type="local"``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sagemaker_semseg.environment import aws_region
from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.storage import FileSystem, LocalFileSystem, S3FileSystem, S3Uri, copy_files
from sagemaker_semseg.storage.local_buckets import DEFAULT_BUCKET, local_bucket_path, make_bucket

LOCAL_ACCOUNT: Final = "000000000000"
LOCAL_ROLE: Final = f"arn:aws:iam::{LOCAL_ACCOUNT}:role/this-machine"
NOTEBOOK_METADATA: Final = Path("/opt/ml/metadata/resource-metadata.json")
_BINARY: Final = "application/octet-stream"


class Session:
    """SDK 2's ``Session``: buckets, files in them, and jobs by their names.

    Args:
        boto_session: A ``boto3.Session``; by default boto3's. Without credentials the session is one of this machine.
        sagemaker_client: boto3's client, used for jobs.
        sagemaker_runtime_client: boto3's client, used for endpoints.
        default_bucket: Another bucket than the default one.
        default_bucket_prefix: What the keys in the default bucket begin with.
        more: SDK 2's other arguments, which mean nothing here.

    Example:
        session = Session()
        train = session.upload_data("data/train", key_prefix="set/train")   # s3://BUCKET/set/train
    """

    local_mode = False

    def __init__(
        self,
        boto_session: Any = None,
        sagemaker_client: Any = None,
        sagemaker_runtime_client: Any = None,
        sagemaker_featurestore_runtime_client: Any = None,
        default_bucket: str | None = None,
        default_bucket_prefix: str | None = None,
        **more: Any,
    ):
        self._default_bucket, self.default_bucket_prefix = default_bucket, default_bucket_prefix
        self.settings, self.config = more.get("settings"), None
        self._boto_session = self._credentials() if boto_session is None else _with_credentials(boto_session)
        self.is_local = self._boto_session is None
        if not self.is_local:
            # else the account would take its clients from this session
            self._account = backends.account(self._boto_session)
        self._clients = {"sagemaker": sagemaker_client, "sagemaker-runtime": sagemaker_runtime_client}

    def _credentials(self) -> Any:
        return backends.boto_session()

    # ---- the account

    @property
    def boto_session(self) -> Any:
        """boto3's session; on this machine one whose clients say what to use."""
        return _NoAccount() if self.is_local else self._boto_session

    @property
    def boto_region_name(self) -> str:
        """The region."""
        return aws_region() if self.is_local else str(self._account.region)

    @property
    def sagemaker_client(self) -> Any:
        """boto3's client of SageMaker."""
        return self._clients["sagemaker"] or self._client("sagemaker")

    @property
    def sagemaker_runtime_client(self) -> Any:
        """boto3's client of SageMaker's endpoints."""
        return self._clients["sagemaker-runtime"] or self._client("sagemaker-runtime")

    @property
    def s3_client(self) -> Any:
        """boto3's client of S3."""
        return self._client("s3")

    def _client(self, service: str) -> Any:
        return self.boto_session.client(service) if self.is_local else self._account.client(service)

    def account_id(self) -> str:
        """Return the account's twelve digits; zeros on this machine."""
        return LOCAL_ACCOUNT if self.is_local else str(self._account.number)

    def default_bucket(self) -> str:
        """Return the name of the default bucket, which is created if it doesn't exist."""
        if self.is_local:
            name = self._default_bucket or DEFAULT_BUCKET
            make_bucket(name)
            return name
        return self._default_bucket or str(self._account.bucket)

    def get_caller_identity_arn(self) -> str:
        """Return the ARN of the role or user that calls: of a notebook on SageMaker its execution role."""
        if self.is_local:
            return LOCAL_ROLE
        return _notebook_role(self._account) or _called_by(self._account)

    def expand_role(self, role: str) -> str:
        """Return a role's ARN."""
        return role if self.is_local or "/" in role else str(self._account.role_arn(role))

    # ---- files

    def upload_data(
        self,
        path: str | os.PathLike[str],
        bucket: str | None = None,
        key_prefix: str = "data",
        callback: Any = None,
        extra_args: Mapping[str, Any] | None = None,
    ) -> str:
        """Upload a file, or all files of a folder.

        Args:
            path: The file or folder.
            bucket: By default the default bucket; on this machine it is created.
            key_prefix: What the keys begin with.
            callback: Ignored.
            extra_args: Ignored.

        Returns:
            ``s3://BUCKET/KEY_PREFIX`` for a folder, with the file's name for a file.

        Raises:
            DataError: There is no such file or folder, or the folder is empty.
        """
        place = Path(path).expanduser()
        if place.is_dir():
            target = self._files(bucket, key_prefix)
            if not copy_files(LocalFileSystem(place), target):
                raise DataError("Nothing can be uploaded:", [Fault(str(path), "holds no file", "check the path")])
            return target.where().rstrip("/")
        source, entry = LocalFileSystem.locate(place)
        target = self._files(bucket, key_prefix)
        assert entry is not None
        target.write(entry.name, [source.read(entry, entry.size)], _BINARY)
        return target.where(entry.name)

    def upload_string_as_file_body(self, body: str, bucket: str, key: str, kms_key: str | None = None) -> str:
        """Write a text as one object and return its address."""
        return self.write_bytes(body.encode(), bucket, key)

    def write_bytes(self, data: bytes, bucket: str, key: str) -> str:
        """Write bytes as one object and return its address."""
        above, _, name = key.rpartition("/")
        target = self._files(bucket, above)
        target.write(name, [data], _BINARY)
        return target.where(name)

    def download_data(
        self,
        path: str | os.PathLike[str],
        bucket: str,
        key_prefix: str = "",
        extra_args: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Download an object, or all below a prefix, into a folder. Returns the paths of the files."""
        folder = LocalFileSystem(Path(path).expanduser())
        found = []
        for key in self.list_s3_files(bucket, key_prefix):
            whole = key == key_prefix
            name = key.rpartition("/")[2] if whole else key[len(key_prefix) :].lstrip("/")
            if not name or "\0" in name or ".." in name.split("/"):
                raise DataError(
                    "An object can't be downloaded:", [Fault(f"s3://{bucket}/{key}", f"lies outside {path}")]
                )
            folder.write(name, [self.read_bytes(bucket, key)], _BINARY)
            found.append(str(Path(path, name)))
        return found

    def read_s3_file(self, bucket: str, key_prefix: str) -> str:
        """Return the text of one object. Raises ``DataError`` if there is none."""
        return self.read_bytes(bucket, key_prefix).decode("utf-8")

    def read_bytes(self, bucket: str, key: str) -> bytes:
        """Return the bytes of one object. Raises ``DataError`` if there is none."""
        above, _, name = key.rpartition("/")
        source = self._files(bucket, above, make=False)
        entry = source.find(name)
        if entry is None:
            raise DataError("An object can't be read:", [Fault(f"s3://{bucket}/{key}", "isn't there", "check the key")])
        return source.read(entry, entry.size)

    def list_s3_files(self, bucket: str, key_prefix: str) -> list[str]:
        """Return the keys of the object ``key_prefix``, or of all objects below it."""
        above, _, name = key_prefix.rstrip("/").rpartition("/")
        if name and not key_prefix.endswith("/") and self._files(bucket, above, make=False).find(name):
            return [key_prefix]
        faults: list[Fault] = []
        inside = self._files(bucket, key_prefix, make=False).files(lambda name: True, faults)
        start = key_prefix.rstrip("/") + "/" if key_prefix.strip("/") else ""
        keys = [start + entry.name for entry in inside]
        if faults:
            raise DataError(f"s3://{bucket}/{key_prefix} can't be listed:", faults)
        return keys

    def _files(self, bucket: str | None, prefix: str, *, make: bool = True) -> FileSystem:
        """Return a prefix of a bucket. make: whether a bucket of this machine is created."""
        if bucket is None:
            bucket = self.default_bucket()
            prefix = f"{self.default_bucket_prefix}/{prefix}" if self.default_bucket_prefix else prefix
        address = str(S3Uri(bucket, prefix)).rstrip("/")
        if self.is_local and make:
            make_bucket(bucket)
        if path := local_bucket_path(address):
            return LocalFileSystem(path, address)
        if self.is_local:
            what = "is no bucket of this machine, and there are no credentials for AWS"
            raise UserError("The bucket can't be read:", [Fault(bucket, what, "upload to it first, or sign in to AWS")])
        return S3FileSystem(S3Uri.parse(address), self._account.client("s3"))

    # ---- jobs and endpoints, of this machine and of the account

    def describe_training_job(self, job_name: str) -> dict[str, Any]:
        """Return a training's state in the form of SageMaker's DescribeTrainingJob."""
        from sagemaker_semseg.sdk.training_job import TrainingJob

        return TrainingJob(backends.find_training_job(job_name, self)[1]).describe()

    def wait_for_job(self, job: str, poll: int = 5) -> dict[str, Any]:
        """Return a training's state when it has ended. Raises ``JobFailed``."""
        backends.find_training_job(job, self)[1].wait(logs=False)
        return self.describe_training_job(job)

    def logs_for_job(self, job_name: str, wait: bool = False, poll: int = 10, **more: Any) -> None:
        """Print a training's log; with ``wait`` until it has ended."""
        for line in backends.find_training_job(job_name, self)[1].logs(follow=wait):
            print(line, flush=True)

    def stop_training_job(self, job_name: str) -> None:
        """Request a training's end; the model so far is kept."""
        backends.find_training_job(job_name, self)[1].stop()

    def describe_tuning_job(self, job_name: str) -> Mapping[str, Any]:
        """Return a tuning's state in the form of SageMaker's DescribeHyperParameterTuningJob."""
        return backends.find_tuning_job(job_name, self).describe()

    def stop_tuning_job(self, name: str) -> None:
        """Request a tuning's end; its results so far are kept."""
        backends.find_tuning_job(name, self).stop()

    def stop_transform_job(self, name: str) -> None:
        """Request a transform's end; its results so far are kept."""
        backends.find_transform_job(name, self).stop()

    def delete_endpoint(self, endpoint_name: str) -> None:
        """Delete an endpoint."""
        backends.find_endpoint(endpoint_name, self).delete(config=False)

    def delete_endpoint_config(self, endpoint_config_name: str) -> None:
        """Delete the configuration of an endpoint on SageMaker; on this machine there is none."""
        if not self.is_local:
            name = endpoint_config_name
            self._account.call(
                "sagemaker", "delete_endpoint_config", f"endpoint configuration {name}", EndpointConfigName=name
            )

    def delete_model(self, model_name: str) -> None:
        """Delete a model on SageMaker; on this machine a model is its artifact, which stays."""
        if not self.is_local:
            self._account.call("sagemaker", "delete_model", f"model {model_name}", ModelName=model_name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'of this machine' if self.is_local else self.boto_region_name})"


class LocalSession(Session):
    """A session of this machine, whatever credentials there are."""

    local_mode = True

    def __init__(self, boto_session: Any = None, default_bucket: str | None = None, **more: Any):
        super().__init__(None, default_bucket=default_bucket, **more)

    def _credentials(self) -> Any:
        return None


class _NoAccount:
    """In the place of boto3's session on this machine."""

    @property
    def region_name(self) -> str:
        return aws_region()

    def client(self, service: str, *_: Any, **__: Any) -> Any:
        raise UserError(
            f"boto3's client of {service} needs credentials, and none were found: the session is of this machine.\n"
            + (f"{_INSTEAD[service]}, or sign in to AWS." if service in _INSTEAD else "Sign in to AWS.")
        )

    resource = client

    def get_credentials(self) -> None:
        return None


_INSTEAD: Final = {
    "s3": "Use the session's upload_data, download_data, read_s3_file and list_s3_files",
    "sagemaker": "Use the session's describe_training_job and describe_tuning_job, the estimator, the tuner",
    "sagemaker-runtime": "Use sagemaker.predictor.Predictor(endpoint_name).predict(image)",
    "runtime.sagemaker": "Use sagemaker.predictor.Predictor(endpoint_name).predict(image)",
}
"""Service -> what does its work on this machine."""


def _with_credentials(boto_session: Any) -> Any:
    """Return a session of boto3, None if it has no credentials."""
    ask = getattr(boto_session, "get_credentials", None)
    return None if callable(ask) and ask() is None else boto_session


def get_execution_role(sagemaker_session: Any = None, use_default: bool = False) -> str:
    """Return the role that jobs run as: the notebook's, or the caller's; on this machine one that nothing asks for.

    Raises ``UserError`` if the caller is no role. use_default: not supported.
    """
    arn: str = (sagemaker_session or Session()).get_caller_identity_arn()
    if ":role/" in arn:
        return arn
    remedy = "give the estimator the ARN of a role that SageMaker can assume: Roles in docs/aws.md"
    raise UserError("There is no execution role:", [Fault(arn, "is a user, not a role", remedy)])


def _notebook_role(account: Any) -> str | None:
    """The execution role in a notebook on SageMaker; None elsewhere."""
    try:
        metadata = json.loads(NOTEBOOK_METADATA.read_bytes())
        if metadata.get("ExecutionRoleArn"):
            return str(metadata["ExecutionRoleArn"])
        name, domain = metadata.get("ResourceName"), metadata.get("DomainId")
    except (OSError, ValueError, AttributeError):
        return None
    if domain is None:
        where = f"notebook {name}"
        answer = account.call_once("sagemaker", "describe_notebook_instance", where, NotebookInstanceName=name)
        return str(answer["RoleArn"])
    profile = {"DomainId": domain, "UserProfileName": metadata.get("UserProfileName")}
    answer = account.call_once("sagemaker", "describe_user_profile", f"domain {domain}", **profile)
    if role := answer.get("UserSettings", {}).get("ExecutionRole"):
        return str(role)
    answer = account.call_once("sagemaker", "describe_domain", f"domain {domain}", DomainId=domain)
    return str(answer["DefaultUserSettings"]["ExecutionRole"])


def _called_by(account: Any) -> str:
    """The caller's ARN; of an assumed role, the role's."""
    arn = str(account.call_once("sts", "get_caller_identity", "the account")["Arn"])
    found = re.fullmatch(r"(.+)sts::(\d+):assumed-role/(.+?)/.*", arn)
    if not found:
        return arn
    try:
        return str(account.role_arn(found[3]))
    except UserError:  # no permission to ask for its path
        return f"{found[1]}iam::{found[2]}:role/{found[3]}"
