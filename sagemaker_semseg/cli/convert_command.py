"""The command ``sagemaker-semseg convert``: writes another program's data set as the folders of a training."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from sagemaker_semseg.cli import convert_formats
from sagemaker_semseg.cli.flags import add_progress_flags
from sagemaker_semseg.convert.annotations import (
    DEFAULT_SHARE,
    AnnotatedDataset,
    random_split,
    split_by_names,
)
from sagemaker_semseg.convert.file_readers import read_lines
from sagemaker_semseg.convert.writing import Written, write
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.error_handling import PROGRAM
from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.jobs.progress_bar import progress_bar

SUMMARY = "make the folders of a training from COCO, LabelMe, Pascal VOC, YOLO and other formats"
DESCRIPTION = """\
Makes the folders train, train_annotation, validation and validation_annotation from a data set in another format. The
images keep their bytes; the annotations become masks, whose numbers classes.txt explains.

  coco         a JSON file of instances: polygons, run lengths
  labelme      LabelMe's JSON files beside their images
  voc          Pascal VOC's folders, also as other programs write them
  cityscapes   Cityscapes' folders leftImg8bit and gtFine
  yolo         data.yaml, images, and text files of polygons"""
EPILOG = """\
examples:
  sagemaker-semseg convert coco annotations.json --images images --output mydata
  sagemaker-semseg convert voc VOCdevkit/VOC2012 --output mydata
  sagemaker-semseg convert coco --help

One message reports everything that is wrong with images and annotations, and nothing is written then; --skip-faulty
writes the rest. COCO, LabelMe, YOLO and Supervisely need pip install 'sagemaker-semseg[convert]'.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    chooser = parser.add_subparsers(title="formats", dest="format", metavar="FORMAT", required=True)
    for name, way in convert_formats.FORMATS.items():
        chosen = chooser.add_parser(
            name,
            help=way.summary,
            description=way.description,
            epilog=way.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        way.add_arguments(chosen)
        _add_output(chosen)
        chosen.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
        add_progress_flags(chosen, nested=True)
        chosen.set_defaults(parser=chosen)


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    text = "where the folders are written; it must not exist yet, or be empty"
    group.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help=text)
    text = "hard links to the images instead of copies, where the file system can do it"
    group.add_argument("--link", action="store_true", help=text)
    text = "leave out images with a fault and report them, instead of writing nothing"
    group.add_argument("--skip-faulty", action="store_true", help=text)
    text = "what annotations refer to if an image has an EXIF orientation: what a viewer shows, what the file stores, "
    text += "or (default) what fits the size that they state, displayed if both do"
    choices = ("auto", "displayed", "stored")
    group.add_argument("--orientation", choices=choices, default="auto", help=text)
    group = parser.add_argument_group("validation, where the data set doesn't say what is for it")
    text = f"the share of the images, drawn at random (default {DEFAULT_SHARE:g})"
    group.add_argument("--validation-share", metavar="SHARE", help=text)
    group.add_argument("--seed", metavar="N", help="another seed draws other images (default 0)")
    text = "a text file that names the images for validation instead, one a line"
    group.add_argument("--validation-list", type=Path, metavar="FILE", help=text)


def run(options: argparse.Namespace) -> int:
    faults = list(options.faults)
    share = _number(options.validation_share, "--validation-share", DEFAULT_SHARE, faults)
    seed = _number(options.seed, "--seed", 0, faults)
    if not 0 < share < 1:
        faults.append(Fault("--validation-share", f"{share:g} came", "give a number between 0 and 1"))
    if options.validation_list and (options.validation_share or options.seed):
        what = "says already what is for validation"
        faults.append(Fault("--validation-list", what, "leave out --validation-share and --seed"))
    if faults:
        raise UserError("The command can't be carried out:", faults)
    dataset = convert_formats.FORMATS[options.format].read(options)
    if options.validation_list:
        names = [line for line in read_lines(options.validation_list) if line]
        dataset = split_by_names(dataset, names, str(options.validation_list))
    else:
        dataset = random_split(dataset, share, int(seed))
    with progress_bar("converting") as move:
        written = write(
            dataset,
            options.output,
            link=options.link,
            skip_faulty=options.skip_faulty,
            orientation=options.orientation,
            progress=move,
        )
    _report(dataset, written, options.output)
    return 0


def _number(text: str | None, flag: str, default: float, faults: list[Fault]) -> float:
    try:
        return default if text is None else int(text) if isinstance(default, int) else float(text)
    except ValueError:
        faults.append(Fault(flag, f"{text} is no number", "give a number"))
        return default


def _report(dataset: AnnotatedDataset, written: Written, output: Path) -> None:
    """Print what was written, class by class, and the command that trains on it."""
    if written.left_out.kinds:
        faults = [fault for kind in written.left_out.kinds.values() for fault in kind]
        print(DataError("left out (--skip-faulty):", faults), file=sys.stderr)
    for note in written.notes:
        print(f"note: {note}")
    total, images = max(1, int(written.pixels.sum())), written.images.total()
    width = max(len(name) for name in (*dataset.classes, "ignored"))
    print(f"{'label':>5}  {'class':<{width}}  {'images':>8}  {'pixels':>7}")
    for label, name in [*enumerate(dataset.classes), (IGNORE, "ignored")]:
        share = written.pixels[label] / total
        print(f"{label:>5}  {name:<{width}}  {written.occurs[label]:>8}  {share:>7.2%}")
    print(f"{images} images: " + ", ".join(f"{written.images[split]} {split}" for split in SPLITS))
    print(f"written to {output}; train on it with")
    names = shlex.quote(",".join(dataset.classes))
    data, classes = shlex.quote(str(output)), len(dataset.classes)
    print(f"  {PROGRAM} train --data {data} --output model --num-classes {classes} --class-names {names}")
