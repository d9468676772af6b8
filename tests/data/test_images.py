"""Images and masks from files whose bytes this test writes itself: what is expected doesn't come from Pillow."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import decode_image, decode_mask, decode_thumbnail, encode_mask, palette
from sagemaker_semseg.errors import DataError

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
SIZES = [(1, 1), (3, 2), (5, 13), (9, 8), (17, 23)]


def size_of(data: bytes) -> tuple[int, int]:
    return EncodedImage.parse(data).size


def check_pixels(data: bytes) -> tuple[int, int]:
    """The size, after every byte of the pixels has been read."""
    encoded = EncodedImage.parse(data)
    decode_thumbnail(encoded)
    return encoded.size


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def rows(samples: np.ndarray, depth: int) -> bytes:
    """Scanlines without filter of (H, W, C) samples."""
    out = b""
    for row in samples:
        bits = "".join(format(int(value), f"0{depth}b") for value in row.ravel())
        bits += "0" * (-len(bits) % 8)
        out += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return out


def png(
    samples: np.ndarray,
    depth: int = 8,
    color: int = GRAY,
    interlaced: bool = False,
    colors: bytes = bytes(range(256)) * 3,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG written by the specification: (H, W) or (H, W, C) samples, chunks before and after the pixels."""
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1)
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    data = zlib.compress(b"".join(rows(part, depth) for part in parts if part.size))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    plte = chunk(b"PLTE", colors[: 3 << depth]) if color == PALETTE else b""
    half = len(data) // 2
    pixels = chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + plte + before + pixels + after + chunk(b"IEND", b"")


def values(shape: tuple[int, ...], top: int, seed: int = 0) -> np.ndarray:
    """Random samples 0 .. top, with both ends present where there is room."""
    drawn = np.random.default_rng(seed).integers(0, top + 1, shape)
    drawn.flat[0], drawn.flat[-1] = 0, top
    return drawn


def exif(orientation: int, order: str = "<") -> bytes:
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    entries = struct.pack(order + "HHIHH", 0x0100, 3, 1, 7, 0)
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + struct.pack(order + "H", 2) + entries + b"\0\0\0\0"


def jpeg(pixels: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    size = (pixels.shape[1], pixels.shape[0])
    image = Image.frombytes(mode, size, pixels.tobytes()) if mode else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def make_image(height: int = 24, width: int = 40) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 6 % 256, y * 9 % 256, (x * y) % 256], axis=2).astype(np.uint8)


def fault(error: pytest.ExceptionInfo[DataError]) -> str:
    (only,) = error.value.faults
    assert only.remedy
    return only.what


# masks: the numbers in the file


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("color", [GRAY, PALETTE])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_mask_values_are_those_in_the_file(depth: int, color: int, interlaced: bool) -> None:
    for seed, shape in enumerate(SIZES):
        written = values(shape, (1 << depth) - 1, seed)
        mask = decode_mask(png(written, depth, color, interlaced))
        assert mask.dtype == np.uint8
        assert mask.flags.c_contiguous
        np.testing.assert_array_equal(mask, written)


def test_mask_indices_beyond_a_short_palette() -> None:
    written = values((4, 9), 255)
    np.testing.assert_array_equal(decode_mask(png(written, 8, PALETTE, colors=b"\1\2\3" * 2)), written)


@pytest.mark.parametrize("transparency", [b"\0", b"\xff\0\x80"])
def test_mask_palette_with_transparent_entries(transparency: bytes) -> None:
    written = values((4, 9), 255)
    np.testing.assert_array_equal(decode_mask(png(written, 8, PALETTE, before=chunk(b"tRNS", transparency))), written)


@pytest.mark.parametrize("interlaced", [False, True])
def test_mask_of_16_bits(interlaced: bool) -> None:
    written = values((5, 13), 255)
    mask = decode_mask(png(written, 16, GRAY, interlaced))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, written)


def test_mask_of_16_bits_above_255() -> None:
    written = np.array([[0, 256, 7], [40000, 255, 1]])
    with pytest.raises(DataError) as error:
        decode_mask(png(written, 16, GRAY))
    assert "40000" in fault(error)
    assert "2 pixels" in fault(error)


@pytest.mark.parametrize(("color", "channels", "name"), [(RGB, 3, "RGB"), (RGBA, 4, "RGBA"), (GRAY_ALPHA, 2, "alpha")])
@pytest.mark.parametrize("depth", [8, 16])
def test_mask_of_several_channels(color: int, channels: int, name: str, depth: int) -> None:
    with pytest.raises(DataError) as error:
        decode_mask(png(values((3, 4, channels), 1), depth, color), "masks/a.png")
    assert name in fault(error)
    assert error.value.faults[0].where == "masks/a.png"
    assert "palette" in error.value.faults[0].remedy


@pytest.mark.parametrize(("color", "channels"), [(RGB, 3), (RGBA, 4)])
def test_mask_whose_three_channels_are_equal(color: int, channels: int) -> None:
    labels = values((3, 4, channels), 1)
    labels[:, :, 1] = labels[:, :, 2] = labels[:, :, 0]
    with pytest.raises(DataError) as error:
        decode_mask(png(labels, 8, color))
    assert "whose three channels are equal" in fault(error)
    assert "getchannel(0)" in error.value.faults[0].remedy
    assert "convert" not in error.value.faults[0].remedy
    labels[1, 2, 1] += 1  # one pixel differs: these are colours
    with pytest.raises(DataError) as error:
        decode_mask(png(labels, 8, color))
    assert "equal" not in fault(error)
    assert "replace every colour" in error.value.faults[0].remedy


def test_mask_as_jpeg() -> None:
    with pytest.raises(DataError) as error:
        decode_mask(jpeg(make_image()))
    assert "JPEG" in fault(error)


# images: 8-bit RGB


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_gray_png_image_fills_the_range(depth: int, interlaced: bool) -> None:
    written = values((9, 14), (1 << depth) - 1)
    expected = written >> 8 if depth == 16 else written * 255 // ((1 << depth) - 1)
    image = decode_image(png(written, depth, GRAY, interlaced))
    assert image.shape == (9, 14, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.repeat(expected[:, :, None], 3, 2))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("color", "channels"), [(RGB, 3), (RGBA, 4), (GRAY_ALPHA, 2)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_color_png_image_without_its_alpha(color: int, channels: int, depth: int, interlaced: bool) -> None:
    written = values((7, 10, channels), (1 << depth) - 1)
    kept = written[:, :, :3] if channels >= 3 else np.repeat(written[:, :, :1], 3, 2)
    np.testing.assert_array_equal(decode_image(png(written, depth, color, interlaced)), kept >> (depth - 8))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette_png_image(depth: int) -> None:
    colors = np.random.default_rng(5).integers(0, 256, (1 << depth, 3)).astype(np.uint8)
    written = values((6, 11), (1 << depth) - 1)
    file = png(written, depth, PALETTE, colors=colors.tobytes(), before=chunk(b"tRNS", b"\0\x80"))
    np.testing.assert_array_equal(decode_image(file), colors[written])


def test_jpeg_image_rgb_and_gray() -> None:
    pixels = np.full((24, 40, 3), (200, 90, 30), np.uint8)
    np.testing.assert_allclose(decode_image(jpeg(pixels, quality=95)).astype(int), pixels, atol=3)
    image = decode_image(jpeg(np.full((5, 6), 77, np.uint8), quality=95))
    np.testing.assert_array_equal(image, np.full((5, 6, 3), 77))


def test_progressive_jpeg() -> None:
    np.testing.assert_array_equal(
        decode_image(jpeg(make_image(), progressive=True, quality=95)), decode_image(jpeg(make_image(), quality=95))
    )


def cmyk_jpeg(cmyk: tuple[int, int, int, int]) -> bytes:
    """Stored inverted and with Adobe's marker, transform 0, as Pillow and Photoshop write it."""
    return jpeg(np.full((16, 16, 4), cmyk, np.uint8), "CMYK", quality=100)


def test_adobe_cmyk_jpeg() -> None:
    cyan, magenta, yellow, black = 20, 200, 90, 60
    expected = [(255 - ink) * (255 - black) / 255 for ink in (cyan, magenta, yellow)]
    image = decode_image(cmyk_jpeg((cyan, magenta, yellow, black)))
    np.testing.assert_allclose(image.astype(int), np.broadcast_to(expected, image.shape), atol=3)


def test_cmyk_jpeg_without_adobe_marker_is_not_inverted() -> None:
    file = cmyk_jpeg((20, 200, 90, 60))
    at = file.index(b"Adobe") - 4
    plain = file[:at] + file[at + 16 :]
    inks, black = (235, 55, 165), 195  # what the file holds
    image = decode_image(plain)
    expected = [(255 - ink) * (255 - black) / 255 for ink in inks]
    np.testing.assert_allclose(image.astype(int), np.broadcast_to(expected, image.shape), atol=3)


def test_adobe_ycck_jpeg() -> None:
    y, cb, cr, k = 120, 100, 160, 200  # what the file holds: pixels are stored as 255 - value
    file = bytearray(cmyk_jpeg((255 - y, 255 - cb, 255 - cr, 255 - k)))
    file[file.index(b"Adobe") + 11] = 2
    red, green, blue = (
        y + 1.402 * (cr - 128),
        y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128),
        y + 1.772 * (cb - 128),
    )
    # YCbCr stands for 255 - (stored) ink, and what is stored is 255 - ink: stored ink = 255 - colour
    expected = [(255 - color) * k / 255 for color in (red, green, blue)]
    image = decode_image(bytes(file))
    np.testing.assert_allclose(image.astype(int), np.broadcast_to(expected, image.shape), atol=3)


# orientation

SIDES = {  # EXIF 2.32: where the 0th row and the 0th column of the stored image are seen
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def displayed(stored: np.ndarray, orientation: int) -> np.ndarray:
    height, width = stored.shape[:2]
    row_side, column_side = SIDES[orientation]
    seen = np.zeros_like(stored if row_side in ("top", "bottom") else stored.swapaxes(0, 1))
    for r in range(height):
        for c in range(width):
            place = {row_side: r, column_side: c}
            y = place["top"] if "top" in place else seen.shape[0] - 1 - place["bottom"]
            x = place["left"] if "left" in place else seen.shape[1] - 1 - place["right"]
            seen[y, x] = stored[r, c]
    return seen


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_of_a_jpeg(orientation: int, order: str) -> None:
    plain = jpeg(make_image(), quality=90)
    turned = plain[:2] + segment(0xE1, b"Exif\0\0" + exif(orientation, order)) + plain[2:]
    expected = displayed(decode_image(plain), orientation)
    np.testing.assert_array_equal(decode_image(turned), expected)
    assert size_of(turned) == check_pixels(turned) == expected.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("place", ["before", "after"])
def test_orientation_of_a_png(orientation: int, place: str) -> None:
    written = values((5, 8), 200)
    file = png(written, **{place: chunk(b"eXIf", exif(orientation))})
    expected = displayed(written, orientation)
    np.testing.assert_array_equal(decode_mask(file), expected)
    np.testing.assert_array_equal(decode_image(file)[:, :, 0], expected)
    assert size_of(file) == check_pixels(file) == expected.shape


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"II*\0",
        exif(6)[:-12],
        exif(6)[:12],
        exif(0),
        exif(9),
        b"XX" + exif(6)[2:],
        b"II*\0\xff\xff\xff\xff" + exif(6)[8:],
        exif(6).replace(b"\x12\1\3\0\1", b"\x12\1\3\0\2"),
    ],
)
def test_damaged_exif_counts_as_none(damaged: bytes) -> None:
    file = png(values((5, 8), 200), before=chunk(b"eXIf", damaged))
    assert size_of(file) == (5, 8)


# what can't be read


@pytest.mark.parametrize("data", [b"", b"\xff", b"GIF89a......", b"\x89PNG", b"P5 1 1 255 \0", b"II*\0" * 20])
def test_other_formats(data: bytes) -> None:
    for read in (size_of, check_pixels, decode_image, decode_mask):
        with pytest.raises(DataError) as error:
            read(data)
        assert fault(error)


def test_tiff_and_others_are_refused_though_pillow_knows_them() -> None:
    for name in ("TIFF", "BMP", "GIF", "WEBP", "PPM"):
        out = io.BytesIO()
        Image.fromarray(make_image()).save(out, name)
        with pytest.raises(DataError, match="not a JPEG or PNG"):
            decode_image(out.getvalue())


def test_every_prefix_of_a_png_is_refused() -> None:
    file = png(values((9, 14), 255), interlaced=True)
    for end in range(len(file)):
        for read in (size_of, check_pixels, decode_image, decode_mask):
            with pytest.raises(DataError):
                read(file[:end])


@pytest.mark.parametrize("progressive", [False, True])
def test_every_prefix_of_a_jpeg_is_refused(progressive: bool) -> None:
    file = jpeg(make_image(), progressive=progressive, quality=90)
    whole = decode_image(file)
    for end in range(len(file)):
        for read in (check_pixels, decode_image):
            try:
                read(file[:end])
            except DataError:
                continue
            # only the end marker may be missing: every pixel is there
            assert end >= len(file) - 2
            np.testing.assert_array_equal(decode_image(file[:end]), whole)


def test_every_flipped_bit_of_a_png_is_found() -> None:
    file = png(values((5, 8), 15), 4, PALETTE)
    for at in range(len(file)):
        for bit in range(8):
            damaged = bytearray(file)
            damaged[at] ^= 1 << bit
            with pytest.raises(DataError):
                decode_mask(bytes(damaged))


def flips(file: bytes, count: int, seed: int) -> list[bytes]:
    draw = random.Random(seed)
    out = []
    for _ in range(count):
        damaged = bytearray(file)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(file))] = draw.randrange(256)
        out.append(bytes(damaged))
    return out


def with_checksums(file: bytes) -> bytes:
    """The same PNG with the checksums that its chunks should have, so that damage reaches the decoder."""
    out, at = file[:8], 8
    while at + 12 <= len(file):
        length = struct.unpack_from(">I", file, at)[0]
        out += chunk(file[at + 4 : at + 8], file[at + 8 : at + 8 + length])
        at += 12 + length
    return out


def attempt(read: Callable[[bytes], Any], data: bytes) -> Any:
    """What the reader returns; None for a DataError with its one fault. Anything else that is raised fails the test."""
    try:
        return read(data)
    except DataError as error:
        return None if len(error.faults) == 1 else error


def survives(data: bytes) -> None:
    size = attempt(size_of, data)
    assert attempt(check_pixels, data) in (size, None)
    image, mask = attempt(decode_image, data), attempt(decode_mask, data)
    assert image is None or (image.shape, image.dtype) == ((*size, 3), np.uint8)
    assert mask is None or (mask.shape, mask.dtype) == (size, np.uint8)


def fuzzed() -> list[tuple[str, bytes]]:
    small, rgb = make_image(16, 24), values((8, 11, 3), 255)
    turned = jpeg(small)[:2] + segment(0xE1, b"Exif\0\0" + exif(6)) + jpeg(small)[2:]
    return [
        ("jpeg", turned),
        ("progressive", jpeg(small, progressive=True)),
        ("cmyk", cmyk_jpeg((1, 2, 3, 4))),
        ("palette", png(values((8, 11), 15), 4, PALETTE, before=chunk(b"eXIf", exif(6)))),
        ("interlaced", png(rgb, 8, RGB, interlaced=True)),
        ("16 bits", png(values((8, 11), 65535), 16, before=chunk(b"tRNS", b"\0\1"))),
    ]


@pytest.mark.parametrize(("name", "file"), fuzzed(), ids=[name for name, _ in fuzzed()])
def test_damaged_files_end_in_a_fault_or_an_array(name: str, file: bytes) -> None:
    for damaged in flips(file, 700, seed=len(file)):
        survives(damaged)
        if file.startswith(b"\x89PNG"):
            survives(with_checksums(damaged))


# bounds


def header_of(height: int, width: int) -> bytes:
    file = png(values((1, 1), 1))
    return file[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + file[33:]


def test_pixels_are_bounded_before_they_are_decoded() -> None:
    with pytest.raises(DataError, match="at most"):
        size_of(header_of(20_000, 20_000))
    with pytest.raises(DataError, match="at most"):
        decode_image(jpeg(make_image()).replace(struct.pack(">HH", 24, 40), struct.pack(">HH", 65_000, 65_000)))
    with pytest.raises(DataError, match="too little data"):
        decode_image(header_of(14_000, 14_000))


def test_the_limit_itself_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagemaker_semseg.data.image_headers.MAX_PIXELS", 24 * 40)
    assert check_pixels(jpeg(make_image(24, 40))) == (24, 40)
    with pytest.raises(DataError):
        check_pixels(jpeg(make_image(24, 41)))


def test_above_pillows_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns or raises through global state above its limit; ours is the one that counts."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode_image(jpeg(make_image())).shape == (24, 40, 3)
    assert decode_mask(png(values((5, 8), 200))).shape == (5, 8)


def test_bombs_in_metadata_are_never_unpacked() -> None:
    bomb = zlib.compress(bytes(40_000_000), 9)
    written = values((9, 14), 200)
    before = chunk(b"iCCP", b"profile\0\0" + bomb) + chunk(b"zTXt", b"Comment\0\0" + bomb)
    before += chunk(b"acTL", struct.pack(">II", 1 << 30, 0)) + chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)
    file = png(written, before=before, after=chunk(b"zTXt", b"Comment\0\0" + bomb))
    tracemalloc.start()
    image = decode_image(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(image[:, :, 0], written)
    assert peak < 2_000_000


def test_scans_of_a_jpeg_are_bounded() -> None:
    file = jpeg(make_image(), progressive=True)
    last = file[file.rindex(b"\xff\xda") : -2]
    assert decode_image(file[:-2] + last + file[-2:]).shape == (24, 40, 3)
    with pytest.raises(DataError, match="scans"):
        decode_image(file[:-2] + last * 500 + file[-2:])


def test_unknown_critical_chunk_is_refused() -> None:
    """Apple's CgBI is a PNG with other pixels; decoding it as if it were one gives wrong colours."""
    with pytest.raises(DataError, match="CgBI"):
        size_of(png(values((3, 3), 9), before=chunk(b"CgBI", b"\0\0\0\0")))


def test_second_image_behind_a_jpeg_is_not_read() -> None:
    file = jpeg(make_image())
    np.testing.assert_array_equal(decode_image(file + jpeg(make_image(8, 8))), decode_image(file))


# masks out


def test_encoded_mask_holds_its_labels() -> None:
    for shape in [(1, 1), (3, 7), (64, 80)]:
        labels = values(shape, 255).astype(np.uint8)
        file = encode_mask(labels)
        assert file[24:29] == bytes([8, PALETTE, 0, 0, 0])  # bit depth, colour type; not interlaced
        np.testing.assert_array_equal(decode_mask(file), labels)


def test_encoded_mask_by_an_independent_reading() -> None:
    labels = values((5, 4), 255).astype(np.uint8)
    file = encode_mask(labels)
    at = file.index(b"IDAT")
    raw = zlib.decompress(file[at + 4 : at + 4 + struct.unpack_from(">I", file, at - 4)[0]])
    lines = np.frombuffer(raw, np.uint8).reshape(5, 5)
    assert not lines[:, 0].any()  # no filter
    np.testing.assert_array_equal(lines[:, 1:], labels)
    assert file[file.index(b"PLTE") + 4 :][:768] == palette().tobytes()


def test_encode_mask_takes_views_and_refuses_other_arrays() -> None:
    labels = values((6, 8), 255).astype(np.uint8)
    np.testing.assert_array_equal(decode_mask(encode_mask(labels[::2, ::-1])), labels[::2, ::-1])
    for wrong in (labels.astype(np.int64), labels[0], labels[:0]):
        with pytest.raises(ValueError):
            encode_mask(wrong)


def test_palette_is_pascal_vocs() -> None:
    """As the development kit's documentation shows them: background, aeroplane, ..., tv/monitor, and void."""
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    first += [(128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128)]
    first += [(64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128)]
    assert palette(21).tolist() == [list(color) for color in first]
    assert palette()[255].tolist() == [224, 224, 192]
    assert len(np.unique(palette(), axis=0)) == 256
