"""Bodies: images as they come from cameras and programs, and everything else that may be sent in their place."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.image_headers import MAX_PARTS
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.serving.request_validation import check_image_body

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def saved(kind: str, pixels: np.ndarray = PIXELS, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


JPEG, PNG = saved("JPEG"), saved("PNG")
SMALL = PIXELS[:5, :7]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segment(jpeg: bytes, added: bytes) -> bytes:
    return jpeg[:2] + added + jpeg[2:]


def fault_of(data: bytes) -> tuple[str, str]:
    """What is wrong with a body, and the remedy."""
    with pytest.raises(DataError) as error:
        check_image_body(data)
    (fault,) = error.value.faults
    assert fault.where == "image"
    assert fault.remedy
    assert fault.what.isascii()
    assert fault.what.isprintable()
    return fault.what, fault.remedy


# images


@pytest.mark.parametrize(
    "data",
    [
        JPEG,
        PNG,
        saved("JPEG", progressive=True),
        saved("JPEG", quality=100, restart_marker_blocks=1),
        saved("JPEG", optimize=True, comment=b"\xff\xd9\xff\xd8\xff"),
        saved("PNG", PIXELS[:, :, 0]),
        saved("JPEG", PIXELS[:, :, 0]),
    ],
)
def test_size_of_an_image(data: bytes) -> None:
    assert check_image_body(data).size == (24, 40)
    assert decode_image(data).shape == (24, 40, 3)


def test_size_as_displayed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert check_image_body(saved("JPEG", exif=exif)).size == (40, 24)


def test_flat_images_of_few_bytes() -> None:
    """Those with the fewest bytes for their pixels that an encoder makes."""
    flat = np.zeros((2048, 4096), np.uint8)
    for options in ({"optimize": True}, {"progressive": True, "optimize": True}, {"quality": 1}):
        assert check_image_body(saved("JPEG", flat, **options)).size == (2048, 4096)
    assert check_image_body(saved("PNG", flat, compress_level=9)).size == (2048, 4096)


TRAILERS = {
    "zeros": b"\0" * 1000,
    "a line end": b"\r\n",
    "samsung": b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1700000000000SEFHk\0\0\0SEFT",
    "motion image": struct.pack(">I", 24) + b"ftypmp42" + b"\0" * 12 + b"\xff\xd8\xff inside",
    "text": b"made with love",
    "half a signature": b"\xff\xd8",
}


@pytest.mark.parametrize("name", TRAILERS)
@pytest.mark.parametrize("image", [JPEG, PNG])
def test_what_phones_and_programs_append_is_fine(image: bytes, name: str) -> None:
    assert check_image_body(image + TRAILERS[name]).size == (24, 40)
    np.testing.assert_array_equal(decode_image(image + TRAILERS[name]), decode_image(image))


@pytest.mark.parametrize("between", [b"", b"\0" * 37, b"\r\n"])
@pytest.mark.parametrize("second", [JPEG, PNG, saved("JPEG", SMALL)])
@pytest.mark.parametrize("first", [JPEG, PNG, saved("JPEG", progressive=True), saved("JPEG", restart_marker_blocks=1)])
def test_two_images_are_refused(first: bytes, second: bytes, between: bytes) -> None:
    what, remedy = fault_of(first + between + second)
    assert "another image" in what
    assert str(len(first)) in what
    assert "one image" in remedy


def test_an_image_cut_short_and_another_one() -> None:
    cut = JPEG[:-100]
    what, _ = fault_of(cut + JPEG)
    assert "another image" in what
    fault_of(PNG[:-100] + PNG)


def test_thumbnails_are_no_images_of_their_own() -> None:
    thumbnail = segment(0xE1, b"Exif\0\0" + saved("JPEG", SMALL))
    assert check_image_body(with_segment(JPEG, thumbnail)).size == (24, 40)
    assert check_image_body(with_segment(JPEG, segment(0xFE, PNG))).size == (24, 40)
    private = chunk(b"prVt", PNG + JPEG)
    assert check_image_body(PNG[:33] + private + PNG[33:]).size == (24, 40)


def test_multi_image_files_are_one_image() -> None:
    """CIPA DC-007: the first image's APP2 segment lists the images that follow it."""
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "MPO", save_all=True, append_images=[Image.fromarray(SMALL)])
    mpo = out.getvalue()
    assert mpo.count(b"\xff\xd8\xff") == 2
    assert check_image_body(mpo).size == (24, 40)
    assert decode_image(mpo).shape == (24, 40, 3)
    profile = segment(0xE2, b"ICC_PROFILE\0MPF\0")  # another use of APP2
    fault_of(with_segment(JPEG, profile) + JPEG)


# what is no image


OTHERS = {
    "GIF": saved("GIF"),
    "TIFF": saved("TIFF"),
    "BMP": saved("BMP"),
    "WebP": b"RIFF\x24\0\0\0WEBPVP8 ",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\xff\x0a\xfa\x7f",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "PDF": b"%PDF-1.7\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "zip": b"PK\3\4\x14\0",
    "gzip": b"\x1f\x8b\x08\0",
    "NumPy": b"\x93NUMPY\1\0",
    "base64": b"/9j/4AAQSkZJRgABAQAAAQABAAD",
    "JSON": b'{"instances": [{"b64": "..."}]}',
    "form": b'------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + JPEG,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_called_by_their_names(name: str) -> None:
    what, _ = fault_of(OTHERS[name])
    assert name in what


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (saved("TIFF")[:2].replace(b"II", b"MM") + b"\0*\0\0\0\x08", "TIFF"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "SVG"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
        (b"\xc5\xd0\xd3\xc6\x20\0\0\0", "EPS"),
        (b"iVBORw0KGgoAAAANSUhEUg", "base64"),
        (b"data:image/jpeg;base64,/9j/4AAQ", "base64"),
        (b"\n[[1, 2]]", "JSON"),
        (b"\0\0\0\x0aftypmif1", "HEIC"),
    ],
)
def test_other_spellings(data: bytes, name: str) -> None:
    assert name in fault_of(data)[0]


def test_unknown_bytes() -> None:
    what, _ = fault_of(b"\0\1\r\nabc\xff\xfe\xfd")
    assert r"b'\x00\x01\r\nabc\xff'" in what
    fault_of(b"\xff\xd8")
    fault_of(b"\n" * 1_000_000)


def test_empty_body() -> None:
    what, remedy = fault_of(b"")
    assert "no bytes" in what
    assert "bytes of the image" in remedy


# bombs


def test_too_many_pixels_are_refused_from_the_header() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0))
    png = PNG[:8] + header + chunk(b"IDAT", zlib.compress(bytes(2_000_000))) + chunk(b"IEND", b"")
    at = JPEG.index(b"\xff\xc0") + 5
    jpeg = JPEG[:at] + struct.pack(">HH", 65_000, 65_000) + JPEG[at + 4 :]
    for data in (png, jpeg):
        tracemalloc.start()
        what, _ = fault_of(data)
        assert "at most 200000000" in what
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_few_bytes_that_claim_many_pixels() -> None:
    at = JPEG.index(b"\xff\xc0") + 5
    what, _ = fault_of(JPEG[:at] + struct.pack(">HH", 3000, 60_000) + JPEG[at + 4 :])
    assert "too few for 60000 x 3000 pixels" in what


@pytest.mark.parametrize(
    "data",
    [
        JPEG[:2] + segment(0xE5, b"") * (MAX_PARTS + 1) + JPEG[2:],
        JPEG[:-2] + segment(0xFE, b"") * (MAX_PARTS + 1) + JPEG[-2:],
        PNG[:33] + chunk(b"prVt", b"") * (MAX_PARTS + 1) + PNG[33:],
    ],
)
def test_too_many_parts(data: bytes) -> None:
    assert str(MAX_PARTS) in fault_of(data)[0]


# damage: a DataError or an image, nothing else


def survives(data: bytes) -> bool:
    """Whether it is taken for an image."""
    try:
        height, width = check_image_body(data).size
        pixels = decode_image(data)
    except DataError:
        return False
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8
    return True


SMALL_FILES = [
    saved("JPEG", SMALL),
    saved("PNG", SMALL),
    saved("JPEG", SMALL, progressive=True),
    saved("JPEG", SMALL[:, :, 0], restart_marker_blocks=1),
    with_segment(saved("JPEG", SMALL), segment(0xE2, b"MPF\0II*\0\x08\0\0\0")) + saved("JPEG", SMALL),
]


@pytest.mark.parametrize("data", SMALL_FILES[:2])
def test_every_prefix(data: bytes) -> None:
    taken = [length for length in range(len(data)) if survives(data[:length])]
    assert taken == []
    assert survives(data)


@pytest.mark.parametrize("data", SMALL_FILES)
def test_bit_flips(data: bytes) -> None:
    flip(data, 700, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("data", SMALL_FILES)
def test_many_bit_flips(data: bytes) -> None:
    flip(data, 20_000, seed=2)


def flip(data: bytes, times: int, seed: int) -> None:
    rng = random.Random(seed)
    tracemalloc.start()
    refused = 0
    for _ in range(times):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        refused += not survives(bytes(damaged))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < refused <= times
    assert peak < 16_000_000
