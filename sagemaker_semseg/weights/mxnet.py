"""Reads and writes MXNet's NDArray lists, the ``.params`` files of Gluon and of AWS's algorithm, without MXNet.

The format, taken from files of MXNet 1.9.1, is a list of records, each with shape, type and raw data, then a list of
names. Every claim of a record is checked against the bytes that are left, and arrays are views of the file's bytes: a
file takes no more memory than it has bytes, but for bfloat16, which numpy doesn't have.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from sagemaker_semseg.errors import ArtifactError, Fault

LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE, _SPARSE = 0, (1, 2)
_BFLOAT16 = 12
_CODES = {
    0: "f4", 1: "f8", 2: "f2", 3: "u1", 4: "i4", 5: "i1", 6: "i8", 7: "?", 8: "i2", 9: "u2", 10: "u4", 11: "u8",
}  # fmt: skip
_TYPES = {code: np.dtype(text).newbyteorder("<") for code, text in _CODES.items()} | {_BFLOAT16: np.dtype("<u2")}

MAX_ARRAYS = 100_000
MAX_NAME_BYTES = 1000
_MAX_DIMENSIONS = 32
_MAX_SIZE = 2**40
_FIX = "copy or download the file again"

Array = np.ndarray[Any, Any]


def read(data: bytes, where: str) -> dict[str, Array]:
    """The arrays of an NDArray list of any of MXNet's versions, V0 to V3.

    Args:
        data: the file.
        where: its name, for messages.

    Returns:
        The arrays by name, in the file's order; the names are "0", "1", ... where the list has none. They are read-only
        views of ``data``; bfloat16 becomes float32, and an array that was never filled has the shape (0,).

    Raises:
        ArtifactError: if the file is no such list, or damaged.
    """
    cursor = _Cursor(memoryview(data), where)
    if cursor.u64("the list's magic number") != LIST_MAGIC:
        cursor.stop("is not a list of MXNet arrays", "give a file that save_parameters, export or nd.save wrote")
    cursor.u64("a reserved number")
    count = cursor.count("arrays", 4)
    arrays = [_record(cursor, f"array {number}") for number in range(count)]
    named = cursor.count("names", 8)
    if named not in (0, count):
        cursor.stop(f"has {named} names for {count} arrays")
    names = [_name(cursor, f"the name of array {number}") for number in range(named)] or list(map(str, range(count)))
    if cursor.left:
        cursor.stop(f"has {cursor.left} bytes after its end", _FIX)
    result: dict[str, Array] = {}
    for name, array in zip(names, arrays, strict=True):
        if name in result:
            cursor.stop(f"has two arrays of the name {name[:60]!a}")
        result[name] = array
    return result


def write(arrays: Mapping[str, Array]) -> Iterator[bytes]:
    """The pieces of a ``.params`` file with ``arrays`` in their order, byte for byte as MXNet 1.9.1 writes it.

    Raises ValueError for a type of numbers that MXNet has not.
    """
    codes = {dtype: code for code, dtype in _TYPES.items() if code != _BFLOAT16}
    yield struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))
    for name, array in arrays.items():
        little = array.dtype.newbyteorder("<")
        if little not in codes:
            raise ValueError(f"{name}: MXNet has no arrays of {array.dtype}")
        shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
        yield struct.pack("<Ii", _V2, _DENSE) + shape + struct.pack("<iii", 1, 0, codes[little])
        yield array.astype(little, copy=False).tobytes()
    yield struct.pack("<Q", len(arrays))
    for name in arrays:
        text = name.encode()
        yield struct.pack("<Q", len(text)) + text


class _Cursor:
    """A position in the file. It never reads beyond the end."""

    def __init__(self, data: memoryview, where: str):
        self.data, self.where, self.at = data, where, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def stop(self, what: str, remedy: str = "") -> NoReturn:
        raise ArtifactError("These weights can't be read:", [Fault(self.where, what, remedy)])

    def take(self, size: int, what: str) -> memoryview:
        if size > self.left:
            self.stop(f"ends within {what}: {size} bytes are expected at {self.at}, {self.left} are there", _FIX)
        self.at += size
        return self.data[self.at - size : self.at]

    def i32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little", signed=True)

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        return int.from_bytes(self.take(8, what), "little")

    def count(self, what: str, smallest: int) -> int:
        """The number of things that follow, of ``smallest`` bytes or more each."""
        number = self.u64(f"the number of {what}")
        if number > min(MAX_ARRAYS, self.left // smallest):
            self.stop(f"claims {number} {what} in the {self.left} bytes that follow, {MAX_ARRAYS} at most", _FIX)
        return number

    def shape(self, what: str, dimensions: int | None = None, side: int = 8) -> tuple[int, ...] | None:
        """Sides of an array, ``side`` bytes each; None for ndim -1, which is an array without a shape."""
        ndim = self.i32(f"the shape of {what}") if dimensions is None else dimensions
        if ndim == -1:
            return None
        if not 0 <= ndim <= _MAX_DIMENSIONS:
            self.stop(f"{what} claims {ndim} dimensions, {_MAX_DIMENSIONS} are the limit", _FIX)
        raw = np.frombuffer(self.take(side * ndim, f"the shape of {what}"), f"<{'i' if side == 8 else 'u'}{side}")
        sides = tuple(int(length) for length in raw)
        # a side of 0 doesn't make the others harmless: numpy refuses shapes whose product it can't count
        if not all(length >= 0 for length in sides) or math.prod(max(length, 1) for length in sides) > _MAX_SIZE:
            self.stop(f"{what} claims the shape {sides}", _FIX)
        return sides

    def numbers(self, code: int, shape: tuple[int, ...], what: str) -> Array:
        """Raw data of the type that ``code`` stands for."""
        if code not in _TYPES:
            self.stop(f"{what} has an unknown type of numbers ({code})")
        raw = self.take(math.prod(shape) * _TYPES[code].itemsize, what)
        array = np.frombuffer(raw, np.uint8 if code == 7 else _TYPES[code]).reshape(shape)
        if code == 7:
            return array != 0
        return (array.astype("<u4") << 16).view("<f4") if code == _BFLOAT16 else array


def _name(cursor: _Cursor, what: str) -> str:
    length = cursor.u64(what)
    if length > MAX_NAME_BYTES:
        cursor.stop(f"{what} claims {length} bytes, {MAX_NAME_BYTES} are the limit", _FIX)
    try:
        return bytes(cursor.take(length, what)).decode()
    except UnicodeDecodeError:
        cursor.stop(f"{what} is not UTF-8", _FIX)


def _record(cursor: _Cursor, what: str) -> Array:
    """One array. V0 starts with the number of dimensions, later versions with a magic number."""
    magic = cursor.u32(what)
    if magic in (_V2, _V3):
        storage = cursor.i32(f"the storage of {what}")
        if storage in _SPARSE:
            cursor.stop(f"{what} is sparse, which no weights of these networks are")
        if storage != _DENSE:
            cursor.stop(f"{what} is stored in an unknown way ({storage})", _FIX)
    if magic in (_V1, _V2, _V3):
        shape = cursor.shape(what)
    else:
        shape = cursor.shape(what, magic, side=4)
    if shape is None or (not shape and magic != _V3):
        return np.zeros(0, np.float32)
    cursor.take(8, f"the device of {what}")
    code = cursor.i32(f"the type of {what}")
    return cursor.numbers(code, shape, what)
