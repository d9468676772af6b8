"""What Content-Type and Accept headers choose, by RFC 9110 and as real clients send them."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_semseg.serving.content_negotiation import (
    RESPONSE_FORMATS,
    ResponseFormat,
    check_content_type,
    choose_response_format,
)
from sagemaker_semseg.serving.http_errors import BadRequest, NotAcceptable, UnsupportedMediaType

PNG = ResponseFormat("image/png")
RECORDIO = ResponseFormat("application/x-recordio-protobuf")
PROTOBUF = ResponseFormat("application/x-protobuf")
NPY = ResponseFormat("application/x-npy")
RECORDIO16 = ResponseFormat("application/x-recordio-protobuf", "float16")
PROTOBUF16 = ResponseFormat("application/x-protobuf", "float16")
NPY16 = ResponseFormat("application/x-npy", "float16")


# what is sent


NAMED = ["image/jpeg", "image/png", "application/x-image"]


@pytest.mark.parametrize(
    "content_type",
    [None, "", " ", *NAMED, "application/octet-stream", "IMAGE/JPEG", " image/png ", "image/jpeg; a=b"],
)
def test_images_are_taken(content_type: str | None) -> None:
    check_content_type(content_type)


@pytest.mark.parametrize(
    "content_type",
    ["image/gif", "application/json", "image/*", "text/csv; charset=utf-8", "image/jpeg, image/png", "image", "é"],
)
def test_other_types_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as error:
        check_content_type(content_type)
    assert ascii(content_type.split(";")[0]) in error.value.message
    assert ", ".join(NAMED) in error.value.message
    assert error.value.remedy


def test_content_type_in_the_message_is_escaped_and_cut() -> None:
    with pytest.raises(UnsupportedMediaType) as error:
        check_content_type("\r\nx: y\x00\xff" + "z" * 10_000)
    assert error.value.message.isascii()
    assert error.value.message.isprintable()
    assert len(error.value.message) < 300


# what is asked for: as clients do


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, PNG),  # boto3 without Accept
        ("*/*", PNG),  # curl, requests, v2's default deserializer
        ("image/png", PNG),  # AWS's notebook
        ("application/x-protobuf", PROTOBUF),  # AWS's notebook
        ("application/x-recordio-protobuf", RECORDIO),  # AWS's guide, v2's RecordDeserializer
        ("application/x-npy", NPY),  # v2's NumpyDeserializer
        ("application/x-npy, image/png", NPY),  # v2 joins a tuple of types
        ("image/png, application/x-npy", PNG),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", PNG),  # Firefox's pages
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", PNG),  # Chrome's
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", PNG),  # Firefox's images
        ("application/json, text/plain, */*", PNG),  # axios
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", PNG),  # Java's HttpURLConnection
    ],
)
def test_clients(accept: str | None, expected: ResponseFormat) -> None:
    assert choose_response_format(accept) == expected


# by the rules


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", PNG),
        (" ", PNG),
        (" , ,,", PNG),
        ("image/*", PNG),
        ("application/*", RECORDIO),
        ("IMAGE/PNG", PNG),
        ("*", PNG),
        # weights
        ("image/png;q=0.5, application/x-npy;q=0.6", NPY),
        ("image/png;q=0.600, application/x-npy;q=0.6", PNG),
        ("image/png;q=0.001, application/x-npy;q=0", PNG),
        ("image/png;q=0.5, application/x-npy", NPY),
        ("image/png ; Q=0.5 , application/x-npy ; q=1.000", NPY),
        # the most specific range decides: q=0 takes out what a wildcard has let in, and a low one lowers it
        ("*/*, image/png;q=0", RECORDIO),
        ("image/*;q=0, */*;q=0.1", RECORDIO),
        ("*/*;q=0.5, image/*;q=0.3, application/x-protobuf;q=0.1, application/x-recordio-protobuf;q=0.4", NPY),
        ("application/*;q=0, application/x-npy;q=0.2", NPY),
        ("image/png;q=0.2, image/*;q=0.9, application/x-npy;q=0.3", NPY),
        ("application/x-npy;q=0, application/x-npy;dtype=float16;q=0.1", NPY16),
        # a named type goes before a wildcard of the same weight
        ("*/*, application/x-npy", NPY),
        ("image/*, application/x-protobuf", PROTOBUF),
        ("application/*, image/*", RECORDIO),
        # the dtype
        ("application/x-recordio-protobuf;dtype=float16", RECORDIO16),
        ("application/x-recordio-protobuf ; DTYPE=FLOAT16", RECORDIO16),
        ('application/x-protobuf; dtype="float16"', PROTOBUF16),
        (r'application/x-protobuf; dtype="flo\at16"', PROTOBUF16),
        ("application/x-npy;dtype=float32", NPY),
        ("application/x-npy;q=0.5;dtype=float16", NPY16),
        ("application/x-npy;dtype=float16;dtype=float16", NPY16),
        ("application/x-npy;dtype=float64, application/x-protobuf;q=0.1", PROTOBUF),
        ("application/x-npy;dtype=float16;q=0.9, application/x-npy;q=1", NPY),
        ("application/*;dtype=float16", RECORDIO16),
        ("image/png;dtype=float16", PNG),
        # unknown parameters are ignored, quoted separators too
        ("application/x-npy;charset=utf-8;version=1", NPY),
        ('application/x-npy;a="b,image/png;q=1";q=0.5, application/x-protobuf;q=0.4', NPY),
        ('text/html;a=",image/png,", application/x-npy;q=0.5', NPY),
        ("application/x-npy;;;q=0.5;, image/png;q=0.4", NPY),
        ('application/x-npy;a="\\",image/png;q=1,"', NPY),
        # an element that can't be understood is passed over
        ("garbage, application/x-npy;q=0.1", NPY),
        ("application/x-npy;q=high, image/png;q=0.1", PNG),
        ("application/x-npy;q=-1, image/png;q=0.1", PNG),
        ("application/x-npy;q=1.5, image/png;q=0.1", PNG),
        ("application/x-npy;q=nan, image/png;q=0.1", PNG),
        ("application/x-npy;q=10, image/png;q=0.1", PNG),
        ("application/x-npy;q=, image/png;q=0.1", PNG),
        ("*/png, application/x-npy;q=0.1", NPY),
        # more digits than the grammar has
        ("application/x-npy;q=0.66666, image/png;q=0.33333", NPY),
        ('application/x-npy;q="0.9", image/png;q=0.8', NPY),
    ],
)
def test_choice(accept: str, expected: ResponseFormat) -> None:
    assert choose_response_format(accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "image/jpeg",
        "text/*",
        "image/png;q=0",
        "image/png;q=0.0",
        "*/*;q=0",
        "application/x-npy;dtype=float64",
        "application/x-npy;dtype=float16;dtype=float32",
        "image/png;q=2",
        "nonsense",
        "/",
        "image/",
        "/png",
        '"',
    ],
)
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable) as error:
        choose_response_format(accept)
    assert ascii(accept) in error.value.message
    for reply in RESPONSE_FORMATS:
        assert reply.media_type in error.value.message
    assert "dtype=float16" in error.value.message


@pytest.mark.parametrize(
    ("accept", "default", "expected"),
    [
        (None, "application/x-npy", NPY),
        ("*/*", "application/x-npy", NPY),
        ("application/*", "application/x-npy", NPY),
        ("image/*", "application/x-npy", PNG),
        ("image/png", "application/x-npy", PNG),
        ("text/html, */*;q=0.1", "application/x-recordio-protobuf; dtype=float16", RECORDIO16),
        ("*/*, application/x-npy;q=0", "application/x-npy", PNG),
        # who names the type and no dtype gets float32, as of the original
        ("application/x-recordio-protobuf", "application/x-recordio-protobuf; dtype=float16", RECORDIO),
        (None, "application/x-protobuf;q=0.1, application/x-npy;q=0.2", NPY),
    ],
)
def test_default(accept: str | None, default: str, expected: ResponseFormat) -> None:
    assert choose_response_format(accept, default) == expected


def test_default_that_is_not_there() -> None:
    with pytest.raises(NotAcceptable):
        choose_response_format(None, "application/json")


def test_content_types() -> None:
    assert [reply.content_type for reply in (PNG, RECORDIO, PROTOBUF, NPY, RECORDIO16, PROTOBUF16, NPY16)] == [
        "image/png",
        "application/x-recordio-protobuf",
        "application/x-protobuf",
        "application/x-npy",
        "application/x-recordio-protobuf; dtype=float16",
        "application/x-protobuf; dtype=float16",
        "application/x-npy",
    ]
    assert [reply for reply in RESPONSE_FORMATS if reply.is_mask] == [PNG]


def test_long_headers_are_refused() -> None:
    assert choose_response_format("image/png" + " " * 1000) == PNG
    with pytest.raises(BadRequest):
        choose_response_format("image/png" + " " * 1100)


@pytest.mark.parametrize("accept", ["," * 1024, '"' * 1023, '\\"' * 512, ";" * 1024, "*," * 512, '"\\' * 512])
def test_hostile_headers_end(accept: str) -> None:
    """A pattern that tries every split of these would never end."""
    with contextlib.suppress(NotAcceptable):
        assert choose_response_format(accept) in RESPONSE_FORMATS


SPECIAL = st.sampled_from([*';,="\\/*. ', "q=", "dtype=", "float16", "image/png", "application/x-npy", "*/*", "0.5"])


@given(st.lists(SPECIAL | st.text(string.printable, max_size=3), max_size=20).map("".join))
def test_any_header_gives_a_reply_or_a_refusal(header: str) -> None:
    refusals = []
    try:
        assert choose_response_format(header) in RESPONSE_FORMATS
    except NotAcceptable as error:
        refusals.append(error.message)
    try:
        check_content_type(header)
    except UnsupportedMediaType as error:
        refusals.append(error.message)
    assert all(message.isascii() and message.isprintable() for message in refusals)


@given(st.permutations(range(4)), st.lists(st.integers(0, 1000), min_size=4, max_size=4, unique=True))
def test_the_heaviest_of_named_types_is_chosen(order: list[int], weights: list[int]) -> None:
    named = [PNG, RECORDIO, PROTOBUF, NPY]
    accept = ", ".join(f"{named[i].media_type};q={weights[i] / 1000:.3f}" for i in order)
    assert choose_response_format(accept) == named[weights.index(max(weights))]
