"""Checks values of a JSON file: integers and points."""

from __future__ import annotations

import json

import numpy as np

from sagemaker_semseg.convert.rle import ShapeError
from sagemaker_semseg.convert.shapes import Points

_LARGEST = 1 << 62


def whole(value: object) -> int | None:
    """Return an integer, also one written as 3.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -_LARGEST < value < _LARGEST else None


def points(value: object) -> Points:
    """Return (n, 2) float64 from [x, y, x, y, ...] or [[x, y], [x, y], ...]. Raises ``ShapeError``."""
    if isinstance(value, list) and value and all(isinstance(point, list) and len(point) == 2 for point in value):
        value = [number for point in value for number in point]
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise ShapeError(f"{show(value)} are no points", "pairs of numbers are expected")
    if len(value) % 2:
        raise ShapeError(f"{len(value)} numbers, as many x as y are expected", "export the annotation again")
    try:
        return np.array(value, np.float64).reshape(-1, 2)
    except OverflowError:  # an integer of hundreds of digits
        raise ShapeError("a coordinate that is too large a number", "fix or remove the outline") from None


def show(value: object) -> str:
    """Format a value for a message, cut short.

    Nested lists are left out: with YAML's aliases, a small file may hold a value that would take years to print.
    """
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list) and (len(value) > 8 or any(isinstance(entry, list | dict) for entry in value)):
        return f"a list of {len(value)}"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError):  # a number of too many digits; types of YAML that JSON doesn't have
        return type(value).__name__
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate can't be printed
    return text if len(text) <= 60 else text[:57] + "..."
