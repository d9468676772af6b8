"""Reads from the bytes of a picture only what a crop needs.

In: a ``Source``, the bytes of a file or of a record in a stream, and a part of its picture. Out: the pixels of that
part, exactly those of ``decode_image`` and ``decode_mask``. Called by ``pipeline`` for training. Pictures whose kind
has no shorter way are decoded whole.

JPEG: TensorFlow's decoder, the same libjpeg-turbo as Pillow's, reconstructs a window of the picture. JPEG's scaled
decoding isn't used: it stays within 2 levels of the whole picture scaled down only where a further reduction of 6
follows, which hardly ever occurs. PNG: the rows of a mask without prediction filters, as palette images are written,
lie in the stream as they are, and the stream is unpacked no further than they reach.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.color_map import Colours
from sagemaker_semseg.data.color_masks import read_labels
from sagemaker_semseg.data.image_headers import Header, read_header
from sagemaker_semseg.data.images import decode_image, decode_mask
from sagemaker_semseg.training.resample import Pixels

Span = tuple[int, int]

# Colour is stored at half the resolution; at the border of what is decoded it can't be interpolated.
_JPEG_MARGIN = 2


@dataclass(frozen=True)
class EncodedImage:
    """A picture's bytes, of which the header has been read.

    where: names them in errors. colours: what the colours of a mask mean; None if its numbers count.
    """

    data: bytes
    where: str
    header: Header
    colours: Colours | None = None

    @classmethod
    def of(cls, data: bytes, where: str, colours: Colours | None = None) -> EncodedImage:
        """Raises ``DataError`` if they aren't a JPEG or PNG."""
        return cls(data, where, read_header(data, where), colours)


def read_image(source: EncodedImage, rows: Span | None = None, columns: Span | None = None) -> Pixels:
    """Rows and columns (from, to excluded; None is all) of the image as displayed: (height, width, 3) uint8 RGB.

    Raises ``DataError`` if it can't be decoded.
    """
    header = source.header
    if rows is None or columns is None:
        return decode_image(source.data, source.where)
    if header.kind == "JPEG" and header.orientation == 1 and header.channels in (1, 3):
        pixels = _jpeg_window(header, rows, columns)
        if pixels is not None:
            return pixels
    return decode_image(source.data, source.where)[slice(*rows), slice(*columns)]


def read_mask(source: EncodedImage, rows: int | None = None) -> Pixels:
    """The mask's values in its first ``rows`` rows (None is all; more may come): (height, width) uint8.

    Of a mask with colours, the labels. Raises ``DataError`` if it can't be decoded.
    """
    if source.colours:
        return read_labels(source.data, source.colours, source.where).labels
    header = source.header
    if header.kind == "PNG" and (header.channels, header.depth, header.orientation) == (1, 8, 1):
        values = _png_rows(header, rows or header.height)
        if values is not None:
            return values
    return decode_mask(source.data, source.where)


def _jpeg_window(header: Header, rows: Span, columns: Span) -> Pixels | None:
    """None if this decoder refuses the file."""
    left = max(0, columns[0] - _JPEG_MARGIN)
    right = min(header.width, columns[1] + _JPEG_MARGIN)
    try:
        with tf.device("CPU:0"):
            decoded = tf.raw_ops.DecodeAndCropJpeg(
                contents=header.stream,
                crop_window=[rows[0], left, rows[1] - rows[0], right - left],
                channels=3,
                dct_method="INTEGER_ACCURATE",
            )
    except tf.errors.InvalidArgumentError:
        return None
    pixels: Pixels = np.asarray(memoryview(decoded))[:, columns[0] - left : columns[1] - left]
    return pixels


def _png_rows(header: Header, rows: int) -> Pixels | None:
    """None if the PNG is interlaced or filtered, or its stream is damaged."""
    stream = header.stream  # the signature, then the chunks IHDR, PLTE, IDAT and IEND alone, whose checksums are right
    if stream[28] != 0:
        return None
    size = rows * (header.width + 1)  # each row begins with the number of its filter
    try:
        raw = zlib.decompressobj().decompress(_png_data(stream), size)
    except zlib.error:
        return None
    if len(raw) != size:
        return None
    lines = np.frombuffer(raw, np.uint8).reshape(rows, -1)
    return None if lines[:, 0].any() else lines[:, 1:]


def _png_data(stream: bytes) -> bytes:
    parts = []
    at = 8
    while at < len(stream):
        length, name = struct.unpack_from(">I4s", stream, at)
        if name == b"IDAT":
            parts.append(stream[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(parts)
