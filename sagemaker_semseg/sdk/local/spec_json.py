"""Specifications as values for JSON and back, for the records of jobs.

The variables of the environment are left out: they may be secrets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.sdk import ranges
from sagemaker_semseg.sdk.specs import Channel, EndpointSpec, ModelSpec, TrainingSpec, TransformSpec, TuningSpec

Spec = TypeVar("Spec", Channel, ModelSpec, TrainingSpec, TransformSpec, TuningSpec)


def to_values(spec: TrainingSpec | TransformSpec | EndpointSpec | TuningSpec) -> dict[str, Any]:
    """Return a specification as values for JSON."""
    values: dict[str, Any] = _plain(spec)
    return values


def read_spec(kind: type[Spec], values: Mapping[str, Any]) -> Spec | None:
    """Return the specification of a class that ``to_values`` was given; None for other values."""
    try:
        nested = dict(values)
        if kind is TrainingSpec:
            nested["channels"] = tuple(_build(Channel, channel) for channel in values["channels"])
        elif kind is TransformSpec:
            nested["model"] = _build(ModelSpec, values["model"])
        elif kind is TuningSpec:
            faults: list[Fault] = []
            nested["ranges"] = ranges.checked(values["ranges"], faults)
            nested["training"] = read_spec(TrainingSpec, values["training"])
            if faults or nested["training"] is None:
                return None
        return _build(kind, nested)
    except (LookupError, TypeError):
        return None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.name != "environment"]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _build(cls: Callable[..., Spec], values: Mapping[str, Any]) -> Spec:
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # one of the dataclasses
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return cls(**{name: value for name, value in lists.items() if name in names})
