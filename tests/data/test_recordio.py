"""Records there and back, dmlc's own bytes both ways, and whatever else comes through a pipe."""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagemaker_semseg.data.recordio import MAX_PART, packed, read_records, whole_frame, write_record
from sagemaker_semseg.errors import DataError

MAGIC = b"\x0a\x23\xd7\xce"

# as mxnet.recordio of MXNet 1.9.1 wrote it: text; the magic number at an aligned offset; nothing; it several times,
# first and last too; it at an unaligned offset; two records of images
SAMPLE = (Path(__file__).resolve().parents[1] / "reference/recordio/sample.rec").read_bytes()
PAYLOADS = [
    b"hello recordio",
    b"ABCD" + MAGIC + b"EFGHIJK",
    b"",
    MAGIC + MAGIC + b"xy" + MAGIC + b"\0\1" + MAGIC,
    b"Q" + MAGIC + b"unaligned-magic",
    struct.pack("<IfQQ", 0, 3.0, 7, 0) + b"\xff\xd8fakejpeg",
    struct.pack("<IfQQff", 2, 0.0, 9, 0, 1.0, 2.5) + b"vec",
]


class Sips(io.RawIOBase):
    """A file that gives a few bytes at a time, as pipes do."""

    def __init__(self, data: bytes, seed: int):
        self.data, self.random = io.BytesIO(data), random.Random(seed)

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(size, self.random.randint(1, 7)))


def framed(payloads: list[bytes]) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        write_record(file, payload)
    return file.getvalue()


def refusal(data: bytes, **settings: int) -> str:
    with pytest.raises(DataError) as caught:
        list(read_records(io.BytesIO(data), "train_0", **settings))
    (fault,) = caught.value.faults
    return str(fault)


def test_dmlcs_bytes_both_ways() -> None:
    assert len(SAMPLE) == 216
    assert list(read_records(io.BytesIO(SAMPLE), "sample.rec")) == PAYLOADS
    assert framed(PAYLOADS) == SAMPLE


# pieces that are, and that nearly are, the magic number, at any offset
pieces = st.one_of(st.just(MAGIC), st.binary(max_size=9), st.sampled_from([MAGIC[:k] for k in (1, 2, 3)]))
payloads = st.lists(st.lists(pieces, max_size=6).map(b"".join), max_size=5)


@given(payloads, st.integers(0, 99))
@example([MAGIC], 0)
@example([b"a" + MAGIC, MAGIC * 3], 1)
def test_round_trips_with_magic_numbers_anywhere(records: list[bytes], seed: int) -> None:
    data = framed(records)
    assert list(read_records(io.BytesIO(data), "x")) == records
    assert list(read_records(Sips(data, seed), "x")) == records
    # dmlc's splitting of a file relies on it: at a multiple of four the magic number stands in heads alone
    places = [at for at in range(0, len(data), 4) if data[at : at + 4] == MAGIC]
    assert places == heads(data)


def heads(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        found.append(at)
        at += 8 + (struct.unpack_from("<I", data, at + 4)[0] % 2**29 + 3) // 4 * 4
    return found


def test_whole_records_may_hold_the_magic_number() -> None:
    before, after = whole_frame(12)
    assert list(read_records(io.BytesIO(before + MAGIC * 3 + after), "x")) == [MAGIC * 3]


def test_a_payload_isnt_copied_to_be_framed() -> None:
    payload = bytes(10)
    _, view, padding = packed(payload)
    assert isinstance(view, memoryview)
    assert view.obj is payload
    assert padding == b"\0\0"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (framed([b"abc"]) + b"\xff\xd8\xff\xe0\0\x10JFIF", "record 2 at byte 12: begins with the bytes ff d8 ff e0,"),
        (framed([b"abc", b"defg"])[:-1], "record 2 at byte 12: ends before the 4 bytes of this part have come"),
        (framed([b"abc", b"defgh"])[:-1], "record 2 at byte 12: ends before the 5 bytes"),  # in the padding
        (framed([b"abc"]) + MAGIC, "record 2 at byte 12: ends after 4 of the 8 bytes"),
        (MAGIC + struct.pack("<I", 2 << 29), "record 1 at byte 0: a whole record (0) or a first part (1) has to come"),
        (MAGIC + struct.pack("<I", 7 << 29), "here, but the flag is 7"),
        (MAGIC + struct.pack("<I", 1 << 29) + framed([b""]), "record 1 at byte 8: a middle (2) or last part (3) has"),
        (MAGIC + struct.pack("<I", 1 << 29), "record 1 at byte 8: ends after 0 of the 8 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported_with_the_record_and_the_byte(data: bytes, expected: str) -> None:
    assert f"train_0, {expected}"[9 if expected.startswith("here") else 0 :] in refusal(data)


def test_records_are_bounded() -> None:
    large = framed([b"abc", b"12345"])
    assert "record 2 at byte 12: this part has 5 bytes, and at most 4 may" in refusal(large, limit=4)
    assert list(read_records(io.BytesIO(framed([b"1234"])), "x", limit=4)) == [b"1234"]
    # joined, the parts and the magic number between them have 12 bytes
    joined = framed([b"1234" + MAGIC + b"5678"])
    assert list(read_records(io.BytesIO(joined), "x", limit=12)) == [b"1234" + MAGIC + b"5678"]
    assert "record 1 at byte 12: this part has 4 bytes, and at most 3 may come" in refusal(joined, limit=11)
    endless = MAGIC + struct.pack("<I", 1 << 29) + (MAGIC + struct.pack("<I", 2 << 29)) * 1000
    assert "at most 0 may come" in refusal(endless, limit=100)


def test_memory_is_taken_as_bytes_come_and_not_as_they_are_claimed() -> None:
    class Counted(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.most = max(self.most, size or 0)
            return super().read(size)

    file = Counted(MAGIC + struct.pack("<I", MAX_PART) + bytes(100))
    with pytest.raises(DataError, match="ends before the 536870911 bytes"):
        list(read_records(file, "x"))
    assert file.most <= 1 << 22


def test_larger_records_than_a_piece() -> None:
    payload = random.Random(0).randbytes((1 << 23) + 3)
    assert list(read_records(io.BytesIO(framed([payload, b"x"])), "x")) == [payload, b"x"]


def test_too_much_for_a_record_is_refused() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return MAX_PART + 1

    with pytest.raises(ValueError, match="at most 536870911"):
        packed(Long())


def test_through_a_real_pipe() -> None:
    reading, writing = os.pipe()
    sent = [random.Random(k).randbytes(k * 7919) for k in range(40)]

    def send() -> None:
        with os.fdopen(writing, "wb") as file:
            for payload in sent:
                write_record(file, payload)

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(reading, "rb", buffering=0) as file:
        assert list(read_records(file, "x")) == sent
    sender.join()


def test_damaged_bytes_end_in_records_or_one_error() -> None:
    generator = random.Random(1)
    for _ in range(4000):
        data = bytearray(SAMPLE)
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(data))
            if generator.random() < 0.7:
                data[at] = generator.choice([0, 255, generator.randrange(256)])
            else:
                del data[max(at, 1) :]
        with contextlib.suppress(DataError):
            assert sum(map(len, read_records(io.BytesIO(bytes(data)), "x", limit=1 << 20))) <= len(data)
