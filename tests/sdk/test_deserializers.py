"""Replies become arrays; what a damaged or hostile reply claims is compared with its bytes."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.errors import DataError, SemSegError
from sagemaker_semseg.sdk.deserializers import RECORDIO, ArrayDeserializer, BytesDeserializer, array_of
from sagemaker_semseg.serving.content_negotiation import ResponseFormat
from sagemaker_semseg.serving.response_encoding import encode_response

PROBABILITIES = np.random.default_rng(0).random((3, 5, 7), np.float32)


def reply(media_type=RECORDIO, dtype="float32", array=PROBABILITIES):
    return b"".join(encode_response(ResponseFormat(media_type, dtype), array.astype(dtype)))


@pytest.mark.parametrize("media_type", [RECORDIO, "application/x-protobuf", "application/x-npy"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_probabilities(media_type, dtype):
    found = array_of(reply(media_type, dtype), f"{media_type}; dtype={dtype}")
    assert found.dtype == dtype
    assert np.array_equal(found, PROBABILITIES.astype(dtype))


def test_labels_and_bytes():
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    stream = io.BytesIO(encode_mask(labels))
    assert np.array_equal(ArrayDeserializer().deserialize(stream, "image/png"), labels)
    assert stream.closed
    assert BytesDeserializer("x/y").ACCEPT == ("x/y",)
    assert BytesDeserializer().deserialize(io.BytesIO(b"abc"), "x/y") == b"abc"


def framed(record):
    return struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4)


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"", RECORDIO, "shape"),
        (reply()[:-9], RECORDIO, "ends"),
        (reply() + reply(), RECORDIO, "more than one record"),
        (framed(b""), RECORDIO, "shape"),
        (framed(b"\x0a\xff\xff\xff\xff\x0f"), RECORDIO, "Record"),
        (b"<html>", "text/html", "'text/html'"),
        (b"no png", "image/png", "the reply"),
        (b"\x93NUMPY\x01\x00", "application/x-npy", "no header"),
        (reply("application/x-npy")[:-4], "application/x-npy", "104 values"),
        (reply("application/x-npy").replace(b"5, 7", b"5,77"), "application/x-npy", "shape"),
    ],
)
def test_damaged_replies(content, kind, expected):
    with pytest.raises(DataError, match=expected):
        array_of(content, kind)


def test_pickles_are_not_read():
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError):
        array_of(file.getvalue(), "application/x-npy")


@settings(max_examples=200)
@given(st.data())
def test_any_change_of_bytes_is_refused_or_harmless(data):
    content = bytearray(reply(data.draw(st.sampled_from([RECORDIO, "application/x-npy"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(st.integers(0, 255))
    for kind in (RECORDIO, "application/x-npy"):
        try:
            assert array_of(bytes(content), kind).nbytes <= len(content)
        except SemSegError:
            pass
