"""RecordIO, the framing in which SageMaker sends records through a pipe: reads and writes records.

A part is the magic number, a word of 3 bits of flag and 29 bits of length (both little-endian), the bytes, and zeros up
to a multiple of four. A record is one part, flag 0, or several: first (1), any number of middle ones (2), last (3).
dmlc's writers make several where the magic number stands in the payload at a multiple of four bytes: it is left out
there and put back between the parts when they are joined (dmlc-core, ``recordio.h``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, NoReturn

from sagemaker_semseg.errors import DataError, Fault

MAX_PART: Final = 2**29 - 1
"""The most bytes of a part, and of a record that is written: the length has 29 bits."""

_MAGIC: Final = 0xCED7230A
_MARK: Final = struct.pack("<I", _MAGIC)
_HEAD: Final = struct.Struct("<II")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
# Asked of the file at a time. A length is a claim: memory is taken as the bytes come.
_PIECE: Final = 1 << 22
_FRAMING: Final = "send RecordIO: the channel's RecordWrapperType has to be RecordIO"
_CUT: Final = "send it again: the sender has ended too early"


def read_records(file: BinaryIO, where: str, limit: int = MAX_PART) -> Iterator[bytes]:
    """The payloads of all records up to the end of ``file``, whose ``read`` may return less than it was asked for.

    where: the file, in errors. limit: the most bytes of a record. Holds one record at a time. Raises ``DataError`` with
    the number of the record, counted from 1, and the byte at which its part begins.
    """
    read, number, at = file.read, 0, 0
    while head := _exactly(read, 8):
        number += 1
        flag, payload, at = _part(read, head, (_WHOLE, _FIRST), limit, _Place(where, number, at))
        if flag == _FIRST:
            parts, size = [payload], len(payload)
            while flag != _LAST:
                left = limit - size - 4
                flag, part, at = _part(read, _exactly(read, 8), (_MIDDLE, _LAST), left, _Place(where, number, at))
                parts.append(part)
                size += 4 + len(part)
            payload = _MARK.join(parts)
        yield payload


def write_record(file: BinaryIO, payload: bytes) -> None:
    """Appends a record to a file that takes all it is given, cut at magic numbers as dmlc's writers cut it."""
    file.writelines(packed(payload))


def packed(payload: bytes) -> list[bytes | memoryview]:
    """The bytes of a record, of one part or of several, without a copy of the payload."""
    if len(payload) > MAX_PART:
        raise ValueError(f"a record of {len(payload)} bytes; at most {MAX_PART} are possible")
    cuts = [cut for cut in _marks(payload) if cut % 4 == 0]
    view = memoryview(payload)
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(payload)]
    out: list[bytes | memoryview] = []
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        flag = _WHOLE if not cuts else _FIRST if i == 0 else _LAST if i == len(cuts) else _MIDDLE
        out += [_HEAD.pack(_MAGIC, flag << 29 | end - start), view[start:end]]
    out.append(bytes(-len(payload) & 3))
    return out


def whole_frame(length: int) -> tuple[bytes, bytes]:
    """What stands before and after a payload that is sent as one part, whatever it holds."""
    return _HEAD.pack(_MAGIC, length), bytes(-length & 3)


class _Place(NamedTuple):
    where: str
    record: int
    at: int

    def refuse(self, what: str, remedy: str) -> NoReturn:
        fault = Fault(f"{self.where}, record {self.record} at byte {self.at}", what, remedy)
        raise DataError("the records can't be read", [fault])


def _part(
    read: Callable[[int], bytes], head: bytes, flags: tuple[int, int], limit: int, place: _Place
) -> tuple[int, bytes, int]:
    """The flag and the bytes of the part that ``head`` begins, and the byte at which the next one begins."""
    if len(head) < 8:
        place.refuse(f"ends after {len(head)} of the 8 bytes with which a part begins", _CUT)
    magic, word = _HEAD.unpack(head)
    flag, length = word >> 29, word & MAX_PART
    if magic != _MAGIC:
        place.refuse(f"begins with the bytes {head[:4].hex(' ')}, not with the magic number {_MARK.hex(' ')}", _FRAMING)
    if flag not in flags:
        expected = "a whole record (0) or a first part (1)" if _FIRST in flags else "a middle (2) or last part (3)"
        place.refuse(f"{expected} has to come here, but the flag is {flag}", _FRAMING)
    if length > limit:
        place.refuse(f"this part has {length} bytes, and at most {max(limit, 0)} may come here", "send smaller files")
    payload, padding = _exactly(read, length), -length & 3
    if len(payload) < length or len(_exactly(read, padding)) < padding:
        place.refuse(f"ends before the {length} bytes of this part have come", _CUT)
    return flag, payload, place.at + 8 + length + padding


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    """``count`` bytes; fewer at the end of the file only."""
    data = read(min(count, _PIECE))
    if len(data) == count or not data:
        return data
    pieces, missing = [data], count - len(data)
    while missing and (data := read(min(missing, _PIECE))):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def _marks(payload: bytes) -> Iterator[int]:
    """Where the magic number stands."""
    at = payload.find(_MARK)
    while at >= 0:
        yield at
        at = payload.find(_MARK, at + 4)
