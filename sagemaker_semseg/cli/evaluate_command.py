"""The command ``sagemaker-semseg evaluate``: scores of a model, as a table and as JSON."""

from __future__ import annotations

import argparse
import math

from rich.console import Console
from rich.table import Table

from sagemaker_semseg.cli.flags import add_data_flags, add_precision_flag, data_arguments, refuse
from sagemaker_semseg.cli.json_output import write_json
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.jobs.run_evaluation import EvaluationConfig, EvaluationResult, run_evaluation

SUMMARY = "measure a model on labelled images"
DESCRIPTION = """\
Compares a model's masks with the true ones: mIOU, pixel accuracy, and IoU and accuracy of each class. Every pixel of
every image counts, at the images' own size."""
EPILOG = """\
examples:
  sagemaker-semseg evaluate out/model.tar.gz --data mydata
  sagemaker-semseg evaluate out --data mydata --split train --json scores.json
  sagemaker-semseg evaluate out --data mydata --json - | jq .mIOU

mIOU is the mean IoU of the classes that occur in labels or predictions; its interval is the middle 95 % over images
drawn with replacement. Boundary IoU counts the pixels near the contours alone. The calibration error is the mean
distance between the probability of a prediction and how often it is right. In the JSON's confusion_matrix a row is a
true label and a column a predicted one.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="model.tar.gz, or the output folder of a training")
    add_data_flags(parser)
    group = parser.add_argument_group("evaluation")
    group.add_argument("--split", choices=SPLITS, default="validation", help="which images (default validation)")
    text = "write the scores and the confusion matrix there too; - prints them instead of the table"
    group.add_argument("--json", metavar="FILE", help=text)
    text = "images in one step (default: the model's validation_mini_batch_size)"
    group.add_argument("--batch-size", type=_positive, metavar="N", help=text)
    add_precision_flag(group)
    text = "measure the model although every labelled pixel is of one class, so that the mIOU says nothing"
    group.add_argument("--allow-doubtful-labels", action="store_true", help=text)


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    result = run_evaluation(
        EvaluationConfig(
            **data_arguments(options),
            model=options.model,
            split=options.split,
            batch_size=options.batch_size,
            precision=options.precision or "auto",
            allow_doubtful_labels=options.allow_doubtful_labels,
            verbose=options.verbose,
        )
    )
    if write_json(result.to_dict(), options.json):
        _show(result)
    return 0


def _show(result: EvaluationResult) -> None:
    """Print a table of the classes, and the figures over all of them below it."""
    scores, details = result.scores, result.details
    pixels = scores.confusion.sum(1)
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("IoU", "boundary IoU", "accuracy", "pixels", "share"):
        table.add_column(title, justify="right", no_wrap=True)
    for label, name in enumerate(result.class_names):
        figures = (_figure(values[label]) for values in (scores.iou, details.boundary_iou, scores.accuracy))
        table.add_row(name, *figures, f"{pixels[label]}", f"{pixels[label] / max(pixels.sum(), 1):.1%}")
    Console(highlight=False, markup=False, emoji=False).print(table)
    print(f"{result.split}: {result.images} images")
    if result.precision != "float32":
        print(result.precision)
    print(f"pixel accuracy {scores.pixel_accuracy:.4f}, mean class accuracy {scores.mean_accuracy:.4f}")
    print(f"boundary mIOU {details.boundary_miou:.4f}, frequency-weighted IoU {scores.frequency_weighted_iou:.4f}")
    if details.calibration:
        print(f"expected calibration error {details.calibration.error:.4f}")
    interval = details.miou_interval
    print(f"mIOU {scores.miou:.4f}, 95 % interval {interval.low:.4f} to {interval.high:.4f}")
    if warning := scores.warning(result.class_names):
        print(f"warning: {warning}")


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 on is expected, {number} came")
    return number
