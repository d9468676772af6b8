"""Translates what AWS refuses, and why a job failed, into errors for people.

botocore's own text of a failure may quote a request, and with it a credential: only AWS's answers are shown, and
nothing is chained.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from sagemaker_semseg.errors import ErrorCode, Fault, UserError
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
def translated_errors(where: str, action: str) -> Iterator[None]:
    """Raise what AWS refuses as ``UserError``. action: its name in IAM, such as ``sagemaker:CreateModel``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (translated := translate_aws_error(error, where, action)) is None:
            raise
        raise translated from None


def is_absent(error: UserError) -> bool:
    """Return whether the error says that there is no such thing."""
    return any(fault.code is ErrorCode.NOT_FOUND for fault in error.faults)


def is_taken(error: UserError) -> bool:
    """Return whether the error says that the name is taken."""
    return any(fault.code is ErrorCode.NAME_TAKEN for fault in error.faults)


def reason(text: Any, where: str) -> Fault:
    """Return SageMaker's ``FailureReason`` with its remedy."""
    said = printable(text) or "SageMaker gives no reason"
    remedies = [remedy for pattern, remedy in _REASONS if pattern.search(said)]
    return Fault(where, said, remedies[0] if remedies else "")


def printable(text: Any, most: int = 1024) -> str:
    """Return text of AWS for a terminal: without control characters and ids of keys."""
    return _KEY_ID.sub("(a key's id)", _CONTROL.sub(" ", str(text or "")))[:most].strip()


def translate_aws_error(error: Exception, where: str, action: str) -> UserError | None:
    """Return the error for people, or None if the exception is not botocore's."""
    name = type(error).__name__
    if name == "NoRegionError":
        remedy = "set AWS_DEFAULT_REGION, or give sagemaker_session=boto3.Session(region_name=...)"
        return UserError("SageMaker can't be used:", [Fault("region", "is missing: no region was found", remedy)])
    if name == "ParamValidationError":
        names = ", ".join(dict.fromkeys(_PARAMETER.findall(str(error)))) or "its parameters"
        return UserError(
            "The request can't be sent:", [Fault(where, f"SageMaker doesn't take it: {names}", "fix them")]
        )
    local = translate_error(error, where)
    if local is None:
        return None
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return UserError("SageMaker can't be used:", local.faults)
    fault = _of_answer(code_of(error), printable(response.get("Error", {}).get("Message"), 500), where, action)
    return UserError("SageMaker refuses it:", [fault]) if fault else UserError("AWS can't be used:", local.faults)


def _of_answer(code: str, said: str, where: str, action: str) -> Fault | None:
    """Return None for what S3 answers with the same codes (expired credentials, a region)."""
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
        return Fault(
            where, f"the name is taken: {said}", "give another name, or delete the other one", ErrorCode.NAME_TAKEN
        )
    if code in (
        "ResourceNotFound",
        "ResourceNotFoundException",
        "NoSuchEntity",
        "NoSuchKey",
        "404",
        "NoSuchBucket",
    ) or (code in ("ValidationException", "ValidationError") and _ABSENT.search(said)):
        return Fault(
            where,
            f"there is no such thing in this account and region: {said or code}",
            "check the name",
            ErrorCode.NOT_FOUND,
        )
    if code in ("ValidationException", "ValidationError"):
        return Fault(where, said, "fix it")
    if code in ("UnrecognizedClientException", "InvalidClientTokenId"):
        remedy = "give credentials as to the AWS command line: aws configure, a role, or environment variables"
        return Fault(where, "the credentials are not accepted", remedy)
    if code in ("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"):
        return None
    return Fault(where, f"{code}: {said}")
