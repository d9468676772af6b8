"""Where a job's channels lie: the flags for them, and from the flags the folders by name, fetched first if they are in
S3. ``train``, ``evaluate`` and ``check`` call it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from sagemaker_semseg.cli.terminal import bar
from sagemaker_semseg.data.channels import CHANNELS, SPLITS, find_channels
from sagemaker_semseg.data.manifest import SUFFIXES
from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.s3_cache import S3Cache

_START = {
    "model": ("--model", "an earlier model to train further, this package's or AWS's: its folder or model.tar.gz"),
    "pretrained": ("--pretrained-weights", "ImageNet weights of the backbone: a file, or a folder that holds them"),
}
_MANIFESTS = [f"{split}{suffix}" for split in SPLITS for suffix in SUFFIXES]
_NAMES = ("train", "train_annotation", "validation", "validation_annotation", "label_map")


def add_flags(parser: argparse.ArgumentParser, *, start: bool = False) -> None:
    """``--data`` for the folder with all channels, and a flag for each of them. start: also for what training begins
    with.
    """
    group = parser.add_argument_group("data")
    text = "the folder that holds the folders train, train_annotation, validation, validation_annotation and, if the "
    text += (
        "masks need one, label_map; or the augmented manifest train.manifest, with validation.manifest beside it or "
    )
    text += "in --validation; either may be in S3 (s3://BUCKET/...)"
    group.add_argument("--data", metavar="DIR|MANIFEST", help=text)
    for name in _NAMES:
        flag = "--" + name.replace("_", "-")
        metavar = "DIR|MANIFEST" if name in SPLITS else "DIR"
        group.add_argument(flag, dest=f"channel_{name}", metavar=metavar, help=f"the channel {name} lies here")
    text = (
        "a manifest's attributes for the image and the mask (default: source-ref and the only other one that ends in "
    )
    group.add_argument("--attribute-names", metavar="IMAGE,MASK", help=text + "-ref)")
    text = "the same for validation's manifest (default: as --attribute-names)"
    group.add_argument("--validation-attribute-names", metavar="IMAGE,MASK", help=text)
    for name, (flag, text) in _START.items() if start else ():
        group.add_argument(flag, dest=f"channel_{name}", metavar="PATH", help=text)


def attributes(options: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """The names of a manifest's attributes that were given, by split."""
    of_all = options.attribute_names
    given = {"train": of_all, "validation": options.validation_attribute_names or of_all}
    return {split: tuple(name.strip() for name in text.split(",")) for split, text in given.items() if text}


def from_flags(options: argparse.Namespace, split: str | None = None) -> dict[str, Path]:
    """The folders and manifests by channel; one with a flag of its own is taken instead of that in ``--data``.

    split: the only one that is needed, if it is one. Raises DataError if no flag was given, or nothing is where one
    says; UserError if S3 can't be used.
    """
    given = _given(options)
    if options.data is None and not given:
        fault = Fault("--data", "is missing", "give the folder that holds the channels")
        raise DataError("there is no data:", [fault])
    own = {name: _here(place) for name, place in given.items()}
    if options.data is None:
        return own
    data = _here(options.data, _is_channels)
    return {**(_of_manifest(options.data, data, own, split) if data.is_file() else find_channels(data)), **own}


def _of_manifest(place: str, manifest: Path, own: Mapping[str, Path], split: str | None) -> dict[str, Path]:
    """The channels of ``--data MANIFEST``: the manifest is one, for which its name speaks, its neighbour the other."""
    above, slash, name = place.rpartition("/")
    this = next((one for one in reversed(SPLITS) if one in name.lower()), split or "train")
    other = next(one for one in SPLITS if one != this)
    if other in own or split == this:
        return {this: manifest}
    suffix = manifest.suffix
    beside = name.replace(this, other) if this in name else f"{other}{suffix}"
    try:
        path = _here(f"{above}{slash}{beside}")
    except DataError:  # there is nothing in S3
        path = Path(beside)
    if not path.is_file():
        remedy = f"put it there, or give --{other} MANIFEST"
        fault = Fault(place, f"is the channel {this}; for {other} there is no {beside} beside it", remedy)
        raise DataError("a channel is missing:", [fault])
    return {this: manifest, other: path}


def none_given(options: argparse.Namespace) -> bool:
    """Whether the flags say of no channel where it is."""
    return options.data is None and not _given(options)


def _given(options: argparse.Namespace) -> dict[str, str]:
    named = {name: getattr(options, f"channel_{name}", None) for name in (*_NAMES, *_START)}
    return {name: place for name, place in named.items() if place is not None}


def _here(place: str, wanted: Callable[[str], bool] | None = None) -> Path:
    """The place on this machine; what is in S3 is fetched into the cache, unless it is there."""
    if not is_s3(place):
        return Path(place)
    with bar(f"fetching {place}") as move:
        return S3Cache(data_cache()).at(place, move, wanted)


def _is_channels(name: str) -> bool:
    """Whether a name below ``--data`` belongs to a channel; what else lies there isn't fetched."""
    first = name.partition("/")[0]
    return first in CHANNELS or first in _MANIFESTS
