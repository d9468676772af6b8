"""MXNet records built by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest


def params(records: Sequence[bytes], names: Sequence[str] = ()) -> bytes:
    """An NDArray list of these records."""
    head = struct.pack("<QQQ", 0x112, 0, len(records))
    tail = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in names)
    return head + b"".join(records) + struct.pack("<Q", len(names)) + tail


def shape(*sides: int) -> bytes:
    return struct.pack(f"<i{len(sides)}q", len(sides), *sides)


def record(sides: Sequence[int], code: int, raw: bytes, version: int = 2) -> bytes:
    """A dense array: V0 to V3."""
    device = struct.pack("<iii", 1, 0, code)
    if version == 0:
        return struct.pack(f"<I{len(sides)}I", len(sides), *sides) + device + raw
    storage = b"" if version == 1 else struct.pack("<i", 0)
    magic = struct.pack("<I", {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}[version])
    return magic + storage + shape(*sides) + device + raw


class Builder:
    params, shape, record = staticmethod(params), staticmethod(shape), staticmethod(record)


@pytest.fixture(scope="session")
def build() -> type[Builder]:
    """Functions that put MXNet files together by hand, from the description of the format."""
    return Builder
