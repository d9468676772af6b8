"""``sagemaker.amazon.record_pb2``: reads the message in which the endpoint sends probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.deserializers import read_record_message


@dataclass(frozen=True)
class Tensor:
    """values: numbers, in the order of ``shape``."""

    values: Any = ()
    keys: Any = ()
    shape: Any = ()


@dataclass(frozen=True)
class Bytes:
    """value: the bytes, such as float16 numbers."""

    value: bytes = b""


@dataclass(frozen=True)
class Value:
    """One entry of a record."""

    float32_tensor: Tensor = field(default_factory=Tensor)
    int32_tensor: Tensor = field(default_factory=Tensor)
    bytes: Bytes = field(default_factory=Bytes)


class Record:
    """A record as the endpoint sends it, with the reading half of protobuf's interface.

    features: ``features["target"].float32_tensor.values`` has the probabilities, ``features["shape"]`` their shape.
    """

    def __init__(self) -> None:
        self.features: dict[str, Value] = {}

    def ParseFromString(self, serialized: bytes) -> int:
        """Read a message and return its length. Raises ``DataError`` if it is damaged."""
        try:
            message = read_record_message(bytes(serialized))
        except ValueError as error:
            raise DataError("The record can't be read:", [Fault("the message", str(error))]) from None
        self.features = {entry.get("key", ""): _value(entry.get("value", {})) for entry in message["features"]}
        return len(serialized)

    @classmethod
    def FromString(cls, serialized: bytes) -> Record:
        """Return the record of a message. Raises ``DataError`` if it is damaged."""
        record = cls()
        record.ParseFromString(serialized)
        return record


def _value(message: Mapping[str, Any]) -> Value:
    floats = message.get("float32_tensor", {})
    integers = message.get("int32_tensor", {})
    return Value(
        Tensor(np.frombuffer(floats.get("values", b""), "<f4"), floats.get("keys", ()), floats.get("shape", ())),
        Tensor(integers.get("values", ()), integers.get("keys", ()), integers.get("shape", ())),
        Bytes(message.get("bytes", {}).get("value", b"")),
    )


__getattr__ = not_here.attribute_of(__name__)
