"""Replies, read by a small reader of RecordIO and protobuf that is written here from their specifications."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.serving.content_negotiation import RESPONSE_FORMATS, ResponseFormat
from sagemaker_semseg.serving.http_errors import PayloadTooLarge
from sagemaker_semseg.serving.response_encoding import check_response_size, encode_response

MAGIC = b"\x0a\x23\xd7\xce"
SHAPES = [(2, 1, 1), (3, 5, 7), (254, 2, 3), (21, 60, 80), (2, 1, 200)]
RECORDS = [reply for reply in RESPONSE_FORMATS if "protobuf" in reply.media_type]
ARRAYS = [reply for reply in RESPONSE_FORMATS if not reply.is_mask]


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """(number, content) of a message's fields, all of which must be of wire type 2."""
    found, at = [], 0
    while at < len(message):
        tag, at = varint(message, at)
        assert tag & 7 == 2
        size, at = varint(message, at)
        assert at + size <= len(message)
        found.append((tag >> 3, message[at : at + size]))
        at += size
    return found


def varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def record(body: bytes) -> bytes:
    """The payload of the one record that a body is."""
    assert body[:4] == MAGIC
    (length,) = struct.unpack_from("<I", body, 4)
    assert length < 1 << 29  # the three upper bits say "a whole record"
    assert len(body) == 8 + (length + 3) // 4 * 4
    assert not any(body[8 + length :])
    return body[8 : 8 + length]


def tensor(payload: bytes, dtype: str) -> np.ndarray:
    """The array that a Record holds (numbers of fields: record.proto)."""
    entries = {}
    for number, entry in fields(payload):
        assert number == 1  # features
        (key_number, key), (value_number, value) = fields(entry)
        assert (key_number, value_number) == (1, 2)
        ((kind, content),) = fields(value)
        ((values_number, values),) = fields(content)
        assert values_number == 1
        entries[key] = (kind, values)
    assert set(entries) == {b"shape", b"target"}
    kind, packed = entries[b"shape"]
    assert kind == 7  # int32_tensor
    shape, at = [], 0
    while at < len(packed):
        size, at = varint(packed, at)
        shape.append(size)
    kind, values = entries[b"target"]
    assert kind == {"float32": 2, "float16": 9}[dtype]  # float32_tensor, bytes
    return np.frombuffer(values, {"float32": "<f4", "float16": "<f2"}[dtype]).reshape(shape)


def drawn(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(dtype)


def identical(found: np.ndarray, expected: np.ndarray) -> bool:
    return (found.dtype, found.shape) == (expected.dtype, expected.shape) and found.tobytes() == expected.tobytes()


def test_mask_is_a_palette_png_of_the_labels() -> None:
    labels = np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8)
    (png,) = encode_response(ResponseFormat("image/png"), labels)
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "P")
    np.testing.assert_array_equal(np.asarray(image), labels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reply", RECORDS)
def test_record(reply: ResponseFormat, shape: tuple[int, int, int]) -> None:
    array = drawn(shape, reply.dtype)
    found = tensor(record(b"".join(encode_response(reply, array))), reply.dtype)
    assert identical(found, array[None])


@pytest.mark.parametrize("reply", RECORDS)
def test_array_that_holds_the_magic_number_is_still_one_record(reply: ResponseFormat) -> None:
    array = np.frombuffer((MAGIC * 3 + b"\0") * 88, reply.dtype).reshape(2, 11, -1)
    body = b"".join(encode_response(reply, array))
    assert MAGIC in [body[at : at + 4] for at in range(8, len(body), 4)]
    assert identical(tensor(record(body), reply.dtype), array[None])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_npy(dtype: Any, shape: tuple[int, int, int]) -> None:
    array = drawn(shape, dtype)
    body = b"".join(encode_response(ResponseFormat("application/x-npy", dtype), array))
    assert identical(np.load(io.BytesIO(body), allow_pickle=False), array[None])


@pytest.mark.parametrize("reply", ARRAYS)
def test_probabilities_are_not_copied(reply: ResponseFormat) -> None:
    array = drawn((21, 30, 40), reply.dtype)
    views = [part for part in encode_response(reply, array) if isinstance(part, memoryview)]
    (view,) = views
    assert len(view) == array.nbytes  # counted in bytes, as those who send it do
    assert np.shares_memory(np.frombuffer(view, np.uint8), array)


@pytest.mark.parametrize("reply", ARRAYS)
def test_array_in_another_order(reply: ResponseFormat) -> None:
    array = drawn((30, 40, 21), reply.dtype).transpose(2, 0, 1)
    body = b"".join(encode_response(reply, array))
    if "protobuf" in reply.media_type:
        found = tensor(record(body), reply.dtype)
    else:
        found = np.load(io.BytesIO(body))
    assert identical(found, np.ascontiguousarray(array)[None])


@pytest.mark.parametrize("reply", ARRAYS)
def test_wrong_arrays_are_a_mistake_of_the_caller(reply: ResponseFormat) -> None:
    other = {"float32": "float16", "float16": "float32"}[reply.dtype]
    for array in (drawn((3, 4, 5), other), drawn((1, 3, 4, 5), reply.dtype), drawn((3, 4, 5), ">f4")):
        with pytest.raises(ValueError, match="probabilities must be"):
            encode_response(reply, array)


# sizes that can't be sent


@pytest.mark.parametrize("reply", RECORDS)
def test_largest_record(reply: ResponseFormat) -> None:
    """The memory of these arrays is never written to, so that none is used."""
    fitting, exact = 0, False
    for classes in range(1, 5):
        width = 2**29 // np.dtype(reply.dtype).itemsize // classes
        for less in range(40):
            parts = encode_response(reply, np.empty((classes, 1, width - less), reply.dtype))
            length = len(parts[0]) - 8 + len(parts[1])
            exact |= length == 2**29
            if length < 2**29:
                check_response_size(reply, classes, 1, width - less)
                fitting += 1
            else:
                with pytest.raises(PayloadTooLarge):
                    check_response_size(reply, classes, 1, width - less)
    assert fitting
    assert exact or reply.dtype == "float32"  # whose size is a multiple of 4 after a head that isn't


def test_largest_npy() -> None:
    with pytest.raises(PayloadTooLarge):
        check_response_size(ResponseFormat("application/x-npy"), 2, 1, 2**26)
    check_response_size(ResponseFormat("application/x-npy"), 2, 1, 2**26 - 100)


@pytest.mark.parametrize("reply", ARRAYS)
def test_enormous_sizes(reply: ResponseFormat) -> None:
    with pytest.raises(PayloadTooLarge) as error:
        check_response_size(reply, 254, 12_000, 12_000)
    assert "12000 x 12000" in error.value.message
    assert ("float16" in error.value.remedy) == (reply.dtype == "float32")
    assert "image/png" in error.value.remedy


def test_sizes_that_can_be_sent() -> None:
    check_response_size(ResponseFormat("image/png"), 254, 12_000, 12_000)
    for reply in ARRAYS:
        check_response_size(reply, 21, 600, 800)
        check_response_size(reply, 2, 1, 1)
    check_response_size(ResponseFormat("application/x-protobuf", "float16"), 21, 3000, 4000)
    with pytest.raises(PayloadTooLarge):
        check_response_size(ResponseFormat("application/x-protobuf"), 21, 3000, 4000)
