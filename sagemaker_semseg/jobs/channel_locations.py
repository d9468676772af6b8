"""Finds the channels of a job: folders and manifests, on this machine or in S3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sagemaker_semseg.data.channels import CHANNELS, SHARE, SPLITS, find_channels
from sagemaker_semseg.data.manifest import SUFFIXES
from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.s3_cache import S3Cache

_MANIFESTS = [f"{split}{suffix}" for split in SPLITS for suffix in SUFFIXES]


def locate_channels(data: str | None, channels: Mapping[str, str], split: str | None = None) -> dict[str, Path]:
    """Return where each channel is on this machine, after fetching what is in S3 into the cache.

    Args:
        data: a folder that holds channels, or a manifest with the other split's manifest beside it; may be in S3.
        channels: single channels by name, which win over those in ``data``.
        split: the only split that is needed, if it is one.

    Raises:
        DataError: nothing was given, or nothing is where it should be.
        UserError: S3 can't be used.
    """
    if data is None and not channels:
        fault = Fault("--data", "is missing", "give the folder that holds the channels")
        raise DataError("there is no data:", [fault])
    single = {name: _fetch(location) for name, location in channels.items()}
    if data is None:
        return single
    root = _fetch(data, _is_channel)
    return {**(_of_manifest(data, root, single, split) if root.is_file() else find_channels(root)), **single}


def _of_manifest(location: str, manifest: Path, single: Mapping[str, Path], split: str | None) -> dict[str, Path]:
    """The two splits of a manifest: its name tells which one it is, the file beside it is the other."""
    above, slash, name = location.rpartition("/")
    this = next((one for one in reversed(SPLITS) if one in name.lower()), split or "train")
    other = next(one for one in SPLITS if one != this)
    if other in single or split == this:
        return {this: manifest}
    sibling = name.replace(this, other) if this in name else f"{other}{manifest.suffix}"
    try:
        path = _fetch(f"{above}{slash}{sibling}")
    except DataError:  # there is nothing in S3
        path = Path(sibling)
    if not path.is_file():
        remedy = f"put it there, or give --{other} MANIFEST" + (f"; {SHARE}" if other == "validation" else "")
        fault = Fault(location, f"is the channel {this}; for {other} there is no {sibling} beside it", remedy)
        raise DataError("a channel is missing:", [fault])
    return {this: manifest, other: path}


def _fetch(location: str, wanted: Callable[[str], bool] | None = None) -> Path:
    """The location as a path on this machine; objects in S3 are fetched into the cache unless they are there."""
    if not is_s3(location):
        return Path(location)
    with progress_bar(f"fetching {location}") as update:
        return S3Cache(data_cache()).at(location, update, wanted)


def _is_channel(name: str) -> bool:
    """Whether a name below ``data`` belongs to a channel; other objects aren't fetched."""
    first = name.partition("/")[0]
    return first in CHANNELS or first in _MANIFESTS
