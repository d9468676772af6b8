"""The formats of ``convert``, one by one: the flags of each come in, the ``Dataset`` that they describe goes out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sagemaker_semseg.convert import coco
from sagemaker_semseg.convert.dataset import Choice, Dataset


@dataclass(frozen=True)
class Format:
    """What ``convert`` asks of a format: its texts, its flags, and how it is read."""

    summary: str
    description: str
    epilog: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    read: Callable[[argparse.Namespace], Dataset]


# ---- classes, for the formats of outlines


def _add_choice(parser: argparse.ArgumentParser, overlaps: str) -> None:
    group = parser.add_argument_group("classes")
    text = "the classes to keep, in the order of their labels; others become background (by default all are kept)"
    group.add_argument("--classes", metavar="A,B,C", help=text)
    group.add_argument("--ignore-classes", metavar="A,B", help="classes whose pixels become 255, which is ignored")
    text = "give label 0 to the first class, and 255 (ignored) to whatever nobody outlined; by default that is label 0"
    group.add_argument("--no-background", action="store_true", help=text)
    text = f"which of two outlines lies above: the smaller one, or the later one in the file (default {overlaps})"
    group.add_argument("--above", choices=("smaller", "later"), default=overlaps, help=text)


def _choice(options: argparse.Namespace) -> Choice:
    return Choice(
        only=_names(options.classes),
        ignored=frozenset(_names(options.ignore_classes)),
        background=not options.no_background,
        larger_first=options.above == "smaller",
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


# ---- COCO


def _add_coco(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", type=Path, metavar="JSON", help="instances: images, annotations, categories")
    text = "the folder from which the file names in it lead (default: that of the JSON)"
    parser.add_argument("--images", type=Path, metavar="DIR", help=text)
    text = "another JSON, for validation; the first one is for training then"
    parser.add_argument("--validation", type=Path, metavar="JSON", help=text)
    text = "the pictures of that (default: as for the first, or the folder of the JSON)"
    parser.add_argument("--validation-images", type=Path, metavar="DIR", help=text)
    _add_choice(parser, "smaller")
    text = "what becomes of areas with iscrowd: 255 (default), or the label of their class"
    parser.add_argument("--crowds", choices=("ignore", "label"), default="ignore", help=text)
    _add_boxes(parser)


def _add_boxes(parser: argparse.ArgumentParser) -> None:
    text = "what becomes of boxes without an outline: a fault (default), 255, or all of the box gets the label"
    parser.add_argument("--boxes", choices=("error", "ignore", "fill"), default="error", help=text)


def _read_coco(options: argparse.Namespace) -> Dataset:
    first: Path = options.annotations
    sources = [coco.Source(first, options.images or first.parent, "train" if options.validation else "")]
    if options.validation:
        images = options.validation_images or options.images or options.validation.parent
        sources.append(coco.Source(options.validation, images, "validation"))
    return coco.read(sources, _choice(options), coco.Crowds(options.crowds == "label", options.boxes))


FORMATS: dict[str, Format] = {
    "coco": Format(
        summary="a JSON file of instances: polygons, run lengths",
        description="""\
Makes the folders of a training from COCO's instances: polygons and run lengths, compressed or not. Masks agree with
those of COCO's own tools. One JSON is divided by lot; with --validation there are two.""",
        epilog="""\
examples:
  sagemaker-semseg convert coco annotations/instances_train2017.json --images train2017 \\
      --validation annotations/instances_val2017.json --validation-images val2017 --output coco --link
  sagemaker-semseg convert coco annotations.json --images photos --output mydata --validation-share 0.1
  sagemaker-semseg convert coco instances.json --images photos --output mydata --classes person,car
""",
        add_arguments=_add_coco,
        read=_read_coco,
    ),
}
