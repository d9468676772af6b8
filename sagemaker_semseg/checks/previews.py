"""Pairs to be looked at: a specimen comes in, two small JPEGs go out, the image and its labels laid over it.

Called by ``page``. Files may have changed or gone since they were examined, and may be large: what can't be shown is
said, and pictures above a limit aren't opened.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.checks.report import Preview
from sagemaker_semseg.data.color_masks import read_labels
from sagemaker_semseg.data.images import decode_image, decode_mask
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.overlay import overlay
from sagemaker_semseg.errors import DataError

__all__ = ["Thumbnails", "thumbnails"]

SIDE: Final = 400
"""The longer side of a small picture in pixels; smaller images are enlarged by a whole factor up to it."""

MOST_BYTES: Final = 40_000
"""Of one small picture, or about as many."""

MAX_PIXELS: Final = 1 << 25
MAX_BYTES: Final = 1 << 27

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Thumbnails:
    """image, overlay: JPEGs as ``data:`` URIs. width, height: of both. labels: that occur, the frequent ones first."""

    image: str
    overlay: str
    width: int
    height: int
    labels: tuple[int, ...]


def thumbnails(specimen: Preview, num_classes: int, lookup: Pixels | None) -> Thumbnails | str:
    """The small pictures, or why there are none. lookup: as in ``SplitFacts``."""
    if specimen.height * specimen.width > MAX_PIXELS:
        return "too large to be shown here"
    try:
        image = decode_image(_bytes(specimen.image), "the image")
        mask = _bytes(specimen.mask)
        if specimen.colours:
            labels, _ = read_labels(mask, specimen.colours, "the mask")
        else:
            labels = decode_mask(mask, "the mask")
    except (DataError, OSError) as error:
        faults = error.faults if isinstance(error, DataError) else ()
        return str(faults[0]) if faults else f"can't be read any more: {getattr(error, 'strerror', None) or error}"
    if lookup is not None:
        labels = lookup[labels]
    labels = np.where(labels < num_classes, labels, IGNORE).astype(np.uint8)
    found = np.bincount(labels.ravel(), minlength=256)
    order = sorted(np.flatnonzero(found).tolist(), key=lambda label: (label == IGNORE, -found[label]))
    size = _size(*image.shape[:2])
    smooth = Image.Resampling.BICUBIC if size[0] > image.shape[1] else Image.Resampling.BOX
    small = np.asarray(Image.fromarray(image).resize(size, smooth))
    marks = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    return Thumbnails(_uri(small), _uri(overlay(small, marks, num_classes)), *size, tuple(order))


def _bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"more than {MAX_BYTES} bytes")
    return data


def _size(height: int, width: int) -> tuple[int, int]:
    """(width, height), as Pillow wants it."""
    longer = max(height, width)
    if longer <= SIDE:
        factor = SIDE // longer
        return width * factor, height * factor
    return max(1, round(width * SIDE / longer)), max(1, round(height * SIDE / longer))


def _uri(pixels: Pixels) -> str:
    data = b""
    for quality in (82, 60, 40, 20):  # noise takes more bytes than any photograph
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=quality)
        data = out.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
