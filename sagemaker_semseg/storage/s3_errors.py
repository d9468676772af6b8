"""Translates botocore's exceptions into errors for people, and tells which of them are transient.

By names, since botocore may not be installed. An unknown message is not shown, except S3's own text: botocore may quote
a header of the request, and with it a token or a key's id.
"""

from __future__ import annotations

from sagemaker_semseg.errors import DataError, Fault, UserError

_SIGN_IN = "sign in again (aws sso login), or renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
_CREDENTIALS = "give credentials as to the AWS command line: aws configure, a role, or environment variables"
_REGION = "set AWS_DEFAULT_REGION to the bucket's region"
_NETWORK = "check the network, the region, and AWS_ENDPOINT_URL if it is set"

# what is wrong with one object alone
_OBJECT = {
    "AccessDenied": ("access is denied", "the role needs s3:ListBucket and s3:GetObject, and to write s3:PutObject"),
    "NoSuchKey": ("there is no such object", "check the key"),
    "InvalidObjectState": ("is archived", "restore it, or leave it out"),
    "PreconditionFailed": ("has changed since the command began", "run the command again"),
}
# answers to a HEAD have no body, and so a status only
_OBJECT |= {"403": _OBJECT["AccessDenied"], "404": _OBJECT["NoSuchKey"]}

# what is wrong with all of them
_ALL = {
    "NoSuchBucket": ("there is no such bucket", "check its name"),
    "InvalidBucketName": ("there is no such bucket", "check its name"),
    "AllAccessDisabled": ("access is denied", "ask the bucket's owner"),
    "ExpiredToken": ("the credentials have expired", _SIGN_IN),
    "ExpiredTokenException": ("the credentials have expired", _SIGN_IN),
    "TokenRefreshRequired": ("the credentials have expired", _SIGN_IN),
    "InvalidToken": ("the credentials' session token is not accepted", _SIGN_IN),
    "InvalidAccessKeyId": ("the credentials are not accepted", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the credentials are not accepted", _CREDENTIALS),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set it"),
    "PermanentRedirect": ("the bucket lies in another region", _REGION),
    "TemporaryRedirect": ("the bucket lies in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket lies in another region, or the credentials are malformed", _REGION),
    "IllegalLocationConstraintException": ("the bucket lies in another region", _REGION),
    "SlowDown": ("S3 is overloaded", "run the command again later"),
    "ServiceUnavailable": ("S3 is overloaded", "run the command again later"),
    "503": ("S3 is overloaded", "run the command again later"),
}
# botocore's own exceptions, each before those it is derived from
_LOCAL = {
    "NoCredentialsError": ("no credentials were found", _CREDENTIALS),
    "PartialCredentialsError": ("a part of the credentials is missing", _CREDENTIALS),
    "CredentialRetrievalError": ("the credentials can't be had", _CREDENTIALS),
    "TokenRetrievalError": ("the credentials have expired", _SIGN_IN),
    "LoginError": ("the credentials have expired", _SIGN_IN),
    "SSOError": ("the credentials have expired", _SIGN_IN),
    "ProfileNotFound": ("there is no such profile", "check AWS_PROFILE"),
    "NoRegionError": ("no region was found", _REGION),
    "InvalidRegionError": ("the region's name can't be used", _REGION),
    "SSLError": ("the connection is not secure", "check the clock and the certificates (AWS_CA_BUNDLE)"),
    "ConnectionError": ("can't be reached", _NETWORK),
    "ConnectionClosedError": ("the connection broke", _NETWORK),
    "ReadTimeoutError": ("doesn't answer", _NETWORK),
    "HTTPClientError": ("the request can't be sent", "check the network, and that no credential ends in a line break"),
    "ParamValidationError": ("is not a name that S3 takes", "check the bucket's name and the key"),
    "BotoCoreError": ("can't be used", "check the configuration: aws s3 ls"),
}
# may be different the next time; so may all answers of status 429 and of 500 or more
_TRANSIENT_CODES = {"RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "OperationAborted"}
_OUT_OF_REACH = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
_TRANSIENT = _OUT_OF_REACH | {
    *("ConnectionClosedError", "ReadTimeoutError", "ResponseStreamingError", "IncompleteReadError"),
    *("FlexibleChecksumError", "ChecksumError", "ResponseParserError"),  # cut short or changed on its way
    *("ProtocolError", "IncompleteRead", "HTTPException"),  # urllib3's and the standard library's
    *("ConnectionError", "TimeoutError"),  # the system's; not botocore's of this name
}


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status == 429 or status >= 500 or code_of(error) in _TRANSIENT_CODES
    names = {cls.__name__ for cls in type(error).__mro__ if cls.__name__ != "ConnectionError" or cls is ConnectionError}
    return bool(names & _TRANSIENT)


def code_of(error: Exception) -> str:
    """The code of S3's answer; "" if there was none."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_out_of_reach(error: Exception) -> bool:
    """Whether no connection was made at all."""
    return type(error).__name__ in _OUT_OF_REACH


def translate_error(error: Exception, where: str) -> UserError | None:
    """A ``DataError`` if it is about one object, else a ``UserError``; None if it is not botocore's."""
    classes = [cls.__name__ for cls in type(error).__mro__ if cls.__module__.startswith("botocore")]
    response = getattr(error, "response", None)
    if "ClientError" in classes and isinstance(response, dict):
        answer, code = response.get("Error", {}), code_of(error)
        if code in _OBJECT:
            return DataError("a file can't be used:", [Fault(where, *_OBJECT[code])])
        what, remedy = _ALL.get(code, (f"S3 answers {code}: {str(answer.get('Message', ''))[:300]}", ""))
        return UserError("S3 can't be used:", [Fault(where, what, remedy)])
    for name in classes:
        if name in _LOCAL:
            what, remedy = _LOCAL[name]
            return UserError("S3 can't be used:", [Fault(where, f"{what} ({classes[0]})", remedy)])
    return None
