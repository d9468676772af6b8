"""Flags for a job's data: a folder of channels, single channels, a manifest's attributes."""

from __future__ import annotations

import argparse
from typing import Any

from sagemaker_semseg.data.channels import SPLITS

_START = {
    "model": ("--model", "an earlier model to train further, this package's or AWS's: its folder or model.tar.gz"),
    "pretrained": ("--pretrained-weights", "ImageNet weights of the backbone: a file, or a folder that holds them"),
}
_NAMES = ("train", "train_annotation", "validation", "validation_annotation", "label_map")


def add_data_flags(parser: argparse.ArgumentParser, *, start: bool = False) -> None:
    """Add ``--data`` and a flag for each channel. start: also for the channels of initial weights."""
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


def data_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields ``data``, ``channels`` and ``attribute_names`` of a configuration."""
    given = {name: getattr(options, f"channel_{name}", None) for name in (*_NAMES, *_START)}
    of_all = options.attribute_names
    attributes = {"train": of_all, "validation": options.validation_attribute_names or of_all}
    return {
        "data": options.data,
        "channels": {name: location for name, location in given.items() if location is not None},
        "attribute_names": {
            split: [name.strip() for name in text.split(",")] for split, text in attributes.items() if text
        },
    }
