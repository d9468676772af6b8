"""An AWS account in one region: a session comes in; clients, the account's number, a bucket and a role's ARN go out.

Everything in ``remote`` has one. Nothing is asked of AWS before it is needed.
"""

from __future__ import annotations

import functools
from typing import Any

from sagemaker_semseg import __version__
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.remote.aws_errors import explained, is_absent

# an image may take a minute; SageMaker itself gives up after that
_RUNTIME_SECONDS = 80


class Account:
    """session: a ``boto3.Session``, a ``Session`` of AWS's SDK, or None for what boto3 finds by itself."""

    def __init__(self, session: Any = None):
        if getattr(session, "local_mode", False):
            raise UserError('A LocalSession is for AWS\'s local mode. Leave it out and give instance_type="local".')
        self._given = session
        self._clients: dict[str, Any] = {}

    @functools.cached_property
    def session(self) -> Any:
        """boto3's. Raises ``UserError`` without boto3."""
        try:
            import boto3
        except ImportError as error:
            message = f"Jobs on SageMaker need boto3: {error}\nInstall it with: pip install 'sagemaker-semseg[aws]'"
            raise UserError(message) from None
        if self._given is None:
            with explained("the session", "sts:GetCallerIdentity"):
                return boto3.Session()
        found = getattr(self._given, "boto_session", self._given)
        if not callable(getattr(found, "client", None)):
            what = f"{type(self._given).__name__} came, a boto3.Session or a Session of AWS's SDK is expected"
            raise UserError("SageMaker can't be used:", [Fault("sagemaker_session", what, "leave it out")])
        return found

    def client(self, service: str) -> Any:
        """boto3's client: one for each service, which all threads share. Raises ``UserError`` without a region."""
        if service not in self._clients:
            self._clients[service] = self._given_client(service) or self._new_client(service)
        return self._clients[service]

    @functools.cached_property
    def region(self) -> str:
        return str(self.client("sagemaker").meta.region_name)

    @functools.cached_property
    def number(self) -> str:
        """The account's twelve digits."""
        with explained("the account", "sts:GetCallerIdentity"):
            return str(self.client("sts").get_caller_identity()["Account"])

    @functools.cached_property
    def bucket(self) -> str:
        """Where things go that nobody has named a place for: ``sagemaker-REGION-ACCOUNT``, as AWS's SDK has it, or the
        bucket that a ``Session`` of AWS's SDK was given. Made if it isn't there; one of another account is refused."""
        given = getattr(self._given, "default_bucket", None)
        if callable(given):
            with explained("the default bucket", "s3:CreateBucket"):
                return str(given())
        name = f"sagemaker-{self.region}-{self.number}"
        s3 = self.client("s3")
        try:
            with explained(f"s3://{name}", "s3:ListBucket"):
                s3.head_bucket(Bucket=name, ExpectedBucketOwner=self.number)
        except UserError as error:
            if not is_absent(error):
                what = "can't be used as the default bucket: access is denied, or it is another account's"
                remedy = "give output_path and inputs in a bucket of yours, or allow s3:ListBucket on it (docs/aws.md)"
                raise UserError("S3 can't be used:", [Fault(f"s3://{name}", what, remedy)]) from None
            print(f"making the bucket {name}", flush=True)
            # us-east-1 has no name as a constraint
            place = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
            settings = {"CreateBucketConfiguration": place} if place else {}
            with explained(f"s3://{name}", "s3:CreateBucket"):
                s3.create_bucket(Bucket=name, **settings)
        return name

    def role_arn(self, role: str) -> str:
        """A role's ARN, which is asked for if its name was given."""
        if role.startswith("arn:"):
            return role
        name = role.rpartition("/")[2]
        try:
            with explained(f"role {role}", "iam:GetRole"):
                return str(self.client("iam").get_role(RoleName=name)["Role"]["Arn"])
        except UserError as error:
            faults = [
                Fault(fault.where, fault.what, f"{fault.remedy}; or give the role's ARN") for fault in error.faults
            ]
            raise UserError(error.message, faults) from None

    def _given_client(self, service: str) -> Any:
        """The client that a ``Session`` of AWS's SDK has, with whatever settings it was made."""
        attribute = {"sagemaker": "sagemaker_client", "sagemaker-runtime": "sagemaker_runtime_client"}.get(service, "")
        return getattr(self._given, attribute, None) if attribute else None

    def _new_client(self, service: str) -> Any:
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard"},
            connect_timeout=10,
            read_timeout=_RUNTIME_SECONDS if service == "sagemaker-runtime" else 60,
            user_agent_extra=f"sagemaker-semseg/{__version__}",
        )
        with explained(service, f"{service}:*"):
            try:
                return self.session.client(service, config=config)
            except ValueError:
                raise UserError("AWS can't be used: the endpoint is no URL\nCheck AWS_ENDPOINT_URL") from None
