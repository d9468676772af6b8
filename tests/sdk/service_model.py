"""What botocore itself leaves unchecked in a request: enums, patterns, lengths and ranges, as its model has them.

``check(action, request)`` fails on the first thing that SageMaker would refuse by its model. botocore's own
check (names, types, what is required) comes first.
"""

from __future__ import annotations

import re
from functools import cache

import botocore.session
from botocore.validate import ParamValidator


@cache
def model(service: str = "sagemaker"):
    return botocore.session.get_session().get_service_model(service)


def faults(action: str, request: dict, service: str = "sagemaker") -> list[str]:
    shape = model(service).operation_model(action).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        return [report.generate_report()]
    return list(_walk(shape, request, action))


def check(action: str, request: dict, service: str = "sagemaker") -> dict:
    assert faults(action, request, service) == []
    return request


def _walk(shape, value, where):
    bounds = shape.metadata
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from _walk(shape.members[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        yield from _size(bounds, len(value), where)
        for number, member in enumerate(value):
            yield from _walk(shape.member, member, f"{where}[{number}]")
    elif shape.type_name == "map":
        yield from _size(bounds, len(value), where)
        for key, member in value.items():
            yield from _walk(shape.key, key, f"{where} key {key}")
            yield from _walk(shape.value, member, f"{where}[{key}]")
    elif shape.type_name == "string":
        yield from _size(bounds, len(value), where)
        if bounds.get("enum") and value not in bounds["enum"]:
            yield f"{where}: {value!r} is none of its values"
        pattern = bounds.get("pattern")
        if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value):
            yield f"{where}: {value!r} doesn't match {pattern}"
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _size(bounds, value, where)


def _size(bounds, size, where):
    if not bounds.get("min", size) <= size <= bounds.get("max", size):
        yield f"{where}: {size} is not in {bounds.get('min')}..{bounds.get('max')}"
