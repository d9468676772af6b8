"""Files to S3 and back: a path comes in, its place in S3 goes out, and the other way round. ``backend`` brings inputs,
``jobs`` fetches results.

What is brought lies below a digest of names and contents: the same data is brought once, and no job's data changes
while it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.sdk.inputs import AUGMENTED
from sagemaker_semseg.sdk.remote.aws_errors import explained
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.specs import Channel
from sagemaker_semseg.storage import LocalFileSystem, S3Uri, atomic_write, is_s3

PREFIX = "sagemaker-semseg"
THREADS = 8

_PIECE = 2**20
_MOST_LINE = 2**20


def bring(account: Account, path: Path, what: str) -> str:
    """The place in S3 of a file or of a folder's files. what: a word for it, such as the channel. Says what it does."""
    files = _files(path)
    if not files:
        raise DataError("The inputs can't be used:", [Fault(what, f"{path} has no files", "check the path")])
    place = S3Uri(account.bucket, f"{PREFIX}/{what}/{_digest(files)}")
    there = _there(account, place)
    wanted = [(name, file) for name, file in files if there.get(f"{place.key}/{name}") != file.stat().st_size]
    if wanted:
        size = sum(file.stat().st_size for _, file in wanted)
        print(f"{what}: bringing {len(wanted)} files, {size / 1e6:.1f} MB, to {place}/", flush=True)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
    try:
        for _ in pool.map(lambda item: _put(account, item[1], S3Uri(place.bucket, f"{place.key}/{item[0]}")), wanted):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return f"{place}/{files[0][0]}" if path.is_file() else str(place)


def bring_channel(account: Account, channel: Channel) -> str:
    """The channel's place in S3. A manifest's references have to be in S3 already."""
    if channel.data_type == AUGMENTED and channel.path.is_file():
        check_references(channel)
    return bring(account, channel.path, channel.name)


def check_references(channel: Channel) -> None:
    """Raises ``DataError`` naming the first line of a manifest on this machine that refers to a file on it."""
    with open(channel.path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MOST_LINE), b""), 1):
            try:
                values = json.loads(line) if line.strip() else {}
                references = {name: values[name] for name in channel.attribute_names if name in values}
            except (ValueError, TypeError, RecursionError):
                fault = Fault(f"{channel.path}, line {number}", "is no JSON object", "mend the line")
                raise DataError("The manifest can't be used:", [fault]) from None
            for name, value in references.items():
                if name.endswith("-ref") and not is_s3(str(value)):
                    what = f"{name} is {str(value)[:200]!r}, which SageMaker can't reach"
                    fault = Fault(
                        f"{channel.path}, line {number}", what, "bring the files to S3 and refer to them there"
                    )
                    raise DataError("The manifest can't be used:", [fault])


def fetch(account: Account, place: str, folder: Path) -> list[Path]:
    """The object at ``place``, or all below it, as files below ``folder``; each appears whole or not at all."""
    uri = S3Uri.parse(place)
    above = uri.key.rstrip("/") + "/" if uri.key else ""
    fetched = []
    for key in _there(account, uri):
        if key.endswith("/") or not (key == uri.key or key.startswith(above)):
            continue
        name = key.rpartition("/")[2] if key == uri.key else key[len(above) :]
        target = folder / name.lstrip("/")
        if "\0" in name or not target.resolve().is_relative_to(folder.resolve()):
            raise UserError("A result can't be fetched:", [Fault(f"s3://{uri.bucket}/{key}", f"lies outside {folder}")])
        target.parent.mkdir(parents=True, exist_ok=True)
        with explained(f"s3://{uri.bucket}/{key}", "s3:GetObject"), atomic_write(target) as temporary:
            account.client("s3").download_file(uri.bucket, key, str(temporary))
        fetched.append(target)
    return fetched


def put(account: Account, data: bytes, place: S3Uri, content_type: str | None = None) -> None:
    more = {"ContentType": content_type} if content_type else {}
    with explained(str(place), "s3:PutObject"):
        account.client("s3").put_object(Bucket=place.bucket, Key=place.key, Body=data, **more)


def _files(path: Path) -> list[tuple[str, Path]]:
    """Names below ``path`` and files, sorted, without hidden ones."""
    if path.is_file():
        return [(path.name, path)]
    if not path.is_dir():
        fault = Fault(str(path), "no such file or folder", "check the path, or give s3://bucket/prefix")
        raise DataError("The inputs can't be used:", [fault])
    faults: list[Fault] = []
    entries = list(
        LocalFileSystem(path).files(lambda name: not any(part.startswith(".") for part in name.split("/")), faults)
    )
    if faults:
        raise DataError("The inputs can't be used:", faults)
    return [(entry.name, path / entry.name) for entry in entries]


def _digest(files: Sequence[tuple[str, Path]]) -> str:
    whole = hashlib.sha256()
    for name, path in files:
        content = hashlib.sha256()
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(_PIECE), b""):
                content.update(piece)
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + content.digest())
    return whole.hexdigest()[:20]


def _there(account: Account, place: S3Uri) -> dict[str, int]:
    """The keys that begin so, and their sizes."""
    return {item["Key"]: item["Size"] for item in _objects(account, place)}


def _objects(account: Account, place: S3Uri) -> Iterator[Any]:
    with explained(str(place), "s3:ListBucket"):
        pages = account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key)
        for page in pages:
            yield from page.get("Contents", [])


def _put(account: Account, file: Path, place: S3Uri) -> None:
    with explained(str(place), "s3:PutObject"):
        try:
            account.client("s3").upload_file(str(file), place.bucket, place.key)
        except Exception as error:
            # boto3 wraps botocore's answer in an exception of its own, whose text has it
            cause = error.__cause__ or error.__context__
            raise (cause if isinstance(cause, Exception) and hasattr(cause, "response") else error) from None
