"""Checks the ranges that a tuning searches, and makes a parameter of each.

A range is a parameter of ``parameters`` or of AWS's SDK, a pair (lowest, highest), a list of choices, or None, which is
the range that the original documents; so is every range if nothing is given. Nothing beyond that range can be searched.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from sagemaker_semseg.errors import Fault, HyperparameterError
from sagemaker_semseg.hyperparameters import TABLE, Hyperparameter, Interval, resolve
from sagemaker_semseg.sdk.parameters import (
    SCALES,
    CategoricalParameter,
    ContinuousParameter,
    IntegerParameter,
    Parameter,
    scale_of,
)

TUNABLE = {row.name: row for row in TABLE if row.tunable is not None}


def documented(name: str) -> Parameter:
    """Return the whole range that the original documents as tunable."""
    row = TUNABLE[name]
    if not isinstance(row.tunable, Interval):
        return CategoricalParameter(row.tunable)
    low, high = row.tunable.low, row.tunable.high
    assert low is not None
    assert high is not None
    return IntegerParameter(int(low), int(high)) if row.kind == "integer" else ContinuousParameter(low, high)


def checked(
    given: Mapping[str, Any] | None, faults: list[Fault], *, fill: bool = False, keep: Sequence[str] = ()
) -> dict[str, Parameter]:
    """Return the parameters by name. fill: others get their documented range, except those in ``keep``."""
    if given is not None and not isinstance(given, Mapping):
        what = f"is {type(given).__name__}"
        faults.append(Fault("hyperparameter_ranges", what, "give a mapping of hyperparameters to their ranges"))
        return {}
    ranges: dict[str, Parameter] = {}
    for name, searched in (given or {}).items():
        found = _of_name(name)
        if isinstance(found, Fault):
            faults.append(found)
        elif searched is None:
            ranges[found.name] = documented(found.name)
        else:
            own_faults: list[Fault] = []
            parameter = _read(found, searched, own_faults)
            faults += own_faults
            if parameter is not None and not own_faults:
                ranges[found.name] = parameter
    if fill or not given:
        ranges.update({name: documented(name) for name in TUNABLE if name not in {*(given or ()), *keep}})
    if not ranges and not faults:
        faults.append(Fault("hyperparameter_ranges", "nothing is left to be searched", f"name some of {_names()}"))
    return ranges


def _of_name(name: Any) -> Hyperparameter | Fault:
    if name in TUNABLE:
        return TUNABLE[name]
    if any(row.name == name for row in TABLE):
        remedy = f"set it in the estimator; what can be searched: {_names()}"
        return Fault(str(name), "can't be tuned", remedy)
    near = difflib.get_close_matches(str(name), TUNABLE, n=1)
    return Fault(str(name)[:100], "there is no such hyperparameter", f"did you mean {near[0]}?" if near else _names())


def _names() -> str:
    return ", ".join(TUNABLE)


def _read(row: Hyperparameter, searched: Any, faults: list[Fault]) -> Parameter | None:
    get = searched.get if isinstance(searched, Mapping) else lambda name: getattr(searched, name, None)
    values = searched if isinstance(searched, list) else get("values")
    if values is not None and not callable(values):
        return _choices(row, list(values) if not isinstance(values, str) else [values], faults)
    pair = isinstance(searched, tuple) and len(searched) == 2
    low, high = searched if pair else (get("min_value"), get("max_value"))
    scale = (None if pair else get("scaling_type")) or "Auto"
    if not isinstance(row.tunable, Interval):
        faults.append(Fault(row.name, "is no number", f"give a list of choices of {', '.join(row.tunable or ())}"))
        return None
    if not (_is_number(low) and _is_number(high)):
        remedy = "give (lowest, highest), a list of choices, or an object like ContinuousParameter"
        faults.append(Fault(row.name, f"is no range: {str(searched)[:60]}", remedy))
        return None
    whole = row.kind == "integer"
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        faults.append(Fault(row.name, f"{low:g} to {high:g} came; whole numbers are expected", "give whole ends"))
        return None
    parameter = (
        IntegerParameter(int(low), int(high), str(scale))
        if whole
        else ContinuousParameter(float(low), float(high), str(scale))
    )
    faults += _faults_of(row, row.tunable, parameter)
    return parameter


def _faults_of(
    row: Hyperparameter, allowed: Interval, parameter: IntegerParameter | ContinuousParameter
) -> list[Fault]:
    low, high, scale = parameter.min_value, parameter.max_value, parameter.scaling_type
    if low > high:
        return [Fault(row.name, f"{low:g} to {high:g}: the lowest comes first", "swap them")]
    found = []
    if low not in allowed or high not in allowed:
        what = f"{low:g} to {high:g} came; the range that may be searched is {allowed.low:g} to {allowed.high:g}"
        found.append(Fault(row.name, what, "stay within it"))
    if scale not in SCALES:
        found.append(Fault(row.name, f"there is no scaling_type {scale!r}", f"one of {', '.join(SCALES)}"))
    elif scale_of(parameter) == "Logarithmic" and low <= 0:
        found.append(Fault(row.name, "a logarithmic scale has numbers above 0 alone", 'use "Linear"'))
    elif scale == "ReverseLogarithmic" and (row.kind == "integer" or low < 0 or high >= 1):
        found.append(Fault(row.name, "the scale ReverseLogarithmic is for numbers from 0 to below 1", 'use "Auto"'))
    return found


def _choices(row: Hyperparameter, values: list[Any], faults: list[Fault]) -> Parameter | None:
    if not values:
        faults.append(Fault(row.name, "has no choices", "name some"))
    for value in values:
        if isinstance(row.tunable, Interval):
            if not _valid(row, value) or float(value) not in row.tunable:
                what = f"{str(value)[:60]!r} came; {row.tunable.low:g} to {row.tunable.high:g} may be searched"
                faults.append(Fault(row.name, what, "choose within it"))
        elif str(value) not in (row.tunable or ()):
            near = difflib.get_close_matches(str(value), row.tunable or (), n=1)
            remedy = f"did you mean {near[0]}?" if near else f"one of {', '.join(row.tunable or ())}"
            faults.append(Fault(row.name, f"there is no choice {str(value)[:60]!r}", remedy))
    if len(set(map(str, values))) < len(values):
        faults.append(Fault(row.name, "has a choice twice", "name each once"))
    return CategoricalParameter(values)


def _valid(row: Hyperparameter, value: Any) -> bool:
    try:
        resolve({"num_classes": 2, "num_training_samples": 1, row.name: value})
    except HyperparameterError:
        return False
    return True


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
