"""Ranges that a tuning job searches, by v2's names: two ends or a list of choices come in; a value for each place in
[0, 1) goes out, and the place of a value. ``ranges`` checks them, the strategies of local tuning ask them.

The scales are SageMaker's. Logarithmic: each factor of ten is as likely as any other. ReverseLogarithmic: the same of
1 - x, for what comes near to 1. Auto is Logarithmic for a range over two or more factors of ten, else Linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

SCALES: Final = ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")
_FACTOR_OF_AUTO: Final = 100


@dataclass(frozen=True)
class ContinuousParameter:
    """A number from min_value to max_value.

    >>> ContinuousParameter(1e-4, 1e-2).at(0.5)
    0.001
    """

    min_value: float
    max_value: float
    scaling_type: str = "Auto"

    def at(self, place: float) -> float:
        """The value at a place in [0, 1), rounded to six digits where these stay in the range."""
        low, high = self._scaled(self.min_value), self._scaled(self.max_value)
        value = self._unscaled(low + place * (high - low))
        rounded = float(f"{value:.6g}")
        within = self.min_value <= rounded <= self.max_value
        return rounded if within else min(max(value, self.min_value), self.max_value)

    def place(self, value: float) -> float:
        low, high = self._scaled(self.min_value), self._scaled(self.max_value)
        return (self._scaled(value) - low) / (high - low) if high > low else 0.0

    def _scaled(self, value: float) -> float:
        match scale_of(self):
            case "Logarithmic":
                return math.log(value)
            case "ReverseLogarithmic":
                return -math.log1p(-value)
        return value

    def _unscaled(self, value: float) -> float:
        match scale_of(self):
            case "Logarithmic":
                return math.exp(value)
            case "ReverseLogarithmic":
                return -math.expm1(-value)
        return value


@dataclass(frozen=True)
class IntegerParameter:
    """A whole number from min_value to max_value, each as likely as the scale says."""

    min_value: int
    max_value: int
    scaling_type: str = "Auto"

    def at(self, place: float) -> int:
        low, high = self._ends
        value = math.exp(low + place * (high - low)) if self._logarithmic else low + place * (high - low)
        return min(max(math.floor(value), self.min_value), self.max_value)

    def place(self, value: int) -> float:
        """Of the middle of what gives this value."""
        low, high = self._ends
        middle = (math.log(value) + math.log(value + 1)) / 2 if self._logarithmic else value + 0.5
        return (middle - low) / (high - low)

    @property
    def _logarithmic(self) -> bool:
        return scale_of(self) == "Logarithmic"

    @property
    def _ends(self) -> tuple[float, float]:
        """On the scale; each whole number has the room up to the next one."""
        low, high = self.min_value, self.max_value + 1
        return (math.log(low), math.log(high)) if self._logarithmic else (low, high)


@dataclass(frozen=True, init=False)
class CategoricalParameter:
    """One of a list of choices, which are kept as strings, as v2 does."""

    values: tuple[str, ...]

    def __init__(self, values: Any):
        choices = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        object.__setattr__(self, "values", tuple(map(str, choices)))


Parameter = ContinuousParameter | IntegerParameter | CategoricalParameter


def scale_of(parameter: ContinuousParameter | IntegerParameter) -> str:
    """Its scale, with Auto decided."""
    if parameter.scaling_type != "Auto":
        return parameter.scaling_type
    low, high = parameter.min_value, parameter.max_value
    return "Logarithmic" if low > 0 and low * _FACTOR_OF_AUTO <= high else "Linear"
