"""What is read of a file for a crop is exactly what decoding the whole file gives there."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import decode_image, decode_mask_rows
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.training import partial_decode
from sagemaker_semseg.training.partial_decode import read_image

HEIGHT, WIDTH = 91, 117


def colours(seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    ground = Image.fromarray(random.integers(0, 256, (12, 14, 3), dtype=np.uint8))
    return ground.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def labels(values: int = 256) -> np.ndarray:
    return np.random.default_rng(1).integers(0, values, (HEIGHT, WIDTH)).astype(np.uint8)


def saved(picture: Image.Image, kind: str, **settings: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **settings)
    return out.getvalue()


def source(data: bytes) -> EncodedImage:
    return EncodedImage.parse(data, "a.png")


JPEGS: dict[str, tuple[str, dict[str, Any]]] = {
    "4:2:0": ("RGB", {"subsampling": "4:2:0"}),
    "4:2:2": ("RGB", {"subsampling": "4:2:2"}),
    "4:4:4": ("RGB", {"subsampling": "4:4:4"}),
    "progressive": ("RGB", {"progressive": True}),
    "restart markers": ("RGB", {"restart_marker_blocks": 3}),
    "stored as RGB": ("RGB", {"keep_rgb": True}),
    "grey": ("L", {}),
}


@pytest.mark.parametrize("name", JPEGS)
def test_windows_of_a_jpeg(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, settings = JPEGS[name]
    data = saved(colours().convert(mode), "JPEG", quality=88, **settings)
    opened, expected = source(data), decode_image(data)
    monkeypatch.setattr(partial_decode, "decode_image", None)  # the whole is not decoded
    random = np.random.default_rng(3)
    for _ in range(60):
        top, left = int(random.integers(HEIGHT)), int(random.integers(WIDTH))
        rows, columns = (top, int(random.integers(top, HEIGHT)) + 1), (left, int(random.integers(left, WIDTH)) + 1)
        assert (read_image(opened, rows, columns) == expected[slice(*rows), slice(*columns)]).all(), (rows, columns)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_windows_are_of_the_image_as_displayed(orientation: int) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = saved(colours(), "JPEG", exif=tags)
    expected = decode_image(data)
    assert (read_image(source(data), (10, 70), (20, 61)) == expected[10:70, 20:61]).all()
    assert (read_image(source(data)) == expected).all()


def test_other_images_are_decoded_whole() -> None:
    for data in (saved(colours(), "PNG"), saved(colours().convert("CMYK"), "JPEG")):
        assert (read_image(source(data), (5, 60), (7, 90)) == decode_image(data)[5:60, 7:90]).all()


def test_a_jpeg_that_tensorflow_refuses_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(colours(), "JPEG")

    def refuse(**_: object) -> None:
        raise partial_decode.tf.errors.InvalidArgumentError(None, None, "no")

    monkeypatch.setattr(partial_decode.tf.raw_ops, "DecodeAndCropJpeg", refuse)
    assert (read_image(source(data), (5, 60), (7, 90)) == decode_image(data)[5:60, 7:90]).all()


def paletted(values: np.ndarray) -> Image.Image:
    picture = Image.fromarray(values)
    picture.putpalette(np.random.default_rng(2).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return picture


def png(depth: int, colour: int, interlaced: bool, rows: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    data = zlib.compress(rows)
    parts = [data[at : at + 50] for at in range(0, len(data), 50)]  # a stream in many chunks
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    body = chunk(b"IHDR", header) + palette + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def interlaced(values: np.ndarray) -> bytes:
    """Adam7: seven coarse pictures, one after the other (PNG specification, section 8.2)."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for y, x, dy, dx in passes for row in values[y::dy, x::dx]]
    return png(8, 3, True, b"".join(b"\0" + row.tobytes() for row in rows))


def subtracted(values: np.ndarray) -> bytes:
    """Each row as the differences of neighbours (filter 1)."""
    rows = np.diff(values, axis=1, prepend=np.zeros((len(values), 1), np.uint8))
    return png(8, 0, False, b"".join(b"\1" + row.tobytes() for row in rows))


MASKS = {
    "palette": (256, lambda values: saved(paletted(values), "PNG")),
    "palette, many chunks": (256, lambda values: png(8, 3, False, b"".join(b"\0" + row.tobytes() for row in values))),
    "palette, transparent": (256, lambda values: saved(paletted(values), "PNG", transparency=3)),
    "palette, 1 bit": (2, lambda values: saved(paletted(values), "PNG", bits=1)),
    "palette, 2 bits": (4, lambda values: saved(paletted(values), "PNG", bits=2)),
    "palette, 4 bits": (16, lambda values: saved(paletted(values), "PNG", bits=4)),
    "grey": (256, lambda values: saved(Image.fromarray(values), "PNG")),
    "1 bit": (2, lambda values: saved(Image.fromarray(values.astype(bool)), "PNG")),
    "16 bits": (256, lambda values: saved(Image.fromarray(values.astype(np.uint16)), "PNG")),
    "interlaced": (256, interlaced),
    "filtered": (256, subtracted),
}


@pytest.mark.parametrize("name", MASKS)
def test_rows_of_a_mask_are_its_indices(name: str) -> None:
    count, write = MASKS[name]
    values = labels(count)
    opened = source(write(values))
    assert (decode_mask_rows(opened) == values).all()
    for rows in (1, 40, HEIGHT):
        read = decode_mask_rows(opened, rows)
        assert len(read) >= rows
        assert (read == values[: len(read)]).all()


def test_only_the_rows_needed_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagemaker_semseg.data.images.decode_mask", None)  # Pillow is not asked
    assert decode_mask_rows(source(saved(paletted(labels()), "PNG")), 33).shape == (33, WIDTH)


def test_damaged_masks_are_refused() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in labels())
    for data in (png(8, 0, False, rows[: len(rows) // 2]), png(8, 0, False, rows.replace(b"\0", b"\7"))):
        with pytest.raises(DataError, match=r"a\.png"):
            decode_mask_rows(source(data), HEIGHT)
