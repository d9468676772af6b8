"""The body of an invocation: bytes come in, the size of the one image in them goes out, or why there is none.

Called by the workers before any pixel is decoded. ``data`` knows whether one image can be read; what is found out here
is what only a server meets: bodies that are something else altogether, and several images in one.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from sagemaker_semseg.data.image_headers import refusal
from sagemaker_semseg.data.images import image_size
from sagemaker_semseg.errors import DataError

MAX_PARTS: Final = 100_000
"""Segments of a JPEG or chunks of a PNG: each costs time, however few its bytes. A PNG of 100 MB has about 12 000."""

PIXELS_PER_BYTE: Final = 512
"""A JPEG has no more: each block of 8 x 8 pixels needs at least one bit. Decoders make up what is missing, in grey."""

_WHERE: Final = "image"
_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
# Any marker but those that occur among compressed pixels: 0 stands for a byte of 0xFF there, 0xD0 to 0xD7 are restarts.
_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_SOI, _EOI, _APP2 = 0xD8, 0xD9, 0xE2
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


def check_image_body(data: bytes) -> tuple[int, int]:
    """(height, width), as displayed, of the one JPEG or PNG in a body.

    Raises ``DataError``: the body is empty, of another format (told by its content), damaged as far as the file's
    structure shows it, too large a picture, or more than one. What a camera has put behind a picture is no image of its
    own where the file's index of images (MPF) says so; neither are zeros nor private data.
    """
    if data.startswith(_PNG):
        end = _png_end(data)
    elif data.startswith(_JPEG):
        end = _jpeg_end(data)
    else:
        raise _no_image(data)
    size = height, width = image_size(data, _WHERE)
    if data.startswith(_JPEG) and height * width > PIXELS_PER_BYTE * len(data):
        what = f"the JPEG is truncated: {len(data)} bytes are too few for {width} x {height} pixels"
        raise refusal(_WHERE, what, "copy or download the file again: it is cut short or damaged")
    if end is not None and _ANOTHER.match(data, end):
        what = f"another image begins behind the first one, which has {end} bytes of {len(data)}"
        raise refusal(_WHERE, what, "send one image in each request")
    return size


def _png_end(data: bytes) -> int | None:
    """Where a PNG ends; None if it doesn't."""
    at = len(_PNG)
    for _ in range(MAX_PARTS):
        if at + 12 > len(data):
            return None
        length, name = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if name == b"IEND":
            return at
    raise _too_many("PNG", "chunks")


def _jpeg_end(data: bytes) -> int | None:
    """Where a JPEG ends; None if it doesn't, or if it's the first of several that are one picture."""
    at = len(_JPEG) - 1
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return None
        marker, at = data[found.end() - 1], found.end()
        if marker == _EOI:
            return at
        if marker == _SOI:
            return found.start()
        if marker == _APP2 and data.startswith(b"MPF\0", at + 2):
            return None
        at += int.from_bytes(data[at : at + 2], "big")
    raise _too_many("JPEG", "segments")


def _too_many(kind: str, parts: str) -> DataError:
    return refusal(_WHERE, f"a {kind} of more than {MAX_PARTS} {parts}", f"save it anew, as a plain {kind}")


def _no_image(data: bytes) -> DataError:
    if not data:
        return refusal(_WHERE, "no bytes came; those of a JPEG or PNG file are expected", _AS_IT_IS)
    start = data[:256]
    for name, pattern, remedy in _BEGINNINGS:
        if re.match(pattern, start, re.DOTALL):
            return refusal(_WHERE, f"it is {name}; a JPEG or PNG is expected", remedy)
    return refusal(_WHERE, f"it is neither a JPEG nor a PNG (it begins with {data[:8]!r})", _AS_IT_IS)
