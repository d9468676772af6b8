"""Turns an endpoint's reply into what ``predict`` returns.

The protocol is the SageMaker Python SDK 2's: any object with ``ACCEPT``, a string or a tuple of them, and
``deserialize(stream, content_type)``. A reply comes from outside: its claims are checked against its bytes.
"""

from __future__ import annotations

import abc
import io
import math
import re
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.artifact.protobuf import Field, Table, read
from sagemaker_semseg.data.images import decode_mask
from sagemaker_semseg.data.recordio import read_records
from sagemaker_semseg.errors import DataError, Fault

RECORDIO: Final = "application/x-recordio-protobuf"
_PROTOBUF: Final = (RECORDIO, "application/x-protobuf")
_NPY: Final = "application/x-npy"
_AGAIN: Final = "try again; if it happens again, read the endpoint's log"

# record.proto of the SageMaker Python SDK 2: what a reply can have of it
_INTS: Final[Table] = {
    1: Field("values", "int", repeated=True),
    2: Field("keys", "int", repeated=True),
    3: Field("shape", "int", repeated=True),
}
_FLOATS: Final[Table] = {
    1: Field("values", "bytes"),  # packed: little-endian, one after the other
    2: Field("keys", "int", repeated=True),
    3: Field("shape", "int", repeated=True),
}
_VALUE: Final[Table] = {
    2: Field("float32_tensor", _FLOATS),
    7: Field("int32_tensor", _INTS),
    9: Field("bytes", {1: Field("value", "bytes")}),
}
_RECORD: Final[Table] = {
    1: Field("features", {1: Field("key", "text"), 2: Field("value", _VALUE)}, repeated=True),
    3: Field("uid", "text"),
    4: Field("metadata", "text"),
    5: Field("configuration", "text"),
}
_MAX_VALUES: Final = 64
_NPY_HEAD: Final = re.compile(
    rb"\x93NUMPY\x01\x00..(\{'descr': '(?P<descr><f[24])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>(?:[1-9][0-9]{0,9}, ?){0,8}[1-9][0-9]{0,9},?)\), \} *\n)",
    re.DOTALL,
)


class Deserializer(Protocol):
    """What ``predict`` needs of a deserializer."""

    @property
    def ACCEPT(self) -> Any:
        """The content types to ask for: a string, or a tuple of them."""

    def deserialize(self, stream: Any, content_type: str) -> Any:
        """Return what ``predict`` returns. stream: has ``read`` and ``close``."""


class BaseDeserializer(abc.ABC):
    """A base class for deserializers of your own, as in SDK 2; deriving from it is optional."""

    @property
    @abc.abstractmethod
    def ACCEPT(self) -> Any:
        """The content types to ask for: a string, or a tuple of them."""

    @abc.abstractmethod
    def deserialize(self, stream: Any, content_type: str) -> Any:
        """Return what ``predict`` returns. stream: has ``read`` and ``close``."""


class BytesDeserializer(BaseDeserializer):
    """Returns the reply's bytes. accept: the content type to ask for."""

    def __init__(self, accept: str = "*/*"):
        self.accept = accept

    @property
    def ACCEPT(self) -> tuple[str, ...]:
        return (self.accept,)

    def deserialize(self, stream: Any, content_type: str) -> bytes:
        try:
            content: bytes = stream.read()
            return content
        finally:
            stream.close()


class ArrayDeserializer(BaseDeserializer):
    """Returns labels (H, W) uint8, or probabilities (C, H, W) float32 (float16 if asked for).

    Args:
        accept: "image/png" for labels; "application/x-recordio-protobuf" or "application/x-npy" for probabilities.

    Example:
        predictor.deserializer = ArrayDeserializer("application/x-npy")
    """

    def __init__(self, accept: str = "image/png"):
        self.accept = accept

    @property
    def ACCEPT(self) -> tuple[str, ...]:
        return (self.accept,)

    def deserialize(self, stream: Any, content_type: str) -> npt.NDArray[Any]:
        """Return the array. Raises ``DataError`` for any other reply."""
        try:
            return array_of(stream.read(), content_type)
        finally:
            stream.close()


def array_of(content: bytes, content_type: str) -> npt.NDArray[Any]:
    """Return labels (H, W) uint8 or probabilities (C, H, W) from a reply. Raises ``DataError`` if it is damaged."""
    kind = content_type.split(";")[0].strip().lower()
    try:
        if kind == "image/png":
            return decode_mask(content, "the reply")
        if kind in _PROTOBUF:
            return _of_record(content)
        if kind == _NPY:
            return _of_npy(content)
    except ValueError as error:
        raise _refusal(str(error)) from None
    raise _refusal(f"is {content_type[:100]!r}; image/png, {', '.join(_PROTOBUF)} or {_NPY} are expected")


def read_record_message(content: bytes) -> dict[str, Any]:
    """Read one message ``Record`` of SDK 2's record.proto. Raises ``ValueError`` if it is damaged."""
    return read(content, _RECORD, "Record", _MAX_VALUES)


def _of_record(content: bytes) -> npt.NDArray[Any]:
    records = read_records(io.BytesIO(content), "the reply")
    message = read_record_message(next(records, b""))
    if next(records, None) is not None:
        raise ValueError("has more than one record")
    features = {entry.get("key"): entry.get("value", {}) for entry in message["features"]}
    target = features.get("target", {})
    shape = features.get("shape", {}).get("int32_tensor", {}).get("values", [])
    if "float32_tensor" in target:
        values = np.frombuffer(target["float32_tensor"].get("values", b""), "<f4")
    else:
        values = np.frombuffer(target.get("bytes", {}).get("value", b""), "<f2")
    if not shape or min(shape) < 1 or math.prod(shape) != values.size:
        raise ValueError(f"has the shape {shape[:8]} and {values.size} values")
    return _without_batch(values.reshape(shape))


def _of_npy(content: bytes) -> npt.NDArray[Any]:
    """Read an array of floats as the endpoint writes it. numpy's reader would believe the shape and allocate it."""
    found = _NPY_HEAD.match(content)
    if not found or len(found[1]) != int.from_bytes(content[8:10], "little"):
        raise ValueError("has no header of a .npy of version 1.0 with float16 or float32")
    shape = [int(size) for size in found["shape"].split(b",") if size.strip()]
    values = np.frombuffer(content, found["descr"].decode(), offset=found.end())
    if math.prod(shape) != values.size:
        raise ValueError(f"has the shape {shape[:8]} and {values.size} values")
    return _without_batch(values.reshape(shape))


def _without_batch(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim != 4 or values.shape[0] != 1:
        raise ValueError(f"has the shape {values.shape}, (1, classes, height, width) is expected")
    return values[0]


def _refusal(what: str) -> DataError:
    return DataError("The endpoint's reply can't be read:", [Fault("the reply", what, _AGAIN)])
