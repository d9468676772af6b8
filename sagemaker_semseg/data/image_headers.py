"""The outside of an image file: which format, how large, which way up.

In: the bytes of a file, trusted in nothing. Out: a ``Header``, with the bytes that a decoder needs and no others.
Called by ``images`` alone, before any pixel is decoded.

What a decoder needs is little: text, colour profiles, thumbnails, animation frames and private chunks are left out, so
that a bomb or a mistake in one of them reaches no decoder. What is kept of a PNG has been compared with its checksums
here, because Pillow skips those of the pixel data and a damaged mask would be read as wrong labels.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from sagemaker_semseg.errors import DataError, Fault

MAX_PIXELS = 200_000_000
"""Height times width of the largest image that is read: about 1.4 GB at the moment of its decoding."""

MAX_SCANS = 500
"""Scans of a progressive JPEG: about ten are usual; each costs time for the whole picture, however few its bytes."""

_JPEG_SIGNATURE = b"\xff\xd8\xff"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEFLATE_RATIO = 1032  # no deflate stream grows by more
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x00, 0x01}
_ORIENTATION_TAG = 0x0112
_TRUNCATED = "copy or download the file again: it is cut short"
_DAMAGED = "copy or download the file again, or save it anew from its source"


@dataclass(frozen=True)
class Header:
    """What a file says about its picture.

    height, width: in pixels, as stored (``orientation`` is not applied).
    channels: samples per pixel (a palette index is one); depth: bits per sample.
    palette: the samples are indices into a palette.
    orientation: EXIF's, 1 to 8. adobe: a JPEG with Adobe's marker, whose CMYK is stored inverted.
    stream: a file of the same pixels without metadata.
    """

    kind: Literal["JPEG", "PNG"]
    height: int
    width: int
    channels: int
    depth: int
    palette: bool
    orientation: int
    adobe: bool
    stream: bytes

    @property
    def displayed(self) -> tuple[int, int]:
        """(height, width) after the orientation is applied."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


class Refusal(DataError):
    """What every reader of images raises: one fault, so that a caller can collect ``error.faults``.

    kind: a few words for faults of this sort; empty where it is one of the many ways in which a file is unusable.
    """

    def __init__(self, fault: Fault, kind: str = ""):
        super().__init__("an image can't be used", [fault])
        self.kind = kind


def refusal(where: str, what: str, remedy: str, kind: str = "") -> Refusal:
    """The error of one fault."""
    return Refusal(Fault(where, what, remedy), kind)


def read_header(data: bytes, where: str) -> Header:
    """The header of a JPEG or PNG file, told apart by content.

    ``where`` names the file in errors. Raises ``DataError`` (one fault) for another format, a damaged or truncated
    structure, or more than ``MAX_PIXELS`` pixels.
    """
    if data.startswith(_PNG_SIGNATURE):
        return _read_png(data, where)
    if data.startswith(_JPEG_SIGNATURE):
        return _read_jpeg(data, where)
    if not data:
        raise refusal(where, "the file is empty", _TRUNCATED, "empty file")
    raise refusal(where, f"not a JPEG or PNG file (it begins with {data[:8]!r})", "convert it to JPEG or PNG")


def _read_png(data: bytes, where: str) -> Header:
    kept = [_PNG_SIGNATURE]
    compressed, orientation, has_palette = 0, 0, False
    ihdr: bytes | None = None
    at = len(_PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise refusal(where, "the PNG is truncated", _TRUNCATED)
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise refusal(where, f"the PNG is truncated in its {_printable(name)} chunk", _TRUNCATED)
        body = data[at + 8 : end - 4]
        if (name == b"IHDR") != (ihdr is None):
            raise refusal(where, "the PNG must have one header, as its first chunk", _DAMAGED)
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            if struct.unpack_from(">I", data, end - 4)[0] != zlib.crc32(data[at + 4 : end - 4]):
                raise refusal(where, f"the PNG is damaged: wrong checksum in its {_printable(name)} chunk", _DAMAGED)
            kept.append(data[at:end])
        elif not name[0] & 0x20:
            raise refusal(where, f"the PNG has an unknown critical chunk, {_printable(name)}", "save it as a plain PNG")
        if name == b"IHDR":
            ihdr = body
        elif name == b"PLTE":
            has_palette = True
        elif name == b"IDAT":
            compressed += length
        elif name == b"eXIf":
            orientation = orientation or _exif_orientation(body)
        elif name == b"IEND":
            break
        at = end
    return _png_header(ihdr or b"", b"".join(kept), compressed, has_palette, orientation or 1, where)


def _png_header(ihdr: bytes, stream: bytes, compressed: int, has_palette: bool, orientation: int, where: str) -> Header:
    if len(ihdr) != 13:
        raise refusal(where, "the PNG's header has a wrong length", _DAMAGED)
    width, height, depth, colour, method, filtering, interlace = struct.unpack(">IIBBBBB", ihdr)
    valid = depth in _PNG_DEPTHS.get(colour, ()) and method == filtering == 0 and interlace in (0, 1)
    if not valid or not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        raise refusal(where, "the PNG's header holds impossible values", _DAMAGED)
    if colour == 3 and not has_palette:
        raise refusal(where, "a palette PNG without a palette", _DAMAGED)
    _bounded(height, width, where)
    channels = _PNG_CHANNELS[colour]
    # a small file can't claim a large picture, and with it memory
    if height * width * channels * depth // 8 > _DEFLATE_RATIO * compressed:
        raise refusal(where, "the PNG is truncated: too little data for its size", _TRUNCATED)
    return Header("PNG", height, width, channels, depth, colour == 3, orientation, False, stream)


def _read_jpeg(data: bytes, where: str) -> Header:
    kept = [data[:2]]
    frame: tuple[int, int, int, int] | None = None
    orientation, adobe = 0, False
    at = 2
    while True:
        at = data.find(b"\xff", at)
        while 0 <= at < len(data) and data[at] == 0xFF:  # markers may be filled up with further 0xFF
            at += 1
        if not 0 < at < len(data) - 2:
            raise refusal(where, "the JPEG is truncated before its pixels", _TRUNCATED)
        marker = data[at]
        if marker == 0xD9:
            raise refusal(where, "the JPEG ends before its pixels", _TRUNCATED)
        if marker in _WITHOUT_LENGTH:
            continue
        end = at + 1 + struct.unpack_from(">H", data, at + 1)[0]
        if end > len(data) or end < at + 3:
            raise refusal(where, "the JPEG is truncated in its header", _TRUNCATED)
        body = data[at + 3 : end]
        if marker == 0xDA:
            if data.count(b"\xff\xda", at - 1) > MAX_SCANS:
                raise refusal(where, f"a JPEG of more than {MAX_SCANS} scans", "save it anew, as a baseline JPEG")
            kept.append(data[at - 1 :])
            break
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = orientation or _exif_orientation(body[6:])
        if marker == 0xEE and body.startswith(b"Adobe"):
            adobe = True
        if marker in _START_OF_FRAME:
            if frame is not None or len(body) < 6:
                raise refusal(where, "the JPEG's frame header is damaged", _DAMAGED)
            frame = struct.unpack_from(">BHHB", body)
        # JFIF's and Adobe's segments decide the colour space; the other ones and comments decide nothing
        if not (0xE1 <= marker <= 0xEF and marker != 0xEE) and marker != 0xFE:
            kept.append(data[at - 1 : end])
        at = end
    return _jpeg_header(frame, b"".join(kept), orientation or 1, adobe, where)


def _jpeg_header(
    frame: tuple[int, int, int, int] | None, stream: bytes, orientation: int, adobe: bool, where: str
) -> Header:
    if frame is None or 0 in frame:
        raise refusal(where, "the JPEG's header doesn't tell the size of the picture", _DAMAGED)
    depth, height, width, channels = frame
    if depth != 8 or channels not in (1, 3, 4):
        what = f"a JPEG of {channels} channels with {depth} bits each; 1, 3 or 4 channels of 8 bits can be read"
        raise refusal(where, what, "save it as an 8-bit RGB or grey JPEG")
    _bounded(height, width, where)
    return Header("JPEG", height, width, channels, depth, False, orientation, adobe, stream)


def _bounded(height: int, width: int, where: str) -> None:
    if height * width > MAX_PIXELS:
        what = f"a picture of {width} x {height} pixels; at most {MAX_PIXELS} in all can be read"
        raise refusal(where, what, "scale it down or cut it into tiles")


def _exif_orientation(tiff: bytes) -> int:
    """The orientation tag of EXIF data (TIFF 6.0: tag 0x0112 of the first directory), 0 where there is none.

    EXIF is often damaged by editing programs and the picture is still good; such data counts as having no tag.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 0
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    if at + 2 > len(tiff):
        return 0
    (entries,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * entries, len(tiff) - 11), 12):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _ORIENTATION_TAG:
            return value if (kind, count) == (3, 1) and 1 <= value <= 8 else 0
    return 0


def _printable(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace") if name.isalnum() else repr(name)
