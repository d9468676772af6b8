"""Flags that several commands share, and what was given with them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container, Sequence
from typing import Any

from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.hyperparameters import TABLE, Hyperparameter
from sagemaker_semseg.hyperparameters.page import default_text
from sagemaker_semseg.jobs.progress_bar import MODES

_START = {
    "model": ("--model", "an earlier model to train further, this package's or AWS's: its folder or model.tar.gz"),
    "pretrained": ("--pretrained-weights", "ImageNet weights of the backbone: a file, or a folder that holds them"),
}
_NAMES = ("train", "train_annotation", "validation", "validation_annotation", "label_map")
_METAVARS = {
    "boolean": "{True,False}",
    "integer": "N",
    "number": "X",
    "integers": "N,N",
    "weights": "auto|X,X",
    "scales": "X,X",
    "names": "A,B,C",
}


def add_data_flags(parser: argparse.ArgumentParser, *, start: bool = False, both_splits: bool = False) -> None:
    """Add ``--data`` and a flag for each channel.

    start: also for the channels of initial weights. both_splits: also the flag that takes one out of the other.
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
    if both_splits:
        text = (
            "keep this share of train apart for validation, such as 0.2, instead of reading a channel; the pairs are "
        )
        text += "chosen at random by --seed"
        group.add_argument("--validation-split", type=float, metavar="X", help=text)
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


def add_hyperparameter_flags(parser: argparse.ArgumentParser, names: Container[str] | None = None) -> None:
    """Add a flag for every hyperparameter, or for those in ``names``: ``crop_size`` is ``--crop-size 64``."""
    rows = [row for row in TABLE if names is None or row.name in names]
    for group in dict.fromkeys(row.group for row in rows):
        arguments = parser.add_argument_group(f"hyperparameters: {group.lower()}")
        for row in (row for row in rows if row.group == group):
            alone: dict[str, Any] = {"nargs": "?", "const": "True"} if row.kind == "boolean" else {}
            arguments.add_argument(row.flag, dest=row.name, metavar=_metavar(row), help=_help(row), **alone)


def hyperparameter_arguments(options: argparse.Namespace) -> dict[str, str]:
    """Return name and text of every hyperparameter that was given; they are checked with everything else."""
    given = {row.name: getattr(options, row.name, None) for row in TABLE}
    return {name: value for name, value in given.items() if value is not None}


def add_inference_flags(parser: argparse.ArgumentParser) -> Any:
    """Add the flags for how a model is used; returns their group."""
    group = parser.add_argument_group("how the model is used (by default as it was trained for)")
    text = "resize each image by each of these factors and average the probabilities, for instance 0.75,1,1.25"
    group.add_argument("--scales", type=numbers, metavar="LIST", help=text)
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average over the mirrored image, too")
    text = "pixels of the largest image that goes through the network whole; memory grows with it"
    group.add_argument("--tile-pixels", type=int, metavar="N", help=text)
    text = "what runs it: onnxruntime, openvino, tensorrt or auto (default: openvino for int8 where it is installed)"
    group.add_argument("--runtime", metavar="NAME", help=text)
    add_precision_flag(group)
    return group


def add_precision_flag(group: Any) -> None:
    """Add ``--precision``."""
    text = "float32, int8 or auto (default: int8 where the model has such a graph and this CPU is fast with it)"
    group.add_argument("--precision", metavar="NAME", help=text)


def add_progress_flags(parser: argparse.ArgumentParser, *, nested: bool = False) -> None:
    """Add ``--quiet``, unless the command has its own, and ``--progress``. nested: below a command that has them."""
    suppressed: dict[str, Any] = {"default": argparse.SUPPRESS} if nested else {}  # else it would replace the command's
    if "--quiet" not in parser._option_string_actions:
        text = "show no progress; results and errors are shown"
        parser.add_argument("--quiet", action="store_true", help=text, **suppressed)
    text = "a bar on a terminal (auto), lines of JSON on standard error, or none (default auto)"
    parser.add_argument("--progress", choices=MODES, help=text, **(suppressed or {"default": "auto"}))


def refuse(faults: Sequence[Fault]) -> None:
    """Raise a UserError if anything is wrong with a command."""
    if faults:
        raise UserError("The command can't be carried out:", faults)


def numbers(text: str) -> tuple[float, ...]:
    """Parse numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        what = f"numbers with commas between them are expected, such as 0.75,1,1.25; {text} came"
        raise argparse.ArgumentTypeError(what) from None


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"a number from {least} to {most} is expected, {text} came")
        return int(text)

    return parse


def _metavar(row: Hyperparameter) -> str:
    return "{" + ",".join(row.choices) + "}" if row.kind == "choice" else _METAVARS[row.kind]


def _help(row: Hyperparameter) -> str:
    facts = [str(row.interval)] if str(row.interval) else []
    facts.append("required" if row.required else f"default {default_text(row)}")
    return f"{row.meaning} ({', '.join(facts)})".replace("%", "%%")
