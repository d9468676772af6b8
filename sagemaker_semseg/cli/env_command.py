"""The command ``sagemaker-semseg env``: what is installed, which devices there are, what is missing for what."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from sagemaker_semseg import __version__
from sagemaker_semseg.cli.flags import refuse
from sagemaker_semseg.cli.versions import find_version
from sagemaker_semseg.environment import cpu_count, memory_limit

SUMMARY = "show what is installed, which devices there are, what is missing for what"
DESCRIPTION = """\
Shows the versions of Python and of the packages, the devices that a training would use, and which command needs what
isn't installed. Paste it into a report of a fault."""
EPILOG = """\
examples:
  sagemaker-semseg env
  sagemaker-semseg env --json | jq .packages

"""

# package -> (extra that installs it, or nothing; what needs it); setup.cfg has the same, which a test compares
PACKAGES: Final[Mapping[str, tuple[str, str]]] = {
    "tensorflow": ("", "train, evaluate, export"),
    "keras": ("", "train, evaluate, export"),
    "numpy": ("", "everything"),
    "pillow": ("", "everything"),
    "safetensors": ("", "models"),
    "onnx": ("", "train, export"),
    "onnxruntime": ("", "predict, serve, report"),
    "rich": ("", "progress and tables"),
    "psutil": ("", "jobs on this machine"),
    "jinja2": ("", "report, check --html, serve"),
    "markupsafe": ("", "report, check --html, serve"),
    "shtab": ("", "--print-completion"),
    "boto3": ("aws", "s3://, trainings and endpoints on SageMaker"),
    "torch": ("torch", "import and weights of PyTorch's files"),
    "starlette": ("serve", "serve"),
    "uvicorn": ("serve", "serve"),
    "h11": ("serve", "serve"),
    "prometheus_client": ("serve", "serve"),
    "openvino": ("openvino", "--runtime openvino"),
    "pycocotools": ("convert", "convert coco"),
    "pyyaml": ("convert", "convert yolo"),
    "optuna": ("tune", "tuning on this machine"),
    "pandas": ("notebook", "an estimator's table of epochs"),
    "matplotlib": ("notebook", "an estimator's plot of epochs"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    found = describe_environment(verbose=options.verbose)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    for name in ("version", "python", "platform", "cpu", "memory", "devices"):
        print(f"{name:<12}{found[name]}")
    table = Table(box=None, pad_edge=False)
    for title in ("package", "version", "needed for", "install"):
        table.add_column(title, overflow="fold")
    for package in found["packages"]:
        table.add_row(package["name"], package["version"] or "-", package["needed_for"], package["install"])
    print()
    Console(highlight=False, markup=False, emoji=False).print(table)
    return 0


def describe_environment(*, verbose: bool = False) -> dict[str, Any]:
    """Return it as plain values. Loads TensorFlow, which knows the devices."""
    limit = memory_limit()
    packages = []
    for name, (extra, needed_for) in PACKAGES.items():
        version = find_version(name)
        install = "" if version else f"pip install 'sagemaker-semseg[{extra}]'" if extra else f"pip install {name}"
        packages.append({"name": name, "version": version, "needed_for": needed_for, "install": install})
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": f"{cpu_count()} of {platform.machine()}",
        "memory": f"{limit / 1e9:.1f} GB" if limit else "unknown",
        "devices": _devices(verbose),
        "packages": packages,
    }


def _devices(verbose: bool) -> str:
    try:
        from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow

        load_tensorflow(verbose=verbose)
        from sagemaker_semseg.training.devices import describe_devices

        return describe_devices()
    except Exception as error:  # a broken installation is what this command is for
        return f"TensorFlow can't be loaded: {type(error).__name__}: {error}"
