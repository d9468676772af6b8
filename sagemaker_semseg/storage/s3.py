"""A prefix in Amazon S3, or in a service that speaks its language, as a ``Store``: ``s3://bucket/prefix`` comes in, the
objects below it go out, and objects go in.

boto3 finds credentials, region and endpoint as the AWS command line does. The extra ``aws`` installs it; it is imported
here alone, on first use. ``s3_errors`` says in words what S3 answers.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.storage.s3_errors import in_words
from sagemaker_semseg.storage.store import MAX_LOG_BYTES, Bytes, Entry, check_size, unreadable

SCHEME = "s3://"
LOG_SECONDS = 10.0

_ATTEMPTS = 3  # at reading one object to its end; botocore itself tries again until the reading has begun
_PIECE = 2**20
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


def is_s3(place: str) -> bool:
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
    with explained(SCHEME):
        try:
            return boto3.client("s3", config=Config(retries={"mode": "standard"}, connect_timeout=10))
        except ValueError:
            raise UserError("S3 can't be used: the endpoint is no URL\nCheck AWS_ENDPOINT_URL") from None


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """What S3 or the way there refuses, as ``DataError`` if it is about one object and else as ``UserError``.

    Not chained: botocore's messages may quote a request's header, and in it the credentials.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (told := in_words(error, where)) is None:
            raise
        raise told from None


class S3Folder:
    def __init__(self, uri: S3Uri):
        self.bucket = uri.bucket
        self.prefix = uri.key + "/" if uri.key and not uri.key.endswith("/") else uri.key

    @classmethod
    def locate(cls, uri: S3Uri) -> tuple[S3Folder, Entry | None]:
        """The prefix, or the prefix of the object ``uri`` and its entry. An empty object marks a folder."""
        name = uri.key.rpartition("/")[2]
        folder = cls(S3Uri(uri.bucket, uri.key[: len(uri.key) - len(name)]))
        entry = folder.find(name) if name else None
        return (folder, entry) if entry and entry.size else (cls(uri), None)

    def where(self, name: str = "") -> str:
        return str(S3Uri(self.bucket, self.prefix + name))

    def identity(self, name: str = "") -> str:
        return self.where(name)

    def files(self, wanted: Callable[[str], bool], faults: list[Fault]) -> Iterator[Entry]:
        for entry in self._list():
            # a key that ends with a slash is how consoles mark a folder, this one or one below it
            if entry.name and not entry.name.endswith("/") and wanted(entry.name):
                yield entry

    def find(self, name: str) -> Entry | None:
        with explained(self.where(name)):
            page = client().list_objects_v2(Bucket=self.bucket, Prefix=self.prefix + name, MaxKeys=1)
        found = [self._entry(item) for item in page.get("Contents", [])]
        return found[0] if found and found[0].name == name else None  # of all that begin so it is the first

    def existing(self, names: Collection[str]) -> dict[str, Entry]:
        wanted = frozenset(names)
        return {entry.name: entry for entry in self._list() if entry.name in wanted} if wanted else {}

    def read(self, entry: Entry, limit: int) -> bytes:
        where = self.where(entry.name)
        check_size(where, entry.size, limit)
        fault = ""
        for _ in range(_ATTEMPTS):
            with explained(where):
                key = self.prefix + entry.name
                # changed meanwhile, it would be another image than the stamp says
                reply = client().get_object(Bucket=self.bucket, Key=key, IfMatch=f'"{entry.stamp}"')
            data = io.BytesIO()
            try:
                with contextlib.closing(reply["Body"]) as body:
                    while (piece := body.read(_PIECE)) and data.tell() <= entry.size:
                        data.write(piece)
            except Exception as error:  # botocore's, urllib3's or the system's, of the connection or of a checksum
                fault = type(error).__name__
                continue
            if data.tell() == entry.size:
                return data.getvalue()
            fault = f"{data.tell()} bytes, {entry.size} are expected"
        raise unreadable(where, f"doesn't arrive whole ({fault})", "run the command again")

    def write(self, name: str, parts: Sequence[Bytes], media_type: str) -> str:
        with explained(self.where(name)):
            key, data = self.prefix + name, b"".join(parts)
            return _stamp(client().put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=media_type))

    def log(self, name: str) -> ObjectLog:
        entry = self.find(name)
        return ObjectLog(self, name, self.read(entry, MAX_LOG_BYTES) if entry else b"")

    def _list(self) -> Iterator[Entry]:
        with explained(self.where()):
            for page in client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix):
                for item in page.get("Contents", []):
                    yield self._entry(item)

    def _entry(self, item: Any) -> Entry:
        name = item["Key"][len(self.prefix) :]
        return Entry(name, int(item["Size"]), _stamp(item), self.where(name))


class ObjectLog:
    """A ``Log``: S3 can't append, so that the whole is written anew, every ten seconds or more and in the end.

    Not more than a twentieth of the time goes into that.
    """

    def __init__(self, folder: S3Folder, name: str, data: bytes):
        self.data = data
        self._folder, self._name = folder, name
        self._lines = bytearray(data if not data or data.endswith(b"\n") else data + b"\n")
        self._unwritten, self._due = False, 0.0

    def append(self, line: bytes) -> None:
        self._lines += line + b"\n"
        self._unwritten = True
        if time.monotonic() >= self._due:
            self._write()

    def close(self) -> None:
        if self._unwritten:
            self._write()

    def _write(self) -> None:
        began = time.monotonic()
        self._folder.write(self._name, [self._lines], "application/x-ndjson")
        ended = time.monotonic()
        self._unwritten, self._due = False, ended + max(LOG_SECONDS, 20 * (ended - began))


def _stamp(item: Any) -> str:
    return str(item["ETag"]).strip('"')
