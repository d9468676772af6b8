"""Uploads inputs to S3 and downloads results.

An upload lies below a digest of names and contents: the same data is uploaded once, and no job's data changes while it
runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.sdk.inputs import AUGMENTED
from sagemaker_semseg.sdk.remote.aws_errors import translated_errors
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.specs import Channel
from sagemaker_semseg.storage import LocalFileSystem, S3Uri, atomic_write, is_s3
from sagemaker_semseg.storage.s3_objects import Object, download, pages

PREFIX = "sagemaker-semseg"
THREADS = 8

_PIECE = 2**20
_MOST_LINE = 2**20


def upload(account: Account, path: Path, what: str) -> str:
    """Upload a file, or a folder's files, and return its address. what: a word for it, such as the channel."""
    files = _files(path)
    if not files:
        raise DataError("The inputs can't be used:", [Fault(what, f"{path} has no files", "check the path")])
    place = S3Uri(account.bucket, f"{PREFIX}/{what}/{_digest(files)}")
    existing = {item.key: item.size for item in _objects(account, place)}
    wanted = [(name, file) for name, file in files if existing.get(f"{place.key}/{name}") != file.stat().st_size]
    if wanted:
        size = sum(file.stat().st_size for _, file in wanted)
        print(f"{what}: uploading {len(wanted)} files, {size / 1e6:.1f} MB, to {place}/", flush=True)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
    try:
        with progress_bar(f"uploading {what}", len(wanted)) as update:
            puts = pool.map(lambda item: _put(account, item[1], S3Uri(place.bucket, f"{place.key}/{item[0]}")), wanted)
            for done, _ in enumerate(puts, 1):
                update(done, len(wanted))
    finally:
        pool.shutdown(cancel_futures=True)
    return f"{place}/{files[0][0]}" if path.is_file() else str(place)


def upload_channel(account: Account, channel: Channel) -> str:
    """Upload a channel and return its address. A manifest's references have to be in S3 already."""
    if channel.data_type == AUGMENTED and channel.path.is_file():
        check_references(channel)
    return upload(account, channel.path, channel.name)


def check_references(channel: Channel) -> None:
    """Raise ``DataError`` for the first line of a local manifest that refers to a local file."""
    with open(channel.path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MOST_LINE), b""), 1):
            try:
                values = json.loads(line) if line.strip() else {}
                references = {name: values[name] for name in channel.attribute_names if name in values}
            except (ValueError, TypeError, RecursionError):
                fault = Fault(f"{channel.path}, line {number}", "is no JSON object", "fix the line")
                raise DataError("The manifest can't be used:", [fault]) from None
            for name, value in references.items():
                if name.endswith("-ref") and not is_s3(str(value)):
                    what = f"{name} is {str(value)[:200]!r}, which SageMaker can't reach"
                    fault = Fault(
                        f"{channel.path}, line {number}", what, "upload the files to S3 and refer to them there"
                    )
                    raise DataError("The manifest can't be used:", [fault])


def fetch(account: Account, place: str, folder: Path) -> list[Path]:
    """Download the object at ``place``, or all below it, into ``folder``; each file completely or not at all."""
    uri = S3Uri.parse(place)
    above = uri.key.rstrip("/") + "/" if uri.key else ""
    fetched = []
    for item in _objects(account, uri):
        key = item.key
        if key.endswith("/") or not (key == uri.key or key.startswith(above)):
            continue
        name = key.rpartition("/")[2] if key == uri.key else key[len(above) :]
        target = folder / name.lstrip("/")
        if "\0" in name or not target.resolve().is_relative_to(folder.resolve()):
            raise UserError("A result can't be fetched:", [Fault(f"s3://{uri.bucket}/{key}", f"lies outside {folder}")])
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as temporary, open(temporary, "r+b") as file:
            download(item, file, s3=account.client("s3"))
        fetched.append(target)
    return fetched


def put(account: Account, data: bytes, place: S3Uri, content_type: str | None = None) -> None:
    """Write one object."""
    more = {"ContentType": content_type} if content_type else {}
    account.call("s3", "put_object", str(place), Bucket=place.bucket, Key=place.key, Body=data, **more)


def _files(path: Path) -> list[tuple[str, Path]]:
    """Return names below ``path`` with their files, sorted, without hidden ones."""
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


def _objects(account: Account, place: S3Uri) -> list[Object]:
    return [item for page in pages(place.bucket, place.key, s3=account.client("s3")) for item in page]


def _put(account: Account, file: Path, place: S3Uri) -> None:
    with translated_errors(str(place), "s3:PutObject"):
        try:
            account.client("s3").upload_file(str(file), place.bucket, place.key)
        except Exception as error:
            # boto3 wraps botocore's exception, and its text quotes it
            cause = error.__cause__ or error.__context__
            raise (cause if isinstance(cause, Exception) and hasattr(cause, "response") else error) from None
