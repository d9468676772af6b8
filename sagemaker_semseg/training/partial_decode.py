"""Decodes only the part of a JPEG that a crop needs.

TensorFlow's decoder, the same libjpeg-turbo as Pillow's, reconstructs a window of the image. JPEG's scaled decoding
isn't used: it stays within 2 levels of the whole image scaled down only where a further reduction of 6 follows, which
hardly ever occurs.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import Pixels, Span, decode_image

# Color is stored at half the resolution; at the border of what is decoded it can't be interpolated.
_JPEG_MARGIN = 2


def read_image(source: EncodedImage, rows: Span | None = None, columns: Span | None = None) -> Pixels:
    """Decodes a part of an image, exactly as ``decode_image`` does.

    Args:
        source: A JPEG or PNG.
        rows: (from, to excluded), as displayed; None is all.
        columns: likewise.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        DataError: if it can't be decoded.
    """
    header = source.header
    if rows is None or columns is None:
        return decode_image(source, rows=rows, columns=columns)
    if header.format == "JPEG" and header.orientation == 1 and header.channels in (1, 3):
        pixels = _decode_window(source, rows, columns)
        if pixels is not None:
            return pixels
    return decode_image(source, rows=rows, columns=columns)


def _decode_window(image: EncodedImage, rows: Span, columns: Span) -> Pixels | None:
    """None if TensorFlow's decoder refuses the file."""
    left = max(0, columns[0] - _JPEG_MARGIN)
    right = min(image.header.width, columns[1] + _JPEG_MARGIN)
    try:
        with tf.device("CPU:0"):
            decoded = tf.raw_ops.DecodeAndCropJpeg(
                contents=image.stream,
                crop_window=[rows[0], left, rows[1] - rows[0], right - left],
                channels=3,
                dct_method="INTEGER_ACCURATE",
            )
    except tf.errors.InvalidArgumentError:
        return None
    pixels: Pixels = np.asarray(memoryview(decoded))[:, columns[0] - left : columns[1] - left]
    return pixels
