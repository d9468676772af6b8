"""``sagemaker-semseg evaluate``: a model and a labelled split come in; scores go out, as tables and as JSON."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sagemaker_semseg.artifact import Artifact, read_artifact
from sagemaker_semseg.cli import channels as channel_flags
from sagemaker_semseg.cli import engine
from sagemaker_semseg.cli.model import class_names, model_path
from sagemaker_semseg.cli.terminal import bar
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.data.samples import Split, read_split
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.storage import atomic_write

SUMMARY = "measure a model on labelled images"
DESCRIPTION = """\
Compares a model's masks with the true ones: mIOU, pixel accuracy, and IoU and accuracy of each class. Every pixel of
every image counts, at the images' own size."""
EPILOG = """\
examples:
  sagemaker-semseg evaluate out/model.tar.gz --data mydata
  sagemaker-semseg evaluate out --data mydata --split train --json scores.json
  sagemaker-semseg evaluate out --data mydata --json - | jq .mIOU

mIOU is the mean IoU of the classes that occur in labels or predictions. In the JSON's confusion_matrix a row is a true
label and a column a predicted one.

exit status: 0 done, 1 a fault of this program, 2 something you can mend
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.tar.gz, or the output folder of a training")
    channel_flags.add_flags(parser)
    group = parser.add_argument_group("evaluation")
    group.add_argument("--split", choices=SPLITS, default="validation", help="which images (default validation)")
    text = "write the scores and the confusion matrix there too; - prints them instead of the table"
    group.add_argument("--json", metavar="FILE", help=text)
    text = "images in one step (default: the model's validation_mini_batch_size)"
    group.add_argument("--batch-size", type=_positive, metavar="N", help=text)


def run(options: argparse.Namespace) -> int:
    if options.faults:
        raise UserError("The command can't be carried out:", options.faults)
    artifact = read_artifact(model_path(options.model))
    hp = resolve(artifact.hyperparameters)
    folders = channel_flags.from_flags(options, options.split)
    attributes = channel_flags.attributes(options)
    known = artifact.labels.get("class_names") or ()
    with bar("checking the data") as move:
        split = read_split(folders, hp.num_classes, options.split, move, attributes=attributes, class_names=known)
    strategy = engine.start(verbose=options.verbose)
    scores = measure(artifact, split, options.batch_size or hp.validation_mini_batch_size, strategy)
    names = class_names(artifact)
    content = {"model": str(options.model), "split": split.channel, "images": len(split.samples)}
    text = json.dumps({**content, **scores.to_dict(names)}, indent=1) + "\n"
    if options.json == "-":
        print(text, end="")
        return 0
    if options.json:
        with atomic_write(options.json) as temporary:
            temporary.write_text(text, encoding="utf-8")
    show(scores, names, split)
    return 0


def measure(artifact: Artifact, split: Split, batch_size: int, strategy: Any) -> Scores:
    """The scores of a model over a split. strategy: from ``engine.start``."""
    from sagemaker_semseg.models.network import network_of
    from sagemaker_semseg.training.evaluation import Evaluator

    with strategy.scope():
        network, hp = network_of(artifact)
    evaluator = Evaluator(network, hp.num_classes, strategy)
    done, total = 0, len(split.samples)
    with bar("evaluating", total) as move:

        def count(images: int) -> None:
            nonlocal done
            done += images
            move(done, total)

        return Scores.of(evaluator.confusion(split, batch_size, count))


def show(scores: Scores, names: list[str], split: Split) -> None:
    """A table of the classes, and the figures over all of them below it."""
    pixels = scores.confusion.sum(1)
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("IoU", "accuracy", "pixels", "share"):
        table.add_column(title, justify="right", no_wrap=True)
    for label, name in enumerate(names):
        figures = (_figure(scores.iou[label]), _figure(scores.accuracy[label]))
        table.add_row(name, *figures, f"{pixels[label]}", f"{pixels[label] / max(pixels.sum(), 1):.1%}")
    Console(highlight=False, markup=False, emoji=False).print(table)
    print(f"{split.channel}: {len(split.samples)} images")
    print(f"pixel accuracy {scores.pixel_accuracy:.4f}")
    print(f"mIOU {scores.miou:.4f}")


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 on is expected, {number} came")
    return number
