"""Where a job's channels lie: the flags for them, and from the flags the folders by name. ``train`` and ``evaluate``
call it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sagemaker_semseg.data.channels import find_channels
from sagemaker_semseg.errors import DataError, Fault

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
    text += "masks need one, label_map"
    group.add_argument("--data", type=Path, metavar="DIR", help=text)
    for name in _NAMES:
        flag = "--" + name.replace("_", "-")
        group.add_argument(flag, type=Path, dest=f"channel_{name}", metavar="DIR", help=f"the channel {name} lies here")
    for name, (flag, text) in _START.items() if start else ():
        group.add_argument(flag, type=Path, dest=f"channel_{name}", metavar="PATH", help=text)


def from_flags(options: argparse.Namespace) -> dict[str, Path]:
    """The folders by channel; one with a flag of its own is taken instead of that in ``--data``.

    Raises DataError if no flag was given, or nothing is where ``--data`` says.
    """
    named = {name: getattr(options, f"channel_{name}", None) for name in (*_NAMES, *_START)}
    given: dict[str, Path] = {name: path for name, path in named.items() if path is not None}
    if options.data is None and not given:
        fault = Fault("--data", "is missing", "give the folder that holds the channels")
        raise DataError("there is no data:", [fault])
    return {**find_channels(options.data), **given} if options.data is not None else given
