"""Small images for the pages: sizes, and JPEGs as data: URIs."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["SIDE", "jpeg", "jpeg_data_uri", "shrink_image", "shrink_labels", "thumbnail_size"]

Bytes = npt.NDArray[np.uint8]

SIDE: Final = 400
"""The longer side of a thumbnail in pixels; smaller images are enlarged by a whole factor up to it."""

_MAX_BYTES: Final = 40_000  # about


def thumbnail_size(height: int, width: int, side: int = SIDE) -> tuple[int, int]:
    """Return (width, height) of the thumbnail, as Pillow expects them."""
    longer = max(height, width)
    if longer <= side:
        factor = side // longer
        return width * factor, height * factor
    return max(1, round(width * side / longer)), max(1, round(height * side / longer))


def shrink_image(pixels: Bytes, size: tuple[int, int]) -> Bytes:
    """Resize (H, W, 3) uint8 to (width, height)."""
    resampling = Image.Resampling.BICUBIC if size[0] > pixels.shape[1] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))


def shrink_labels(labels: Bytes, size: tuple[int, int]) -> Bytes:
    """Resize (H, W) uint8 labels to (width, height); no label is made up."""
    return np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))


def jpeg(pixels: Bytes) -> bytes:
    """Encode (H, W, 3) uint8 as a JPEG of at most about 40 kB."""
    data = b""
    for quality in (82, 60, 40, 20):  # noise takes more bytes than a real image
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=quality)
        data = out.getvalue()
        if len(data) <= _MAX_BYTES:
            break
    return data


def jpeg_data_uri(pixels: Bytes) -> str:
    """Encode (H, W, 3) uint8 as ``jpeg`` does, as a ``data:`` URI."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(pixels)).decode()
