"""Checks that a request's body is one readable image, before any pixel is decoded."""

from __future__ import annotations

import re
from typing import Final

from sagemaker_semseg.data.image_headers import EncodedImage, ImageError, find_image_end
from sagemaker_semseg.errors import DataError

PIXELS_PER_BYTE: Final = 512
"""A JPEG has no more: each block of 8 x 8 pixels needs at least one bit. Decoders fill in gray what is missing."""

_WHERE: Final = "image"
_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_ANOTHER: Final = re.compile(rb"[\0\s]*(?:\xff\xd8\xff|\x89PNG\r\n\x1a\n)")

_CONVERT: Final = "convert it to JPEG or PNG; a file's content decides, not its name"
_AS_IT_IS: Final = "send the bytes of the image file as they are, for instance with curl --data-binary @FILE"
_BEGINNINGS: Final = (
    ("a GIF", rb"GIF8[79]a", _CONVERT),
    ("a TIFF", rb"II[*+]\0|MM\0[*+]", _CONVERT),
    ("a WebP", rb"RIFF....WEBP", _CONVERT),
    ("an AVIF", rb"....ftypavi", _CONVERT),
    ("a HEIC", rb"....ftyp(?:he|mif1|msf1)", _CONVERT),
    ("a JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", _CONVERT),
    ("a JPEG XL", rb"\0\0\0\x0cJXL |\xff\x0a", _CONVERT),
    ("a BMP", rb"BM....\0\0\0\0", _CONVERT),
    ("an EPS or PostScript file", rb"%!PS|\xc5\xd0\xd3\xc6", _CONVERT),
    ("a PDF", rb"%PDF-", _CONVERT),
    ("an SVG or another text in XML or HTML", rb"(?:\xef\xbb\xbf)?\s*<[?!a-zA-Z]", _CONVERT),
    ("a zip file", rb"PK[\3\5]", "send the images in it, one in each request"),
    ("a gzip file", rb"\x1f\x8b", "unpack it"),
    ("a NumPy file", rb"\x93NUMPY", "save the array as a PNG and send that"),
    ("base64", rb"/9j/|iVBORw0KGgo|data:image/", _AS_IT_IS),
    ("JSON", rb"\s*[\[{]", _AS_IT_IS),
    ("a form", rb"--[^\r\n]+\r\n", _AS_IT_IS),
)


def check_image_body(data: bytes) -> EncodedImage:
    """Returns the one JPEG or PNG in a body, with its header.

    Data that a camera appends is accepted: images in the file's index (MPF), zeros and private data.

    Raises:
        DataError: The body is empty, of another format (by its content), damaged as far as its structure shows, too
            large an image, or more than one.
    """
    if not data.startswith((_PNG, _JPEG)):
        raise _no_image(data)
    end = find_image_end(data, _WHERE)
    image = EncodedImage.parse(data, _WHERE)
    height, width = image.size
    if data.startswith(_JPEG) and height * width > PIXELS_PER_BYTE * len(data):
        what = f"the JPEG is truncated: {len(data)} bytes are too few for {width} x {height} pixels"
        raise ImageError(_WHERE, what, "copy or download the file again: it is cut short or damaged")
    if end is not None and _ANOTHER.match(data, end):
        what = f"another image begins behind the first one, which has {end} bytes of {len(data)}"
        raise ImageError(_WHERE, what, "send one image in each request")
    return image


def _no_image(data: bytes) -> DataError:
    if not data:
        return ImageError(_WHERE, "no bytes came; those of a JPEG or PNG file are expected", _AS_IT_IS)
    start = data[:256]
    for name, pattern, remedy in _BEGINNINGS:
        if re.match(pattern, start, re.DOTALL):
            return ImageError(_WHERE, f"it is {name}; a JPEG or PNG is expected", remedy)
    return ImageError(_WHERE, f"it is neither a JPEG nor a PNG (it begins with {data[:8]!r})", _AS_IT_IS)
