"""SageMaker's ``ManifestFile``: a JSON list of objects that stands for a channel or for a transform's data.

    [{"prefix": "s3://bucket/images/"}, "a.jpg", "north/b.jpg"]

A prefix may be a folder of this machine as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.storage import is_s3, local_path
from sagemaker_semseg.storage.cache_names import below
from sagemaker_semseg.storage.s3_cache import Progress, S3Cache

MAX_BYTES: Final = 2**26
_MOST_FAULTS: Final = 100
_FORM: Final = 'give a JSON list: [{"prefix": "s3://bucket/images/"}, "a.jpg", "b.jpg"]'


def read_manifest_file(path: Path, place: str) -> dict[str, str]:
    """Return the addresses of the objects by their names below the prefix, in their order.

    Args:
        path: The manifest on this machine.
        place: Where it is, for messages.

    Raises:
        DataError: It can't be read; with all faults.
    """
    content = _content(path, place)
    head, names = content[0], content[1:]
    prefix = head.get("prefix") if isinstance(head, Mapping) else None
    if not isinstance(prefix, str) or not prefix:
        raise _unusable([Fault(place, "its first entry is no prefix", _FORM)])
    faults = []
    if not names:
        faults.append(Fault(place, "lists no object", _FORM))
    for number, name in enumerate(names, 2):
        parts = name.split("/") if isinstance(name, str) else [".."]
        if not parts[-1] or "\0" in str(name) or {"..", "."} & set(parts):
            shown = repr(name)[:100]
            faults.append(Fault(f"{place}, entry {number}", f"{shown} names no object below the prefix", "fix it"))
            if len(faults) >= _MOST_FAULTS:
                break
    if faults:
        raise _unusable(faults)
    return {name.lstrip("/"): prefix + name for name in names}


def link_objects(objects: Mapping[str, str], folder: Path, progress: Progress | None = None) -> None:
    """Make a folder of links to the objects, after those in S3 are fetched into the cache.

    Args:
        objects: Addresses by names below the folder.
        folder: Need not exist.
        progress: Gets (files done, files in all).

    Raises:
        DataError: With a fault for each object that isn't there.
    """
    in_buckets = [place for place in objects.values() if is_s3(place)]
    found = dict(zip(in_buckets, S3Cache(data_cache()).objects(in_buckets, progress), strict=True))
    paths = {name: found.get(place) or local_path(place).absolute() for name, place in objects.items()}
    faults = [
        Fault(objects[name], "no such file", "fix the list") for name, path in paths.items() if not path.is_file()
    ]
    if faults:
        raise _unusable(faults[:_MOST_FAULTS])
    for name, inside in below(paths).items():
        link = folder / inside
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(paths[name])


def _content(path: Path, place: str) -> list[Any]:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _unusable([Fault(place, f"has more than {MAX_BYTES} bytes", "split it")])
        content = json.loads(data)
    except OSError as error:
        raise _unusable([Fault(place, f"can't be read: {error.strerror or error}", "check the path")]) from None
    except (ValueError, RecursionError) as error:
        remedy = f"{_FORM}; for lines with source-ref give s3_data_type='AugmentedManifestFile'"
        raise _unusable([Fault(place, f"is no JSON: {str(error)[:200]}", remedy)]) from None
    if not isinstance(content, list) or not content:
        raise _unusable([Fault(place, "is no list with a prefix", _FORM)])
    return content


def _unusable(faults: list[Fault]) -> DataError:
    return DataError("The ManifestFile can't be used:", faults)
