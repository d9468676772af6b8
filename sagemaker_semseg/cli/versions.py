"""Versions of installed packages, without importing them."""

from __future__ import annotations

import platform
from importlib import metadata

from sagemaker_semseg import __version__
from sagemaker_semseg.error_handling import PROGRAM

ENGINES = {"TensorFlow": "tensorflow", "Keras": "keras", "ONNX Runtime": "onnxruntime"}


def find_version(package: str) -> str:
    """Return the version of an installed package; empty if it isn't installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def describe_version() -> str:
    """Return this package's version, and in a second line those of Python and the engines."""
    engines = [f"{name} {find_version(package) or 'is missing'}" for name, package in ENGINES.items()]
    return f"{PROGRAM} {__version__}\nPython {platform.python_version()}, {', '.join(engines)}"
