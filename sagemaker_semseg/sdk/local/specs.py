"""A specification as values that JSON can hold, and back: how a job was started, for the record of it.

The variables of its environment are left out: they may be secrets. ``LocalBackend`` writes, ``jobs`` reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.sdk import ranges
from sagemaker_semseg.sdk.local.job_store import Kind
from sagemaker_semseg.sdk.specs import Channel, EndpointSpec, ModelSpec, TrainingSpec, TransformSpec, TuningSpec

Spec = TypeVar("Spec", Channel, ModelSpec, TrainingSpec, TransformSpec, TuningSpec)


def to_values(spec: TrainingSpec | TransformSpec | EndpointSpec | TuningSpec) -> dict[str, Any]:
    values: dict[str, Any] = _plain(spec)
    return values


def spec_of(kind: Kind, values: Mapping[str, Any]) -> TrainingSpec | TransformSpec | None:
    """What ``to_values`` was given; None if the record is of another making, or of an endpoint."""
    try:
        if kind == "training":
            channels = tuple(_build(Channel, channel) for channel in values["channels"])
            return _build(TrainingSpec, {**values, "channels": channels})
        if kind == "transforms":
            return _build(TransformSpec, {**values, "model": _build(ModelSpec, values["model"])})
    except (LookupError, TypeError):
        pass
    return None


def tuning_spec(values: Mapping[str, Any]) -> TuningSpec | None:
    """The same of a tuning job."""
    try:
        faults: list[Fault] = []
        training, searched = spec_of("training", values["training"]), ranges.checked(values["ranges"], faults)
        if isinstance(training, TrainingSpec) and not faults:
            return _build(TuningSpec, {**values, "training": training, "ranges": searched})
    except (LookupError, TypeError):
        pass
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
