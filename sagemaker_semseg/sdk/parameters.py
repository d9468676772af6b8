"""Ranges that a tuning searches, by the names of the SageMaker Python SDK 2.

The scales are SageMaker's. Logarithmic: each factor of ten is as likely as any other. ReverseLogarithmic: the same of
1 - x, for values near 1. Auto is Logarithmic for a range over two or more factors of ten, else Linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

SCALES: Final = ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")
_FACTOR_OF_AUTO: Final = 100


@dataclass(frozen=True)
class ContinuousParameter:
    """A number from min_value to max_value."""

    min_value: float
    max_value: float
    scaling_type: str = "Auto"


@dataclass(frozen=True)
class IntegerParameter:
    """A whole number from min_value to max_value."""

    min_value: int
    max_value: int
    scaling_type: str = "Auto"


@dataclass(frozen=True, init=False)
class CategoricalParameter:
    """One of a list of choices, which are kept as strings, as in v2."""

    values: tuple[str, ...]

    def __init__(self, values: Any):
        choices = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        object.__setattr__(self, "values", tuple(map(str, choices)))


Parameter = ContinuousParameter | IntegerParameter | CategoricalParameter


def scale_of(parameter: ContinuousParameter | IntegerParameter) -> str:
    """Return the scale of a range, with Auto decided."""
    if parameter.scaling_type != "Auto":
        return parameter.scaling_type
    low, high = parameter.min_value, parameter.max_value
    return "Logarithmic" if low > 0 and low * _FACTOR_OF_AUTO <= high else "Linear"
