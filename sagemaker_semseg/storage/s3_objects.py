"""Lists objects in S3 and downloads them, checked by length and ETag.

``s3``: the boto3 client to use; None takes the default one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.storage.filesystem import unreadable
from sagemaker_semseg.storage.retry import DamagedDownload, Stopped, retry
from sagemaker_semseg.storage.s3 import S3Uri, client
from sagemaker_semseg.storage.s3_errors import code_of, is_transient, translate_error

_PIECE = 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")
_PER_HEAD = 10
"""HEAD requests that cost about as much time, in parallel, as one page of a listing."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object in S3; etag without quotes."""

    bucket: str
    key: str
    size: int
    etag: str

    def __str__(self) -> str:
        return str(S3Uri(self.bucket, self.key))


def etag(answer: Any) -> str:
    """Return the ETag of an answer, without quotes."""
    return str(answer["ETag"]).strip('"')


def pages(
    bucket: str,
    prefix: str,
    *,
    deep: bool = True,
    most: int = 1000,
    stop: threading.Event | None = None,
    s3: Any = None,
) -> Iterator[list[Object]]:
    """Yield pages of the objects whose keys begin with ``prefix``, at most ``most`` each; at least one page.

    deep: also those with another "/" after the prefix. Raises ``DataError`` and ``UserError``.
    """
    where = str(S3Uri(bucket, prefix))
    request = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": most, **({} if deep else {"Delimiter": "/"})}
    while True:
        page = _retry(lambda: (s3 or client()).list_objects_v2(**request), where, stop)
        yield [Object(bucket, item["Key"], int(item["Size"]), etag(item)) for item in page.get("Contents", [])]
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def head_object(uri: S3Uri, stop: threading.Event | None = None) -> Object:
    """Return one object's size and ETag. Raises ``DataError`` if there is none."""

    def attempt() -> Any:
        try:
            return client().head_object(Bucket=uri.bucket, Key=uri.key)
        except Exception as error:
            if code_of(error) in ("400", "403", "404"):  # a HEAD's answer has no body with the reason
                client().get_object(Bucket=uri.bucket, Key=uri.key, Range="bytes=0-0")["Body"].close()
            raise

    answer = _retry(attempt, str(uri), stop)
    return Object(uri.bucket, uri.key, int(answer["ContentLength"]), etag(answer))


def list_objects(bucket: str, keys: Collection[str], stop: threading.Event | None = None) -> dict[str, Object]:
    """Find several objects of one folder by listing it: a thousand with one request.

    Those that it doesn't find may exist too: listing may be forbidden, or the folder may hold much else.
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


def download(item: Object, sink: BinaryIO, stop: threading.Event | None = None, s3: Any = None) -> None:
    """Write the object's bytes into ``sink`` from its beginning.

    The length is checked, and the MD5 where the ETag is one: not that of an upload in parts, with KMS, or in
    a directory bucket. botocore checks S3's own checksums where there are any.

    Raises ``DataError`` if the object has changed or doesn't arrive whole, and ``UserError``.
    """

    def attempt() -> None:
        sink.seek(0)
        sink.truncate()
        # else it could be another image than was listed
        reply = (s3 or client()).get_object(Bucket=item.bucket, Key=item.key, IfMatch=f'"{item.etag}"')
        md5, length = hashlib.md5(usedforsecurity=False), 0
        with contextlib.closing(reply["Body"]) as body:
            while (piece := _read(body)) and length <= item.size:
                if stop and stop.is_set():
                    raise Stopped
                length += len(piece)
                md5.update(piece)
                sink.write(piece)
        if length != item.size:
            raise DamagedDownload(f"{length} bytes, {item.size} are expected")
        if _etag_is_md5(item, reply) and md5.hexdigest() != item.etag:
            raise DamagedDownload(f"the MD5 is {md5.hexdigest()}, the ETag {item.etag}")

    _retry(attempt, str(item), stop)


def _retry(attempt: Callable[[], Any], where: str, stop: threading.Event | None) -> Any:
    def translate(error: Exception) -> UserError | None:
        if (translated := translate_error(error, where)) or not (
            is_transient(error) or isinstance(error, DamagedDownload)
        ):
            return translated
        what = str(error) if isinstance(error, DamagedDownload) else type(error).__name__
        return unreadable(where, f"doesn't arrive whole ({what})", "run the command again")

    return retry(attempt, translate, stop=stop)


def _read(body: Any) -> bytes:
    try:
        return body.read(_PIECE)
    except Exception as error:  # botocore's, urllib3's or the system's, of the connection or of a checksum
        raise DamagedDownload(type(error).__name__) from None


def _etag_is_md5(item: Object, reply: Any) -> bool:
    plain = reply.get("ServerSideEncryption", "AES256") == "AES256"
    return plain and not item.bucket.endswith("--x-s3") and _MD5.fullmatch(item.etag) is not None
