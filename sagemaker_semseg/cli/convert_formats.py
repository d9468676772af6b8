"""Flags and texts of each format of ``convert``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sagemaker_semseg.convert import cityscapes, coco, folders, labelme, labelstudio, supervisely, voc, yolo
from sagemaker_semseg.convert.annotations import AnnotatedDataset, ClassSelection, Unannotated


@dataclass(frozen=True)
class Format:
    """A format: its texts, its flags, and how it is read."""

    summary: str
    description: str
    epilog: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    read: Callable[[argparse.Namespace], AnnotatedDataset]


# ---- classes, for the formats of outlines


def _add_choice(parser: argparse.ArgumentParser, overlaps: str) -> None:
    group = parser.add_argument_group("classes")
    text = "the classes to keep, in the order of their labels; others become background (by default all are kept)"
    group.add_argument("--classes", metavar="A,B,C", help=text)
    group.add_argument("--ignore-classes", metavar="A,B", help="classes whose pixels become 255, which is ignored")
    text = (
        "give label 0 to the first class, and 255 (ignored) to pixels without an outline; by default they are label 0"
    )
    group.add_argument("--no-background", action="store_true", help=text)
    text = f"which of two outlines lies above: the smaller one, or the later one in the file (default {overlaps})"
    group.add_argument("--above", choices=("smaller", "later"), default=overlaps, help=text)


def _choice(options: argparse.Namespace) -> ClassSelection:
    return ClassSelection(
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
    text = "the images of that (default: as for the first, or the folder of the JSON)"
    parser.add_argument("--validation-images", type=Path, metavar="DIR", help=text)
    _add_choice(parser, "smaller")
    text = (
        "what becomes of areas with iscrowd: 255, or the label of their class, or (default) the label where all areas "
    )
    text += "of the class, or most of all areas, have it, as tools write what was painted with a brush, and else 255"
    parser.add_argument("--crowds", choices=("auto", "ignore", "label"), default="auto", help=text)
    _add_unannotated(parser, "background")
    _add_boxes(parser)


def _add_unannotated(parser: argparse.ArgumentParser, default: Unannotated) -> None:
    text = f"what becomes of images without annotations: background, left out, or a fault (default {default})"
    parser.add_argument("--unannotated", choices=("background", "skip", "error"), default=default, help=text)


def _add_boxes(parser: argparse.ArgumentParser) -> None:
    text = "what becomes of boxes without an outline: a fault (default), 255, or all of the box gets the label"
    parser.add_argument("--boxes", choices=("error", "ignore", "fill"), default="error", help=text)


def _read_coco(options: argparse.Namespace) -> AnnotatedDataset:
    first: Path = options.annotations
    sources = [coco.CocoReader(first, options.images or first.parent, "train" if options.validation else "")]
    if options.validation:
        images = options.validation_images or options.images or options.validation.parent
        sources.append(coco.CocoReader(options.validation, images, "validation"))
    return coco.read(sources, _choice(options), coco.CrowdPolicy(options.crowds, options.boxes), options.unannotated)


# ---- LabelMe


def _add_labelme(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="LabelMe's JSON files lie in it and below it")
    text = "the folder of the images (default: where the JSON files say, below DIR, or beside them)"
    parser.add_argument("--images", type=Path, metavar="DIR", help=text)
    text = "another folder of JSON files, for validation; the first one is for training then"
    parser.add_argument("--validation", type=Path, metavar="DIR", help=text)
    text = "of the JSON files, such as gbk, where it isn't UTF-8"
    parser.add_argument("--encoding", type=_encoding, help=text)
    _add_choice(parser, "later")


def _encoding(name: str) -> str:
    try:
        b"".decode(name)
    except (LookupError, ValueError):
        raise argparse.ArgumentTypeError(f"{name} is no encoding, such as utf-8 or gbk") from None
    return name


def _read_labelme(options: argparse.Namespace) -> AnnotatedDataset:
    folders = [(options.folder, "train" if options.validation else ""), (options.validation, "validation")]
    sources = [
        labelme.LabelMeReader(folder, options.images, split, options.encoding or "")
        for folder, split in folders
        if folder
    ]
    return labelme.read(sources, _choice(options))


# ---- Pascal VOC


def _add_voc(parser: argparse.ArgumentParser) -> None:
    text = "the folder with JPEGImages and SegmentationClass, or VOCdevkit above it"
    parser.add_argument("folder", type=Path, metavar="DIR", help=text)
    text = "the names of the numbers in the masks, from 0 on, where no file in DIR has them; voc for VOC's 21"
    parser.add_argument("--class-names", metavar="A,B,C", help=text)
    _add_unannotated(parser, "error")


def _read_voc(options: argparse.Namespace) -> AnnotatedDataset:
    return voc.read(options.folder, _names(options.class_names), options.unannotated)


# ---- Cityscapes


def _add_cityscapes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder with leftImg8bit and gtFine")
    text = "which annotations are read (default gtFine)"
    parser.add_argument("--annotations", choices=("gtFine", "gtCoarse"), default="gtFine", help=text)
    text = "which of their files are read (default auto: the first of the others that an image has)"
    parser.add_argument("--masks", choices=cityscapes.KINDS, default="auto", help=text)


def _read_cityscapes(options: argparse.Namespace) -> AnnotatedDataset:
    return cityscapes.read(options.folder, options.annotations, options.masks)


# ---- YOLO


def _add_yolo(parser: argparse.ArgumentParser) -> None:
    text = "data.yaml, or a folder that holds it, or one with images, labels and classes.txt"
    parser.add_argument("source", type=Path, metavar="YAML|DIR", help=text)
    _add_unannotated(parser, "background")
    _add_choice(parser, "smaller")
    _add_boxes(parser)


def _read_yolo(options: argparse.Namespace) -> AnnotatedDataset:
    return yolo.read(options.source, _choice(options), options.boxes, options.unannotated)


# ---- folders of images and masks


def _add_folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="images and masks lie below it")
    text = "the names of the numbers in the masks, from 0 on, where no file in DIR has them"
    parser.add_argument("--class-names", metavar="A,B,C", help=text)
    _add_unannotated(parser, "error")


def _read_folders(options: argparse.Namespace) -> AnnotatedDataset:
    return folders.read(options.folder, _names(options.class_names), options.unannotated)


# ---- Label Studio


def _add_labelstudio(parser: argparse.ArgumentParser) -> None:
    text = "the export Brush labels to PNG: task-1-annotation-1-by-1-tag-car-0.png"
    parser.add_argument("folder", type=Path, metavar="DIR", help=text)
    text = "the same tasks exported as JSON or JSON-MIN, which says what image a task has"
    parser.add_argument("--tasks", type=Path, metavar="JSON", required=True, help=text)
    text = "the folder of the images"
    parser.add_argument("--images", type=Path, metavar="DIR", required=True, help=text)
    _add_choice(parser, "smaller")
    _add_unannotated(parser, "background")


def _read_labelstudio(options: argparse.Namespace) -> AnnotatedDataset:
    return labelstudio.read(options.folder, options.tasks, options.images, _choice(options), options.unannotated)


# ---- Supervisely


def _add_supervisely(parser: argparse.ArgumentParser) -> None:
    text = "a project with meta.json, or a data set in it with ann and img"
    parser.add_argument("folder", type=Path, metavar="DIR", help=text)
    _add_choice(parser, "later")


def _read_supervisely(options: argparse.Namespace) -> AnnotatedDataset:
    return supervisely.read(options.folder, _choice(options))


FORMATS: dict[str, Format] = {
    "coco": Format(
        summary="a JSON file of instances: polygons, run lengths",
        description="""\
Makes the folders of a training from COCO's instances: polygons and run lengths, compressed or not. Masks agree with
those of COCO's own tools. One JSON is divided at random; with --validation there are two.""",
        epilog="""\
examples:
  sagemaker-semseg convert coco annotations/instances_train2017.json --images train2017 \\
      --validation annotations/instances_val2017.json --validation-images val2017 --output coco --link
  sagemaker-semseg convert coco annotations.json --images images --output mydata --validation-share 0.1
  sagemaker-semseg convert coco instances.json --images images --output mydata --classes person,car
""",
        add_arguments=_add_coco,
        read=_read_coco,
    ),
    "labelme": Format(
        summary="LabelMe's JSON files beside their images",
        description="""\
Makes the folders of a training from LabelMe's files: polygons, rectangles, circles and masks. Labels are numbered by
the alphabet, or in the order of --classes. The label __ignore__ becomes 255, _background_ becomes background.""",
        epilog="""\
examples:
  sagemaker-semseg convert labelme images --output mydata
  sagemaker-semseg convert labelme annotations --images images --output mydata --classes road,car,tree
  sagemaker-semseg convert labelme set/train --validation set/val --output mydata
""",
        add_arguments=_add_labelme,
        read=_read_labelme,
    ),
    "voc": Format(
        summary="Pascal VOC's folders, also as other programs write them",
        description="""\
Makes the folders of a training from JPEGImages and SegmentationClass. The lists train.txt and val.txt in
ImageSets/Segmentation are kept; without both the images are divided at random. Borders of objects stay 255. Classes
are those of a file beside the folders: colours in CVAT's labelmap.txt, names of the numbers from 0 on in LabelMe's
class_names.txt, labels.txt or classes.txt; without one they are VOC's 21 where the masks have VOC's palette and
borders, else give --class-names.""",
        epilog="""\
examples:
  sagemaker-semseg convert voc VOCdevkit/VOC2012 --output voc --link
  sagemaker-semseg convert voc exported --output mydata --validation-share 0.1
  sagemaker-semseg convert voc exported --output mydata --class-names background,car,road --unannotated background
""",
        add_arguments=_add_voc,
        read=_read_voc,
    ),
    "cityscapes": Format(
        summary="Cityscapes' folders leftImg8bit and gtFine",
        description="""\
Makes the folders of a training from Cityscapes: the 19 classes of its benchmark, and 255 for all others. Images of
train and val stay what they are; those of test have no annotations and are left out. With a label_colors.txt beside the
folders (CVAT writes one) the classes are those of this list, by colours or ids.""",
        epilog="""\
examples:
  sagemaker-semseg convert cityscapes cityscapes --output data --link
  sagemaker-semseg convert cityscapes cityscapes --output data --annotations gtCoarse --masks polygons
""",
        add_arguments=_add_cityscapes,
        read=_read_cityscapes,
    ),
    "yolo": Format(
        summary="data.yaml, images, and text files of polygons",
        description="""\
Makes the folders of a training from YOLO's polygons, a line each of CLASS x1 y1 x2 y2 ... in shares of width and
height. Images of train and val in data.yaml stay what they are; if it names only one of them, its images are divided
at random.""",
        epilog="""\
examples:
  sagemaker-semseg convert yolo exported/data.yaml --output mydata
  sagemaker-semseg convert yolo exported --output mydata --boxes ignore --validation-share 0.1
""",
        add_arguments=_add_yolo,
        read=_read_yolo,
    ),
    "labelstudio": Format(
        summary="Label Studio's Brush labels to PNG, with its JSON",
        description="""\
Makes the folders of a training from Label Studio's masks, a PNG for each label of each task. The tasks' JSON is needed,
too: the masks don't say which image they belong to.""",
        epilog="""\
examples:
  sagemaker-semseg convert labelstudio masks --tasks project.json --images media/upload/1 --output mydata
""",
        add_arguments=_add_labelstudio,
        read=_read_labelstudio,
    ),
    "supervisely": Format(
        summary="Supervisely's project: bitmaps, polygons, rectangles",
        description="""\
Makes the folders of a training from Supervisely's JSON files in ann, with the images in img beside them. Classes are in
the order of meta.json; later objects lie above earlier ones.""",
        epilog="""\
examples:
  sagemaker-semseg convert supervisely project --output mydata
  sagemaker-semseg convert supervisely project --output mydata --classes road,car
""",
        add_arguments=_add_supervisely,
        read=_read_supervisely,
    ),
    "folders": Format(
        summary="folders of images and masks in the usual layouts",
        description="""\
Makes the folders of a training from images and masks that are laid out in another way: images and masks, images/train
and annotations/train, train/images and train/masks, a_mask.png beside a.jpg. The classes are those of a list in DIR,
such as _classes.csv, label_colors.txt or classes.txt, or of --class-names. Images for tests are left out.""",
        epilog="""\
examples:
  sagemaker-semseg convert folders exported --output mydata
  sagemaker-semseg convert folders exported --output mydata --class-names background,car,road
""",
        add_arguments=_add_folders,
        read=_read_folders,
    ),
}
