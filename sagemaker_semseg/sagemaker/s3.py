"""``sagemaker.s3``: uploads and downloads, in S3 and in this machine's buckets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.session import Session
from sagemaker_semseg.storage import S3Uri


def parse_s3_url(url: str) -> tuple[str, str]:
    """Return the bucket and the key of an s3:// address. Raises ``UserError`` for anything else."""
    uri = S3Uri.parse(url)
    return uri.bucket, uri.key


def s3_path_join(*args: str, with_end_slash: bool = False) -> str:
    """Join parts of an s3:// address with single slashes."""
    parts = [part.strip("/") for part in args if part]
    joined = "/".join(part for part in parts if part)
    joined = joined.replace("s3:/", "s3://", 1) if joined.startswith("s3:/") and "s3://" not in joined else joined
    return joined + "/" * with_end_slash


class S3Uploader:
    """Uploads files and bytes."""

    @staticmethod
    def upload(
        local_path: str | os.PathLike[str],
        desired_s3_uri: str,
        kms_key: str | None = None,
        sagemaker_session: Any = None,
        callback: Any = None,
    ) -> str:
        """Upload a file or a folder; returns the address of the file, or of the folder's files."""
        bucket, prefix = parse_s3_url(desired_s3_uri)
        return (sagemaker_session or Session()).upload_data(local_path, bucket, prefix, callback)

    @staticmethod
    def upload_string_as_file_body(
        body: str, desired_s3_uri: str, kms_key: str | None = None, sagemaker_session: Any = None
    ) -> str:
        """Write a text as one object; returns its address."""
        return (sagemaker_session or Session()).upload_string_as_file_body(body, *parse_s3_url(desired_s3_uri))

    @staticmethod
    def upload_bytes(b: Any, s3_uri: str, kms_key: str | None = None, sagemaker_session: Any = None) -> str:
        """Write bytes, or what a stream has, as one object; returns its address."""
        data = b.read() if hasattr(b, "read") else b
        return (sagemaker_session or Session()).write_bytes(data, *parse_s3_url(s3_uri))


class S3Downloader:
    """Downloads and lists objects."""

    @staticmethod
    def download(
        s3_uri: str, local_path: str | os.PathLike[str], kms_key: str | None = None, sagemaker_session: Any = None
    ) -> list[str]:
        """Download an object, or all below a prefix, into a folder; returns the paths."""
        return (sagemaker_session or Session()).download_data(Path(local_path), *parse_s3_url(s3_uri))

    @staticmethod
    def read_file(s3_uri: str, sagemaker_session: Any = None) -> str:
        """Return the text of one object."""
        return (sagemaker_session or Session()).read_s3_file(*parse_s3_url(s3_uri))

    @staticmethod
    def read_bytes(s3_uri: str, sagemaker_session: Any = None) -> bytes:
        """Return the bytes of one object."""
        return (sagemaker_session or Session()).read_bytes(*parse_s3_url(s3_uri))

    @staticmethod
    def list(s3_uri: str, sagemaker_session: Any = None) -> list[str]:
        """Return the addresses of all objects below a prefix."""
        bucket, prefix = parse_s3_url(s3_uri)
        keys = (sagemaker_session or Session()).list_s3_files(bucket, prefix)
        return [f"s3://{bucket}/{key}" for key in keys]


__getattr__ = not_here.attribute_of(__name__)
