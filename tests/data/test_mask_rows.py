"""The first rows of a mask are those of the whole mask, whatever the kind of PNG."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import decode_mask_rows
from sagemaker_semseg.errors import DataError

HEIGHT, WIDTH = 91, 117


def labels(values: int = 256) -> np.ndarray:
    return np.random.default_rng(1).integers(0, values, (HEIGHT, WIDTH)).astype(np.uint8)


def saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def source(data: bytes) -> EncodedImage:
    return EncodedImage.parse(data, "a.png")


def paletted(values: np.ndarray) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette(np.random.default_rng(2).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


def png(depth: int, color: int, interlaced: bool, rows: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, interlaced)
    data = zlib.compress(rows)
    parts = [data[at : at + 50] for at in range(0, len(data), 50)]  # a stream in many chunks
    palette = chunk(b"PLTE", bytes(768)) if color == 3 else b""
    body = chunk(b"IHDR", header) + palette + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def interlaced(values: np.ndarray) -> bytes:
    """Adam7: seven coarse images, one after the other (PNG specification, section 8.2)."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for y, x, dy, dx in passes for row in values[y::dy, x::dx]]
    return png(8, 3, True, b"".join(b"\0" + row.tobytes() for row in rows))


def subtracted(values: np.ndarray) -> bytes:
    """Each row as the differences of neighbors (filter 1)."""
    rows = np.diff(values, axis=1, prepend=np.zeros((len(values), 1), np.uint8))
    return png(8, 0, False, b"".join(b"\1" + row.tobytes() for row in rows))


MASKS = {
    "palette": (256, lambda values: saved(paletted(values), "PNG")),
    "palette, many chunks": (256, lambda values: png(8, 3, False, b"".join(b"\0" + row.tobytes() for row in values))),
    "palette, transparent": (256, lambda values: saved(paletted(values), "PNG", transparency=3)),
    "palette, 1 bit": (2, lambda values: saved(paletted(values), "PNG", bits=1)),
    "palette, 2 bits": (4, lambda values: saved(paletted(values), "PNG", bits=2)),
    "palette, 4 bits": (16, lambda values: saved(paletted(values), "PNG", bits=4)),
    "gray": (256, lambda values: saved(Image.fromarray(values), "PNG")),
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


def test_only_the_rows_that_are_needed_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagemaker_semseg.data.images.decode_mask", None)  # without Pillow
    assert decode_mask_rows(source(saved(paletted(labels()), "PNG")), 33).shape == (33, WIDTH)


def test_damaged_masks_are_refused() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in labels())
    for data in (png(8, 0, False, rows[: len(rows) // 2]), png(8, 0, False, rows.replace(b"\0", b"\7"))):
        with pytest.raises(DataError, match=r"a\.png"):
            decode_mask_rows(source(data), HEIGHT)
