"""Values out of a JSON file: anything comes in, checked numbers and points go out. Called by the readers of formats."""

from __future__ import annotations

import json

import numpy as np

from sagemaker_semseg.convert.rle import Unusable
from sagemaker_semseg.convert.shapes import Points

_LARGEST = 1 << 62


def whole(value: object) -> int | None:
    """A whole number, also one written as 3.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -_LARGEST < value < _LARGEST else None


def points(value: object) -> Points:
    """(n, 2) float64 from [x, y, x, y, ...] or [[x, y], [x, y], ...]. Raises ``Unusable``."""
    if isinstance(value, list) and value and all(isinstance(point, list) and len(point) == 2 for point in value):
        value = [number for point in value for number in point]
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise Unusable(f"{show(value)} are no points", "pairs of numbers are expected")
    if len(value) % 2:
        raise Unusable(f"{len(value)} numbers, as many x as y are expected", "export the annotation again")
    try:
        return np.array(value, np.float64).reshape(-1, 2)
    except OverflowError:  # a whole number of hundreds of digits
        raise Unusable("a coordinate that is too large a number", "mend or remove the outline") from None


def show(value: object) -> str:
    """A value for a message, as the file has it, cut short.

    Not what lists hold in lists: YAML's aliases may make of a small file a value that would take years to print.
    """
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list) and (len(value) > 8 or any(isinstance(entry, list | dict) for entry in value)):
        return f"a list of {len(value)}"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError):  # a number of too many digits; what YAML knows beyond JSON
        return type(value).__name__
    text = text.encode("utf-8", "replace").decode()  # half a pair of surrogates can't be printed
    return text if len(text) <= 60 else text[:57] + "..."
