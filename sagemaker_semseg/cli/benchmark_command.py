"""The command ``sagemaker-semseg benchmark``: how fast a model is on this machine, and how to serve it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sagemaker_semseg.cli.flags import refuse, whole_number
from sagemaker_semseg.cli.json_output import write_json
from sagemaker_semseg.errors import Fault
from sagemaker_semseg.storage import atomic_write

SUMMARY = "measure how fast a model is on this machine"
DESCRIPTION = """\
Measures the model in every setting that this machine allows: float32 and int8 (where the model has such a graph), ONNX
Runtime and OpenVINO (where it is installed), one worker with all cores and one worker for each core. Recommends the
setting with the most images a second in which at most 1 % of the labels differ from float32."""
EPILOG = """\
examples:
  sagemaker-semseg benchmark out/int8.tar.gz
  sagemaker-semseg benchmark out/int8.tar.gz --image street.jpg --json benchmark.json --chart benchmark.svg

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="model.tar.gz, or the output folder of a training")
    text = "a JPEG or PNG of the size that you will use (default: noise of 480 x 640 pixels)"
    parser.add_argument("--image", metavar="FILE", help=text)
    text = "images that each worker labels (default 5)"
    parser.add_argument("--rounds", type=whole_number(1, 10_000), default=5, metavar="N", help=text)
    parser.add_argument(
        "--json", metavar="FILE", help="write the figures there too; - prints them instead of the table"
    )
    parser.add_argument("--chart", metavar="FILE", help="draw the figures there, as bars; FILE ends in .svg")


def run(options: argparse.Namespace) -> int:
    if options.chart and not options.chart.lower().endswith(".svg"):
        options.faults.append(Fault("--chart", f"{options.chart} isn't SVG", "give a name that ends in .svg"))
    refuse(options.faults)
    from sagemaker_semseg.jobs.run_benchmark import BenchmarkConfig, run_benchmark

    result = run_benchmark(BenchmarkConfig(model=options.model, image=options.image, rounds=options.rounds))
    if options.chart:
        Path(options.chart).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(options.chart) as temporary:
            temporary.write_text(result.chart(), encoding="utf-8")
    if not write_json(result.to_dict(), options.json):
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("precision", "runtime"):
        table.add_column(title, no_wrap=True)
    for title in ("workers", "threads", "ms", "images/s", "peak MB", "graph MB", "labels changed"):
        table.add_column(title, justify="right", no_wrap=True)
    for m in result.measurements:
        peak = "-" if m.peak_mb is None else f"{m.peak_mb:.0f}"
        figures = (f"{m.milliseconds:.1f}", f"{m.images_per_second:.2f}", peak, f"{m.graph_mb:.1f}")
        table.add_row(m.precision, m.runtime, f"{m.workers}", f"{m.threads}", *figures, f"{m.labels_changed:.2%}")
    Console(highlight=False, markup=False, emoji=False, width=120).print(table)
    cores = f"{result.cpus} core{'s' * (result.cpus > 1)}"
    print(f"{cores}; instructions for int8: {result.int8_instructions or 'none'}")
    print(f"recommended: {result.command()}")
    return 0
