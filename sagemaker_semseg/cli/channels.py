"""Where a job's channels lie: the flags for them, and from the flags the folders by name, fetched first if they are in
S3. ``train``, ``evaluate`` and ``check`` call it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sagemaker_semseg.cli.terminal import bar
from sagemaker_semseg.data.channels import CHANNELS, find_channels
from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.mirror import Mirror

_START = {
    "model": ("--model", "an earlier model to train further, this package's or AWS's: its folder or model.tar.gz"),
    "pretrained": ("--pretrained-weights", "ImageNet weights of the backbone: a file, or a folder that holds them"),
}
_NAMES = ("train", "train_annotation", "validation", "validation_annotation", "label_map")


def add_flags(parser: argparse.ArgumentParser, *, start: bool = False) -> None:
    """``--data`` for the folder with all channels, and a flag for each of them. start: also for what training begins
    with.
    """
    group = parser.add_argument_group("data")
    text = "the folder that holds the folders train, train_annotation, validation, validation_annotation and, if the "
    text += "masks need one, label_map; or s3://BUCKET/PREFIX of them"
    group.add_argument("--data", metavar="DIR", help=text)
    for name in _NAMES:
        flag = "--" + name.replace("_", "-")
        group.add_argument(flag, dest=f"channel_{name}", metavar="DIR", help=f"the channel {name} lies here")
    for name, (flag, text) in _START.items() if start else ():
        group.add_argument(flag, dest=f"channel_{name}", metavar="PATH", help=text)


def from_flags(options: argparse.Namespace) -> dict[str, Path]:
    """The folders by channel; one with a flag of its own is taken instead of that in ``--data``.

    Raises DataError if no flag was given, or nothing is where one says; UserError if S3 can't be used.
    """
    given = _given(options)
    if options.data is None and not given:
        fault = Fault("--data", "is missing", "give the folder that holds the channels")
        raise DataError("there is no data:", [fault])
    found = find_channels(_here(options.data, _is_channels)) if options.data is not None else {}
    return {**found, **{name: _here(place) for name, place in given.items()}}


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
        return Mirror(data_cache()).at(place, move, wanted)


def _is_channels(name: str) -> bool:
    """Whether a name below ``--data`` belongs to a channel; what else lies there isn't fetched."""
    return name.partition("/")[0] in CHANNELS
