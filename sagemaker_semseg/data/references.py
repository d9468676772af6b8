"""Where a manifest's pictures lie: the text of a reference comes in, an ``s3://`` URI or an absolute path goes out.
``manifest`` calls it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from sagemaker_semseg.storage import is_s3

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_LONGEST: Final = 4096
_EXPECTED: Final = "s3://bucket/key, file:///path, or a path, relative ones to the manifest's folder"


def resolve_reference(reference: object, folder: Path) -> str:
    """The ``s3://`` URI or the path that is meant; relative paths are relative to ``folder``.

    Raises ``ValueError``, which says what came and what was expected.
    """
    if not isinstance(reference, str) or not reference.strip():
        raise ValueError(f"{_short(reference)} came; expected {_EXPECTED}")
    if len(reference) > _LONGEST:
        raise ValueError(f"a reference of {len(reference)} characters; at most {_LONGEST} are read")
    path = reference
    if reference.lower().startswith("file:"):
        parts = urlsplit(reference)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise ValueError(f"{_short(reference)}: a file:// reference needs three slashes, as in file:///data/a.jpg")
    elif is_s3(reference):
        bucket, _, key = reference[len("s3://") :].partition("/")
        if not bucket or not key or key.endswith("/"):
            raise ValueError(f"{_short(reference)} names no object; expected {_EXPECTED}")
        path = reference
    elif _SCHEME.match(reference):
        raise ValueError(f"{_short(reference)} can't be read; expected {_EXPECTED}")
    if "\0" in path or any(0xD800 <= ord(letter) <= 0xDFFF for letter in path):
        raise ValueError(f"{_short(reference)} holds a character that no name has")
    return path if is_s3(path) else os.path.normpath(os.path.join(folder, path))


def _short(value: object) -> str:
    return repr(value) if len(repr(value)) <= 80 else f"{value!r:.77}..."
