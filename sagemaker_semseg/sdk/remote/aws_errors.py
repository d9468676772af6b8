"""What AWS refuses, and why a job failed: an exception of botocore or a reason of SageMaker's comes in, an error for
people goes out. Everything in ``remote`` that asks AWS does it inside ``explained``.

What botocore says of a failure of its own may quote a request, and with it a credential, so that only the answers of
AWS are shown, and nothing is chained.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.storage.s3_errors import code_of, translate_error

POLICY = "see the policies in docs/aws.md"

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "NotAuthorized",
    "AuthorizationError",
    "403",
}
_THROTTLED = {"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "SlowDown"}
_TAKEN = re.compile(r"already exist|must be unique|already in use", re.IGNORECASE)
_ABSENT = re.compile(r"could not find|does not exist|not found|no such", re.IGNORECASE)
_PERFORM = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9]+)")
_PARAMETER = re.compile(r'parameter:? "?([A-Za-z0-9_.\[\]]+)')
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# in a reason that SageMaker gives -> what to do about it
_REASONS = (
    (
        re.compile(r"CapacityError|InsufficientInstanceCapacity|Insufficient capacity", re.IGNORECASE),
        "AWS has no such machine free: try another instance_type, another region, or later",
    ),
    (
        re.compile(r"ResourceLimitExceeded|quota|limit.{0,40}exceeded", re.IGNORECASE),
        "ask for more in Service Quotas, or take another instance_type",
    ),
    (
        re.compile(r"ECR|repository|image.{0,80}(not exist|not found|pull)|CannotPull", re.IGNORECASE),
        f"check image_uri, and that the role may pull it: {POLICY}",
    ),
    (
        re.compile(r"access ?denied|not authorized|permission|Forbidden", re.IGNORECASE),
        f"the role lacks a permission: {POLICY}",
    ),
    (
        re.compile(r"primary container.{0,200}health check|ping", re.IGNORECASE),
        "its log in CloudWatch says more; give container_startup_health_check_timeout more seconds if it was too slow",
    ),
)


@contextlib.contextmanager
def explained(where: str, action: str) -> Iterator[None]:
    """What AWS or the way there refuses, as ``UserError``. action: in IAM's words: ``sagemaker:CreateModel``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (told := _told(error, where, action)) is None:
            raise
        raise told from None


def is_absent(error: UserError) -> bool:
    """Whether it says that there is no such thing."""
    return any(fault.what.startswith("there is no such") for fault in error.faults)


def is_taken(error: UserError) -> bool:
    return any(fault.what.startswith("the name is taken") for fault in error.faults)


def reason(text: Any, where: str) -> Fault:
    """SageMaker's ``FailureReason`` with its remedy."""
    said = shown(text) or "SageMaker gives no reason"
    remedies = [remedy for pattern, remedy in _REASONS if pattern.search(said)]
    return Fault(where, said, remedies[0] if remedies else "")


def shown(text: Any, most: int = 1024) -> str:
    """Words of AWS's or a log's for a terminal: no control characters, no key's id."""
    return _KEY_ID.sub("(a key's id)", _CONTROL.sub(" ", str(text or "")))[:most].strip()


def _told(error: Exception, where: str, action: str) -> UserError | None:
    name = type(error).__name__
    if name == "NoRegionError":
        remedy = "set AWS_DEFAULT_REGION, or give sagemaker_session=boto3.Session(region_name=...)"
        return UserError("SageMaker can't be used:", [Fault("region", "is missing: no region was found", remedy)])
    if name == "ParamValidationError":
        names = ", ".join(dict.fromkeys(_PARAMETER.findall(str(error)))) or "its parameters"
        return UserError(
            "The request can't be sent:", [Fault(where, f"SageMaker doesn't take it: {names}", "mend them")]
        )
    local = translate_error(error, where)
    if local is None:
        return None
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return UserError("SageMaker can't be used:", local.faults)
    fault = _of_answer(code_of(error), shown(response.get("Error", {}).get("Message"), 500), where, action)
    return UserError("SageMaker refuses it:", [fault]) if fault else UserError("AWS can't be used:", local.faults)


def _of_answer(code: str, said: str, where: str, action: str) -> Fault | None:
    """None for what S3 says in the same words (expired credentials, a region)."""
    if code in _DENIED:
        found = _PERFORM.search(said)
        denied = found[1] if found else action
        return Fault(
            where, f"access is denied: {denied}" + (f" ({said})" if found else ""), f"allow {denied}; {POLICY}"
        )
    if code in _THROTTLED or code == "RequestLimitExceeded":
        return Fault(where, f"AWS is asked too often ({code}: {action})", "wait a minute and try again")
    if code == "ResourceLimitExceeded":
        return Fault(where, said, "ask for more in Service Quotas, or take another instance_type")
    if code == "ResourceInUse" or (code in ("ValidationException", "ResourceInUseException") and _TAKEN.search(said)):
        return Fault(where, f"the name is taken: {said}", "give another name, or delete the other one")
    if code in (
        "ResourceNotFound",
        "ResourceNotFoundException",
        "NoSuchEntity",
        "NoSuchKey",
        "404",
        "NoSuchBucket",
    ) or (code in ("ValidationException", "ValidationError") and _ABSENT.search(said)):
        return Fault(where, f"there is no such thing in this account and region: {said or code}", "check the name")
    if code in ("ValidationException", "ValidationError"):
        return Fault(where, said, "mend it")
    if code in ("UnrecognizedClientException", "InvalidClientTokenId"):
        remedy = "give credentials as to the AWS command line: aws configure, a role, or environment variables"
        return Fault(where, "the credentials are not accepted", remedy)
    if code in ("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"):
        return None
    return Fault(where, f"{code}: {said}")
