"""Reads protocol buffers strictly, by a table of the expected fields; writes single fields.

The reader refuses all that another reader could interpret differently: unknown fields, a second value of a field that
isn't repeated (readers merge those), wrong wire types (readers skip those), groups. A table doesn't contain itself, so
messages are nested no deeper than tables.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MAX_TEXT_BYTES = 1024

_VARINT, _LENGTH, _FIXED32 = 0, 2, 5  # wire types


class Field(NamedTuple):
    """A field of a message.

    kind: "int" (64 bits), "float" (32 bits), "text" (UTF-8, up to ``MAX_TEXT_BYTES``), "bytes" (a memoryview, not
    copied), the table of a message, or "refused". A repeated field (of anything but floats) is a list.
    """

    name: str
    kind: str | Table
    repeated: bool = False


Table = Mapping[int, Field]


def read(data: bytes, table: Table, name: str, max_values: int) -> dict[str, Any]:
    """Reads a message into a dictionary; a missing field is missing, a missing repeated one is an empty list.

    Args:
        data: The bytes, which may be hostile.
        table: The fields by number.
        name: The message's name, for errors.
        max_values: Most messages, texts and numbers in it; limits time and memory.

    Raises:
        ValueError: The message isn't as expected; with the reason.
    """
    return _Reader(max_values).message(memoryview(data), table, name)


class _Reader:
    def __init__(self, max_values: int):
        self.max_values = self.left = max_values

    def message(self, data: memoryview, table: Table, where: str) -> dict[str, Any]:
        values: dict[str, Any] = {field.name: [] for field in table.values() if field.repeated}
        for number, wire, raw in fields(data, where):
            field = table.get(number, Field(f"field {number}", "refused"))
            name = f"{where}.{field.name}"
            if field.kind == "refused":
                raise ValueError(f"holds {name}, which is not allowed")
            if field.repeated:
                for one_wire, one in _unpacked(wire, raw, field, name):
                    values[field.name].append(self.value(one_wire, one, field, name))
            elif field.name in values:
                raise ValueError(f"has {name} twice")
            else:
                values[field.name] = self.value(wire, raw, field, name)
        return values

    def value(self, wire: int, raw: Any, field: Field, name: str) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"holds more than {self.max_values} values")
        if wire != _wire(field):
            raise ValueError(f"is damaged: {name} has wire type {wire}")
        if field.kind == "int":
            return raw - 2**64 if raw >= 2**63 else raw
        if field.kind == "float":
            return struct.unpack("<f", raw)[0]
        if field.kind == "text":
            return _text(raw, name)
        return raw if isinstance(field.kind, str) else self.message(raw, field.kind, name)


def _wire(field: Field) -> int:
    return {"int": _VARINT, "float": _FIXED32}.get(field.kind, _LENGTH) if isinstance(field.kind, str) else _LENGTH


def fields(data: memoryview, where: str) -> Iterator[tuple[int, int, Any]]:
    """Yields the number, wire type and content of each field: an int for a varint, else bytes that aren't copied.

    Raises ``ValueError`` if the message ``where`` is damaged.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at, where)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            raw, at = _varint(data, at, where)
            yield number, wire, raw
            continue
        if wire == _LENGTH:
            size, at = _varint(data, at, where)
        elif wire == _FIXED32:
            size = 4
        else:
            raise ValueError(f"is damaged: field {number} of {where} has wire type {wire}")
        if size > len(data) - at:
            raise ValueError(f"is cut off in field {number} of {where}")
        yield number, wire, data[at : at + size]
        at += size


def _unpacked(wire: int, raw: Any, field: Field, name: str) -> Iterator[tuple[int, Any]]:
    """The wire type and content of each value; repeated integers are single fields or packed in one."""
    if wire != _LENGTH or field.kind != "int":
        yield wire, raw
        return
    at = 0
    while at < len(raw):
        number, at = _varint(raw, at, name)
        yield _VARINT, number


def _varint(data: memoryview, at: int, where: str) -> tuple[int, int]:
    """The number that begins at ``at``, and its end."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            raise ValueError(f"is cut off in {where}")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128 and value < 2**64:
            return value, at
    raise ValueError(f"is damaged: a number in {where} has more than 64 bits")


def _text(raw: memoryview, name: str) -> str:
    if len(raw) > MAX_TEXT_BYTES:
        raise ValueError(f"has {len(raw)} bytes in {name}, {MAX_TEXT_BYTES} are the limit")
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"is damaged: {name} is not UTF-8") from None


# ---- writing


def field_head(number: int, size: int) -> bytes:
    """Returns what precedes the ``size`` bytes of a field: text, bytes or a message."""
    return varint(number << 3 | _LENGTH) + varint(size)


def varint(value: int) -> bytes:
    """Encodes an integer from 0 on."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
