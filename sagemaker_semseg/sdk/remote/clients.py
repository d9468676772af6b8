"""An AWS account in one region: its clients, number, bucket and roles.

Nothing is asked of AWS before it is needed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from sagemaker_semseg import __version__
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.remote.aws_errors import is_absent, translate_aws_error, translated_errors
from sagemaker_semseg.storage.retry import JOBS, ONCE, RetryPolicy, retry

POLL_SECONDS = 10.0
"""Between two requests for a job's state. SageMaker's own counters move no faster."""

_RUNTIME_SECONDS = 80  # an image may take a minute; SageMaker itself stops waiting after that
# permissions that are named otherwise than their method
_IAM = {"s3:HeadBucket": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket"}

Answer = TypeVar("Answer")


def poll(ask: Callable[[], Answer]) -> Iterator[Answer]:
    """Yield one answer after the other, with a pause between them, as long as the caller iterates."""
    while True:
        yield ask()
        time.sleep(POLL_SECONDS)


def session_with_credentials() -> Any:
    """Return boto3's default session if there is one with credentials, else None."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError:
        return None
    try:
        session = boto3.Session()
        return session if session.get_credentials() and session.region_name else None
    except BotoCoreError:  # a profile that isn't there, or a token that has expired
        return None


class Account:
    """An account in one region.

    session: a ``boto3.Session``, a ``Session`` of AWS's SDK, or None for what boto3 finds by itself.
    """

    def __init__(self, session: Any = None):
        if getattr(session, "is_local", False):
            here = 'instance_type="local", or replace_sagemaker(instance_type="local") for all jobs'
            remedy = f"give {here}; or sign in to AWS (aws configure)"
            what = "is one of this machine: no credentials for AWS were found"
            raise UserError("SageMaker can't be used:", [Fault("sagemaker_session", what, remedy)])
        if getattr(session, "local_mode", False):
            raise UserError('A LocalSession is for AWS\'s local mode. Leave it out and give instance_type="local".')
        self._given = session
        self._clients: dict[str, Any] = {}

    @functools.cached_property
    def session(self) -> Any:
        """Return boto3's session. Raises ``UserError`` without boto3."""
        try:
            import boto3
        except ImportError as error:
            message = f"Jobs on SageMaker need boto3: {error}\nInstall it with: pip install 'sagemaker-semseg[aws]'"
            raise UserError(message) from None
        if self._given is None:
            with translated_errors("the session", "sts:GetCallerIdentity"):
                return boto3.Session()
        found = getattr(self._given, "boto_session", self._given)
        if not callable(getattr(found, "client", None)):
            what = f"{type(self._given).__name__} came, a boto3.Session or a Session of AWS's SDK is expected"
            raise UserError("SageMaker can't be used:", [Fault("sagemaker_session", what, "leave it out")])
        return found

    def client(self, service: str) -> Any:
        """Return boto3's client of a service, which all threads share. Raises ``UserError`` without a region."""
        if service not in self._clients:
            self._clients[service] = self._given_client(service) or self._new_client(service)
        return self._clients[service]

    def call(self, service: str, method: str, where: str, **arguments: Any) -> Any:
        """Call a method of a service's client; repeats it while AWS throttles or the network fails.

        where: what the call is about, for messages. Raises ``UserError`` for what AWS refuses.
        """
        return self._call(JOBS, service, method, where, arguments)

    def call_once(self, service: str, method: str, where: str, **arguments: Any) -> Any:
        """Call a method that must not run twice, such as one that creates something."""
        return self._call(ONCE, service, method, where, arguments)

    def _call(self, policy: RetryPolicy, service: str, method: str, where: str, arguments: Mapping[str, Any]) -> Any:
        client = self.client(service)
        action = f"{service.removesuffix('-runtime')}:{''.join(part.title() for part in method.split('_'))}"

        def translate(error: Exception) -> UserError | None:
            return translate_aws_error(error, where, _IAM.get(action, action))

        return retry(lambda: getattr(client, method)(**arguments), translate, policy)

    @functools.cached_property
    def region(self) -> str:
        return str(self.client("sagemaker").meta.region_name)

    @functools.cached_property
    def number(self) -> str:
        """The account's twelve digits."""
        return str(self.call_once("sts", "get_caller_identity", "the account")["Account"])

    @functools.cached_property
    def bucket(self) -> str:
        """The default bucket: ``sagemaker-REGION-ACCOUNT`` as in AWS's SDK, or that of its ``Session``.

        Created if it doesn't exist; one of another account is refused.
        """
        given = getattr(self._given, "default_bucket", None)
        if callable(given):
            with translated_errors("the default bucket", "s3:CreateBucket"):
                return str(given())
        name = f"sagemaker-{self.region}-{self.number}"
        where = f"s3://{name}"
        try:
            self.call_once("s3", "head_bucket", where, Bucket=name, ExpectedBucketOwner=self.number)
        except UserError as error:
            if not is_absent(error):
                what = "can't be used as the default bucket: access is denied, or it is another account's"
                remedy = "give output_path and inputs in a bucket of yours, or allow s3:ListBucket on it (docs/aws.md)"
                raise UserError("S3 can't be used:", [Fault(where, what, remedy)]) from None
            print(f"making the bucket {name}", flush=True)
            # us-east-1 has no name as a constraint
            place = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
            settings = {"CreateBucketConfiguration": place} if place else {}
            self.call_once("s3", "create_bucket", where, Bucket=name, **settings)
        return name

    def role_arn(self, role: str) -> str:
        """Return a role's ARN; AWS is asked for it if its name was given."""
        if role.startswith("arn:"):
            return role
        name = role.rpartition("/")[2]
        try:
            return str(self.call_once("iam", "get_role", f"role {role}", RoleName=name)["Role"]["Arn"])
        except UserError as error:
            faults = [
                Fault(fault.where, fault.what, f"{fault.remedy}; or give the role's ARN") for fault in error.faults
            ]
            raise UserError(error.message, faults) from None

    def _given_client(self, service: str) -> Any:
        """Return the client of a ``Session`` of AWS's SDK, with its settings."""
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
        with translated_errors(service, f"{service}:*"):
            try:
                return self.session.client(service, config=config)
            except ValueError:
                raise UserError("AWS can't be used: the endpoint is no URL\nCheck AWS_ENDPOINT_URL") from None
