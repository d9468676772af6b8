"""Addresses in Amazon S3, or in a service with its protocol, and boto3's client for them.

boto3 finds credentials, region and endpoint as the AWS command line does. The extra ``aws`` installs it; it is imported
on first use.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.storage.s3_errors import translate_error

SCHEME = "s3://"
CONNECTIONS = 32
"""Of the client, and so the threads that may use it at once without waiting for each other."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


def is_s3(place: str) -> bool:
    """Return whether a place is an s3:// address."""
    return place[: len(SCHEME)].lower() == SCHEME


@dataclass(frozen=True)
class S3Uri:
    """A bucket, or the alias of an access point, and a key or a prefix, which may be empty."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Raises ``UserError`` for what is not ``s3://bucket`` with or without a key."""
        bucket, _, key = text[len(SCHEME) :].partition("/")
        if not is_s3(text) or not _BUCKET.fullmatch(bucket):
            fault = Fault(text, "s3://BUCKET/KEY is expected", "check the bucket's name")
            raise UserError("The place can't be used:", [fault])
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


@functools.cache
def client() -> Any:
    """boto3's client for S3, which all threads share. Raises ``UserError`` if there is no boto3, or no such profile."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise UserError(f"s3:// needs boto3: {error}\nInstall it with: pip install 'sagemaker-semseg[aws]'") from None
    with translated_errors(SCHEME):
        try:
            config = Config(retries={"mode": "standard"}, connect_timeout=10, max_pool_connections=CONNECTIONS)
            return boto3.client("s3", config=config)
        except ValueError:
            raise UserError("S3 can't be used: the endpoint is no URL\nCheck AWS_ENDPOINT_URL") from None


@contextlib.contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Raise what S3 refuses as ``DataError`` if it is about one object, else as ``UserError``.

    Not chained: botocore's messages may quote a request's header, and in it the credentials.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (translated := translate_error(error, where)) is None:
            raise
        raise translated from None
