"""Objects in S3: a prefix or a key comes in, and what is there goes out: key, length, ETag; or such an object comes in,
and its bytes go out, held against both. ``s3_folder`` and ``mirror`` call it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from sagemaker_semseg.errors import DataError
from sagemaker_semseg.storage.s3 import S3Uri, client
from sagemaker_semseg.storage.s3_errors import code_of
from sagemaker_semseg.storage.s3_retry import Damaged, Stopped, retry

_PIECE = 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")
_PER_HEAD = 10
"""How many single questions a page of a listing may cost: it takes about as long as some of them side by side."""


@dataclass(frozen=True, slots=True)
class Object:
    """etag: without quotes."""

    bucket: str
    key: str
    size: int
    etag: str

    def __str__(self) -> str:
        return str(S3Uri(self.bucket, self.key))


def etag(answer: Any) -> str:
    return str(answer["ETag"]).strip('"')


def pages(
    bucket: str, prefix: str, *, deep: bool = True, most: int = 1000, stop: threading.Event | None = None
) -> Iterator[list[Object]]:
    """The objects whose keys begin with ``prefix``, at most ``most`` at a time, in the order of S3; at least one page.

    deep: also those with another "/" after the prefix. Raises as ``persistently`` does.
    """
    where = str(S3Uri(bucket, prefix))
    request = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": most, **({} if deep else {"Delimiter": "/"})}
    while True:
        page = retry(lambda: client().list_objects_v2(**request), where, stop)
        yield [Object(bucket, item["Key"], int(item["Size"]), etag(item)) for item in page.get("Contents", [])]
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def head_object(uri: S3Uri, stop: threading.Event | None = None) -> Object:
    """One object. Raises ``DataError`` if it isn't there, and as ``persistently`` does."""

    def attempt() -> Any:
        try:
            return client().head_object(Bucket=uri.bucket, Key=uri.key)
        except Exception as error:
            if code_of(error) in ("400", "403", "404"):  # the answer to a HEAD has no body that would say why
                client().get_object(Bucket=uri.bucket, Key=uri.key, Range="bytes=0-0")["Body"].close()
            raise

    answer = retry(attempt, str(uri), stop)
    return Object(uri.bucket, uri.key, int(answer["ContentLength"]), etag(answer))


def list_objects(bucket: str, keys: Collection[str], stop: threading.Event | None = None) -> dict[str, Object]:
    """Those of several objects in one folder that a listing finds without much effort; the others may be there too.

    A thousand are then found with one question, few or none where listing isn't allowed or the folder holds much else.
    """
    found: dict[str, Object] = {}
    wanted = frozenset(keys)
    begin = os.path.commonprefix(list(wanted))  # noqa: RUF071  # letter by letter is what S3 takes
    try:
        listing = pages(bucket, begin, deep=False, stop=stop)
        for number, page in enumerate(listing, 1):
            found |= {item.key: item for item in page if item.key in wanted}
            if len(found) == len(wanted) or number * _PER_HEAD >= len(wanted):
                break
    except DataError:
        pass
    return found


def receive(item: Object, sink: BinaryIO, stop: threading.Event | None = None) -> None:
    """Write the object's bytes into ``sink`` from its beginning.

    The length is checked, and the MD5 where the ETag is one: not that of an upload in parts, with KMS, or in
    a directory bucket. botocore checks S3's own checksums where there are any.

    Raises ``DataError`` if the object has changed or doesn't arrive whole, and as ``persistently`` does.
    """

    def attempt() -> None:
        sink.seek(0)
        sink.truncate()
        # changed meanwhile, it would be another image than was listed
        reply = client().get_object(Bucket=item.bucket, Key=item.key, IfMatch=f'"{item.etag}"')
        md5, length = hashlib.md5(usedforsecurity=False), 0
        with contextlib.closing(reply["Body"]) as body:
            while (piece := _read(body)) and length <= item.size:
                if stop and stop.is_set():
                    raise Stopped
                length += len(piece)
                md5.update(piece)
                sink.write(piece)
        if length != item.size:
            raise Damaged(f"{length} bytes, {item.size} are expected")
        if _etag_is_md5(item, reply) and md5.hexdigest() != item.etag:
            raise Damaged(f"the MD5 is {md5.hexdigest()}, the ETag {item.etag}")

    retry(attempt, str(item), stop)


def _read(body: Any) -> bytes:
    try:
        return body.read(_PIECE)
    except Exception as error:  # botocore's, urllib3's or the system's, of the connection or of a checksum
        raise Damaged(type(error).__name__) from None


def _etag_is_md5(item: Object, reply: Any) -> bool:
    plain = reply.get("ServerSideEncryption", "AES256") == "AES256"
    return plain and not item.bucket.endswith("--x-s3") and _MD5.fullmatch(item.etag) is not None
