"""The command ``sagemaker-semseg report``: one HTML page about a training."""

from __future__ import annotations

import argparse
from pathlib import Path

from sagemaker_semseg.cli.flags import add_data_flags, data_arguments, refuse
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.jobs.run_report import ReportConfig, run_report
from sagemaker_semseg.sdk.local.job_store import JobStore

USAGE = "%(prog)s MODEL|JOB|OUTPUT [--data DIR] [options]"
SUMMARY = "write a page about a training: curves, classes, images, what to try next"
DESCRIPTION = """\
Writes one HTML file about a training: what was trained on what, curves, the score of each class, the confusion matrix,
and what to try next. With --data also the worst, median and best images, intervals and the calibration. It loads
nothing and runs no script. A training writes it by itself after each epoch; this command writes it again."""
EPILOG = """\
examples:
  sagemaker-semseg report out                                 out/report.html, also while the training runs
  sagemaker-semseg report out/model.tar.gz --data mydata      with images of mydata/validation
  sagemaker-semseg report JOB -o job.html                     a job that was started from Python on this machine
  sagemaker-semseg report s3://bucket/job/output/model.tar.gz a model in S3

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "model.tar.gz, the output folder of a training, or the name of a training job on this machine"
    parser.add_argument("training", metavar="MODEL|JOB|OUTPUT", help=text)
    add_data_flags(parser)
    group = parser.add_argument_group("report")
    text = "where the page is written (default report.html beside the model)"
    group.add_argument("-o", "--page", metavar="FILE", help=text)
    group.add_argument("--split", choices=SPLITS, default="validation", help="which images (default validation)")
    text = "price of the machine that trained, for the cost of the training"
    group.add_argument("--price-per-hour", type=_price, metavar="X", help=text)


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    page = run_report(
        ReportConfig(
            **data_arguments(options),
            training=_folder(options.training),
            output=options.page,
            split=options.split,
            price_per_hour=options.price_per_hour,
        )
    )
    print(page)
    return 0


def _folder(training: str) -> str:
    """Return the folder of a job of this machine if the name is that of one; else the path as it is."""
    if Path(training).exists() or "/" in training or training.endswith(".tar.gz"):
        return training
    store = JobStore("training")
    try:
        record = store.read(training)
    except UserError:  # it can't be a name
        return training
    return str(store.folder(training) / "ml") if record else training


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < 1e6:
        raise argparse.ArgumentTypeError(f"a number from 0 on is expected, {text} came")
    return price
