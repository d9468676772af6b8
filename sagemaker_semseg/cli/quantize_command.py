"""The command ``sagemaker-semseg quantize``: adds an int8 graph to a model, compared with float32."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from sagemaker_semseg.cli.flags import add_data_flags, data_arguments, refuse, whole_number

if TYPE_CHECKING:
    from sagemaker_semseg.jobs.run_quantization import QuantizationResult

SUMMARY = "make a model four times as fast on CPUs: int8 beside float32"
DESCRIPTION = """\
Adds a graph with int8 convolutions to a model. It needs a quarter of the bytes, and on CPUs with VNNI (Intel since
2019, AMD since Zen 4, Arm with dot products) a quarter of the time. The ranges come from training images. Both
graphs are then measured on the validation images, class by class. The model is written only if mIOU falls by at most
--max-drop, the IoU of every class by at most 0.03, and at most 1 % of the labels change."""
EPILOG = """\
examples:
  sagemaker-semseg quantize out/model.tar.gz --data mydata -o out/int8.tar.gz
  sagemaker-semseg serve --model out/int8.tar.gz
  sagemaker-semseg predict out/int8.tar.gz images/ -o masks --precision float32

The model keeps its float32 graph. predict, serve and evaluate take int8 where the CPU is fast with it; --precision says
otherwise. The figures are in the model's metrics.json under "quantization".

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="model.tar.gz, which may be in S3, or the output folder of a training"
    )
    text = "the model to be written: an archive if it ends in .tar.gz, else a folder"
    parser.add_argument("-o", "--output", dest="location", metavar="FILE", required=True, help=text)
    add_data_flags(parser)
    group = parser.add_argument_group("quantization")
    text = "training images to calibrate with, evenly spread (default 64)"
    group.add_argument("--images", type=whole_number(1, 10**6), default=64, metavar="N", help=text)
    text = "how far mIOU may fall (default 0.01)"
    group.add_argument("--max-drop", type=float, default=0.01, metavar="X", help=text)
    group.add_argument("--force", action="store_true", help="write the model even if a limit is exceeded")


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    from sagemaker_semseg.jobs.run_quantization import QuantizationConfig, QuantizationRefused, run_quantization

    config = QuantizationConfig(
        **data_arguments(options),
        model=options.model,
        output=options.location,
        images=options.images,
        max_drop=options.max_drop,
        force=options.force,
    )
    try:
        result = run_quantization(config)
    except QuantizationRefused as error:
        _show(error.result)
        raise
    _show(result)
    for fault in result.faults:
        print(f"limit exceeded, written all the same: {fault.where} {fault.what}")
    float32, int8 = (size / 1e6 for size in result.bytes)
    print(f"{result.output}: graphs of {float32:.1f} MB (float32) and {int8:.1f} MB (int8)")
    return 0


def _show(result: QuantizationResult) -> None:
    """Print a table of the classes, float32 beside int8, and the figures over all of them below it."""
    before, after = result.comparison.scores
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("IoU float32", "IoU int8", "difference"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, old, new in zip(result.class_names, before.iou.tolist(), after.iou.tolist(), strict=True):
        table.add_row(name, _figure(old), _figure(new), "-" if math.isnan(old - new) else f"{new - old:+.4f}")
    table.add_row("mIOU", f"{before.miou:.4f}", f"{after.miou:.4f}", f"{after.miou - before.miou:+.4f}")
    Console(highlight=False, markup=False, emoji=False).print(table)
    comparison = result.comparison
    print(f"labels changed {comparison.changed:.3%}, {comparison.changed_worst:.3%} in the worst image")
    print(f"{comparison.images} validation images, calibrated with {result.calibration_images} training images")


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
