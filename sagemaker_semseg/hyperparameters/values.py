"""Checks the values that a user gives and makes ``Hyperparameters`` of them.

SageMaker delivers every value as a string; its framework estimators encode them in JSON once more, so that ``fcn``
arrives as ``"fcn"`` with the quotes. Both are read, and so are the Python values that a notebook holds.
"""

from __future__ import annotations

import difflib
import json
import math
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker_semseg.errors import Fault, HyperparameterError
from sagemaker_semseg.hyperparameters.table import (
    LARGEST_INTEGER,
    PRESETS,
    TABLE,
    Hyperparameter,
    Hyperparameters,
    Kind,
)

# A tuning job adds these to what the user gave; a training ignores them.
_TOLERATED = frozenset({"_tuning_objective_metric"})

_ROWS = {row.name: row for row in TABLE}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class _Refused(ValueError):
    """A value is not of its row's kind; the text, if any, adds a reason."""


@dataclass(frozen=True)
class Resolution:
    """What follows from the given values, right or wrong.

    Attributes:
        hyperparameters: the checked hyperparameters; None if anything is wrong.
        error: everything that is wrong; None if nothing is.
        values: typed values of the hyperparameters that are right by themselves, defaults included.
    """

    hyperparameters: Hyperparameters | None
    error: HyperparameterError | None
    values: Mapping[str, Any]


def resolve(values: Mapping[str, object]) -> Hyperparameters:
    """Return checked hyperparameters, with defaults for what is left out or None.

    Args:
        values: names with strings or Python values, JSON-quoted or not.

    Raises:
        HyperparameterError: with all faults: unknown names (and the nearest known one), wrong types, values out of
            range, missing ones, and those that contradict each other.

    Example:
        >>> resolve({"num_classes": "11", "crop_size": 64}).crop_size
        64
    """
    resolution = try_resolve(values)
    if resolution.hyperparameters is None:
        assert resolution.error is not None
        raise resolution.error
    return resolution.hyperparameters


def try_resolve(values: Mapping[str, object]) -> Resolution:
    """Return what follows from ``values``, also where some of them are wrong; as ``resolve``, without raising."""
    if not isinstance(values, Mapping):
        message = f"Hyperparameters must be a mapping of names to values, not {type(values).__name__}"
        return Resolution(None, HyperparameterError(message), {})
    faults: list[Fault] = []
    typed: dict[str, Any] = {}
    for name, value in values.items():
        row = _ROWS.get(name) if isinstance(name, str) else None
        if row is None:
            if name not in _TOLERATED:
                faults.append(_unknown(name))
        elif value is not None:
            try:
                typed[row.name] = _PARSERS[row.kind](row, _unquoted(value))
            except _Refused as refused:
                faults.append(_refused(row, value, str(refused)))
    wrong = {fault.where for fault in faults}
    preset = {name: value for name, value in PRESETS[typed.get("preset", "original")].items() if name not in wrong}
    typed = {**preset, **typed}
    absent = [row for row in TABLE if row.name not in typed and row.name not in wrong]
    faults += [
        Fault(row.name, f"is missing, {row.expected} is expected", f"add {row.name}") for row in absent if row.required
    ]
    known = {**{row.name: row.default for row in absent if not row.required}, **typed}
    faults += _contradictions(known)
    if faults:
        count = "A hyperparameter" if len(faults) == 1 else f"{len(faults)} hyperparameters"
        return Resolution(None, HyperparameterError(f"{count} can't be used:", faults), known)
    return Resolution(Hyperparameters(**typed), None, known)


def to_strings(hyperparameters: Hyperparameters) -> dict[str, str]:
    """Return every value as a string that ``resolve`` reads back; a ``num_training_samples`` of None is left out."""
    values = {row.name: getattr(hyperparameters, row.name) for row in TABLE}
    return {
        name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
        if value is not None
    }


def _contradictions(values: Mapping[str, Any]) -> list[Fault]:
    """Faults of values that are each right but not together."""
    value = values.get
    faults = []
    if value("lr_scheduler") == "step" and value("lr_scheduler_step") == ():
        what = "is missing, lr_scheduler=step requires it"
        faults.append(Fault("lr_scheduler_step", what, "add the epochs after which the rate falls, such as '10, 20'"))
    classes, weights = value("num_classes"), value("class_weights")
    if classes is not None and isinstance(weights, tuple) and weights and len(weights) != classes:
        what = f"num_classes is {classes}, but {len(weights)} weights came"
        faults.append(Fault("class_weights", what, "give one weight for every class, or 'auto'"))
    names = value("class_names")
    if classes is not None and names and len(names) != classes:
        what = f"num_classes is {classes}, but {len(names)} names came"
        faults.append(Fault("class_names", what, "give one name for every class, from label 0 on"))
    scales = value("scale_range")
    if scales is not None and (len(scales) != 2 or scales[0] > scales[1]):
        what = f"a smallest and a largest factor are expected, {', '.join(f'{scale:g}' for scale in scales)} came"
        faults.append(Fault("scale_range", what, "give two, such as '0.5, 2'"))
    epochs, frozen = value("epochs"), value("freeze_backbone_epochs")
    if epochs is not None and frozen is not None and frozen > epochs:
        what = f"{frozen} epochs of a frozen backbone are more than {epochs} epochs"
        faults.append(Fault("freeze_backbone_epochs", what, "make it epochs at most"))
    epochs, warmup = value("epochs"), value("warmup_epochs")
    if epochs is not None and warmup is not None and warmup >= epochs:
        what = f"{warmup:g} epochs of warm-up leave nothing of {epochs} epochs"
        faults.append(Fault("warmup_epochs", what, "make it smaller than epochs"))
    return faults


# ---- one parser for each kind of row


def _unquoted(value: object) -> object:
    """A string without the blanks and the JSON quotes around it; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            inner = json.loads(text)
        except ValueError:
            return text
        return inner.strip() if isinstance(inner, str) else text
    return text


def _choice(row: Hyperparameter, value: object) -> str:
    if isinstance(value, numbers.Integral):  # output_stride=16
        value = next((choice for choice in row.choices if choice.isdigit() and int(choice) == value), value)
    if not isinstance(value, str) or value not in row.choices + row.hidden_choices:
        raise _Refused
    return value


def _boolean(row: Hyperparameter, value: object) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "1", "false", "0"):
        return value.lower() in ("true", "1")
    raise _Refused


def _integer(row: Hyperparameter, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Integral)):
        raise _Refused
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise _Refused
    try:
        number = int(value)
    except ValueError:  # Python refuses thousands of digits
        number = LARGEST_INTEGER + 1
    if abs(number) > LARGEST_INTEGER:
        raise _Refused(f"whole numbers end at {LARGEST_INTEGER}")
    if number not in row.interval:
        raise _Refused
    return number


def _number(row: Hyperparameter, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise _Refused
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise _Refused
    try:
        number = float(value)
    except OverflowError:  # an integer that no float can hold
        number = math.inf
    if not math.isfinite(number):
        raise _Refused("the number must be finite")
    if number not in row.interval:
        raise _Refused
    return number


def _entries(value: object) -> list[object]:
    """The entries of ``"10, 20"``, ``"[10, 20]"`` or ``[10, 20]``; none of an empty string."""
    if isinstance(value, str):
        text = value[1:-1].strip() if value.startswith("[") and value.endswith("]") else value
        return [_unquoted(entry) for entry in text.split(",")] if text else []
    if isinstance(value, (list, tuple)):
        return [_unquoted(entry) for entry in value]
    return [value]  # a single number is a list of one


def _integers(row: Hyperparameter, value: object) -> tuple[int, ...]:
    entries = tuple(sorted(_integer(row, entry) for entry in _entries(value)))
    if len(set(entries)) < len(entries):
        raise _Refused("the same epoch is listed twice")
    return entries


def _weights(row: Hyperparameter, value: object) -> tuple[float, ...] | str:
    if isinstance(value, str) and value == "auto":
        return "auto"
    entries = tuple(_number(row, entry) for entry in _entries(value))
    if entries and not any(entries):
        raise _Refused("not all weights can be 0")
    return entries


def _scales(row: Hyperparameter, value: object) -> tuple[float, ...]:
    entries = tuple(_number(row, entry) for entry in _entries(value))
    if not 1 <= len(entries) <= 16:
        raise _Refused("1 to 16 of them")
    return entries


def _names(row: Hyperparameter, value: object) -> tuple[str, ...]:
    entries = _entries(value)
    names = tuple(entry.strip() for entry in entries if isinstance(entry, str))
    if len(names) < len(entries):
        raise _Refused
    reasons = ["a name is empty"] if not all(names) else []
    if not all(name.isprintable() and "," not in name for name in names):
        reasons.append("a name holds a comma, or what can't be printed")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        reasons.append(f"{', '.join(twice[:5])} is there twice")
    if reasons:
        raise _Refused(", ".join(reasons))
    return names


_PARSERS: dict[Kind, Callable[[Hyperparameter, object], Any]] = {
    "choice": _choice,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "integers": _integers,
    "weights": _weights,
    "scales": _scales,
    "names": _names,
}


# ---- messages


def _refused(row: Hyperparameter, value: object, reason: str) -> Fault:
    what = f"{row.expected} is expected, {_shown(value)} came" + (f"; {reason}" if reason else "")
    near = _nearest(value, row.choices)
    return Fault(row.name, what, f"did you mean {near}?" if near else "")


def _unknown(name: object) -> Fault:
    near = _nearest(name, tuple(_ROWS))
    where = name if isinstance(name, str) and name.isidentifier() and len(name) <= 64 else _shown(name)
    return Fault(where, "there is no such hyperparameter", f"did you mean {near}?" if near else "")


def _nearest(word: object, known: tuple[str, ...]) -> str:
    if not isinstance(word, str) or len(word) > 64:
        return ""
    plain = {name.replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(word.strip().lower().replace("-", "_"), plain, n=1)
    return plain[found[0]] if found else ""


def _shown(value: object) -> str:
    """A value for a message: short, and safe for objects that can't even be printed."""
    try:
        text = repr(value)
    except Exception:  # such as an integer of too many digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
