"""Reads the headers of JPEG and PNG files before any pixel is decoded.

The bytes are not trusted. A decoder gets only what it needs: text, color profiles, thumbnails, animation frames and
private chunks are dropped, so that a bomb or a fault in one of them reaches no decoder. The checksums of a PNG's pixel
data are compared here, because Pillow skips them and a damaged mask would be read as wrong labels.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from sagemaker_semseg.errors import DataError, Fault

MAX_PIXELS: Final = 200_000_000
"""Height times width of the largest image that is read: its decoding takes about 1.4 GB at the peak."""

MAX_SCANS: Final = 500
"""Scans of a progressive JPEG: about ten are usual; each costs time for the whole image, however few its bytes."""

MAX_PARTS: Final = 100_000
"""Segments of a JPEG or chunks of a PNG that ``image_end`` reads: a PNG of 100 MB has about 12 000."""

_JPEG_SIGNATURE: Final = b"\xff\xd8\xff"
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEFLATE_RATIO: Final = 1032  # no deflate stream grows by more
# Any marker but those without a length: 0 stands for a byte of 0xFF among compressed pixels, 0xD0 to 0xD7 are restarts.
_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_SOI, _EOI, _SOS, _APP1, _APP2, _APP14, _COMMENT = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xEE, 0xFE
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ORIENTATION_TAG: Final = 0x0112
_TRUNCATED: Final = "copy or download the file again: it is cut short"
_DAMAGED: Final = "copy or download the file again, or save it again from its source"


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its image.

    Attributes:
        format: "JPEG" or "PNG", by content.
        height: in pixels, as stored (``orientation`` is not applied).
        width: in pixels, as stored.
        channels: samples per pixel; a palette index is one.
        depth: bits per sample.
        palette: whether the samples are indices into a palette.
        orientation: EXIF's, 1 to 8.
        adobe: whether a JPEG has Adobe's marker; its CMYK is stored inverted.
    """

    format: Literal["JPEG", "PNG"]
    height: int
    width: int
    channels: int
    depth: int = 8
    palette: bool = False
    orientation: int = 1
    adobe: bool = False

    @property
    def displayed(self) -> tuple[int, int]:
        """(height, width) after the orientation is applied."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


@dataclass(frozen=True)
class EncodedImage:
    """A JPEG or PNG whose header has been read and whose pixels haven't been decoded.

    Attributes:
        header: the parsed header.
        stream: a file of the same pixels without metadata, for a decoder.
        where: names the file in errors.
    """

    header: ImageHeader
    stream: bytes
    where: str

    @classmethod
    def parse(cls, data: bytes, where: str = "image") -> EncodedImage:
        """Reads the header of a JPEG or PNG file; its content decides, not its name.

        Args:
            data: the bytes of the file.
            where: names the file in errors.

        Raises:
            ImageError: for another format, a damaged or truncated structure, or more than ``MAX_PIXELS`` pixels.
        """
        if data.startswith(_PNG_SIGNATURE):
            return cls(*_read_png(data, where), where)
        if data.startswith(_JPEG_SIGNATURE):
            return cls(*_read_jpeg(data, where), where)
        if not data:
            raise ImageError(where, "the file is empty", _TRUNCATED, "empty file")
        raise ImageError(where, f"not a JPEG or PNG file (it begins with {data[:8]!r})", "convert it to JPEG or PNG")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, as displayed."""
        return self.header.displayed


class ImageError(DataError):
    """An image can't be used. It has one fault, so that a caller can collect ``error.faults``.

    Attributes:
        kind: a few words for faults of this sort; empty for one of the many ways in which a file is unusable.
    """

    def __init__(self, where: str, what: str, remedy: str, kind: str = ""):
        super().__init__("an image can't be used", [Fault(where, what, remedy)])
        self.kind = kind


def find_image_end(data: bytes, where: str = "image") -> int | None:
    """Finds where the first JPEG or PNG in ``data`` ends.

    Returns:
        The position after its last byte. None for a file that is cut short, for another format, and for a JPEG that
        states itself that further ones belong to it (MPF).

    Raises:
        ImageError: for more than ``MAX_PARTS`` chunks or segments, each of which costs time.
    """
    if data.startswith(_PNG_SIGNATURE):
        for number, (name, _, end) in enumerate(_png_chunks(data)):
            if number == MAX_PARTS:
                raise _too_many_parts("PNG", "chunks", where)
            if name == b"IEND":
                return end
    elif data.startswith(_JPEG_SIGNATURE):
        for number, (marker, at) in enumerate(_jpeg_markers(data)):
            if number == MAX_PARTS:
                raise _too_many_parts("JPEG", "segments", where)
            if marker == _EOI:
                return at + 1
            if marker == _SOI:
                return at - 1
            if marker == _APP2 and data.startswith(b"MPF\0", at + 3):
                return None
    return None


def png_pixel_data(stream: bytes) -> bytes:
    """Joins the compressed pixel data of a PNG, the bodies of its IDAT chunks."""
    return b"".join(stream[at + 8 : end - 4] for name, at, end in _png_chunks(stream) if name == b"IDAT")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields each chunk's name, start and end; the end of a truncated one lies beyond the data."""
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at, at + 12 + length
        at += 12 + length


def _read_png(data: bytes, where: str) -> tuple[ImageHeader, bytes]:
    kept = [_PNG_SIGNATURE]
    compressed, orientation, has_palette = 0, 0, False
    ihdr: bytes | None = None
    for name, at, end in _png_chunks(data):
        if end > len(data):
            raise ImageError(where, f"the PNG is truncated in its {_printable(name)} chunk", _TRUNCATED)
        body = data[at + 8 : end - 4]
        if (name == b"IHDR") != (ihdr is None):
            raise ImageError(where, "the PNG must have one header, as its first chunk", _DAMAGED)
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            if struct.unpack_from(">I", data, end - 4)[0] != zlib.crc32(data[at + 4 : end - 4]):
                raise ImageError(where, f"the PNG is damaged: wrong checksum in its {_printable(name)} chunk", _DAMAGED)
            kept.append(data[at:end])
        elif not name[0] & 0x20:
            what = f"the PNG has an unknown critical chunk, {_printable(name)}"
            raise ImageError(where, what, "save it as a plain PNG")
        if name == b"IHDR":
            ihdr = body
        elif name == b"PLTE":
            has_palette = True
        elif name == b"IDAT":
            compressed += len(body)
        elif name == b"eXIf":
            orientation = orientation or _exif_orientation(body)
        elif name == b"IEND":
            header = _png_header(ihdr or b"", compressed, has_palette, orientation or 1, where)
            return header, b"".join(kept)
    raise ImageError(where, "the PNG is truncated", _TRUNCATED)


def _png_header(ihdr: bytes, compressed: int, has_palette: bool, orientation: int, where: str) -> ImageHeader:
    if len(ihdr) != 13:
        raise ImageError(where, "the PNG's header has a wrong length", _DAMAGED)
    width, height, depth, color, method, filtering, interlace = struct.unpack(">IIBBBBB", ihdr)
    valid = depth in _PNG_DEPTHS.get(color, ()) and method == filtering == 0 and interlace in (0, 1)
    if not valid or not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        raise ImageError(where, "the PNG's header holds impossible values", _DAMAGED)
    if color == 3 and not has_palette:
        raise ImageError(where, "a palette PNG without a palette", _DAMAGED)
    _check_pixels(height, width, where)
    channels = _PNG_CHANNELS[color]
    # a small file can't claim a large image, and with it memory
    if height * width * channels * depth // 8 > _DEFLATE_RATIO * compressed:
        raise ImageError(where, "the PNG is truncated: too little data for its size", _TRUNCATED)
    return ImageHeader("PNG", height, width, channels, depth, color == 3, orientation)


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields each marker and the position of its byte; the caller checks the length that follows it."""
    at = 2
    while found := _MARKER.search(data, at):
        at = found.end()
        marker = data[at - 1]
        yield marker, at - 1
        if marker != _SOI:
            at += int.from_bytes(data[at : at + 2], "big")


def _read_jpeg(data: bytes, where: str) -> tuple[ImageHeader, bytes]:
    kept = [data[:2]]
    frame: tuple[int, int, int, int] | None = None
    orientation, adobe = 0, False
    for marker, at in _jpeg_markers(data):
        if at >= len(data) - 2:
            break
        if marker == _EOI:
            raise ImageError(where, "the JPEG ends before its pixels", _TRUNCATED)
        if marker == _SOI:
            continue
        end = at + 1 + struct.unpack_from(">H", data, at + 1)[0]
        if end > len(data) or end < at + 3:
            raise ImageError(where, "the JPEG is truncated in its header", _TRUNCATED)
        if marker == _SOS:
            if data.count(b"\xff\xda", at - 1) > MAX_SCANS:
                raise ImageError(where, f"a JPEG of more than {MAX_SCANS} scans", "save it again, as a baseline JPEG")
            kept.append(data[at - 1 :])
            return _jpeg_header(frame, orientation or 1, adobe, where), b"".join(kept)
        body = data[at + 3 : end]
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = orientation or _exif_orientation(body[6:])
        if marker == _APP14 and body.startswith(b"Adobe"):
            adobe = True
        if marker in _START_OF_FRAME:
            if frame is not None or len(body) < 6:
                raise ImageError(where, "the JPEG's frame header is damaged", _DAMAGED)
            frame = struct.unpack_from(">BHHB", body)
        # JFIF's and Adobe's segments decide the color space; the other ones and comments decide nothing
        if not (0xE1 <= marker <= 0xEF and marker != _APP14) and marker != _COMMENT:
            kept.append(data[at - 1 : end])
    raise ImageError(where, "the JPEG is truncated before its pixels", _TRUNCATED)


def _jpeg_header(frame: tuple[int, int, int, int] | None, orientation: int, adobe: bool, where: str) -> ImageHeader:
    if frame is None or 0 in frame:
        raise ImageError(where, "the JPEG's header doesn't state the size of the image", _DAMAGED)
    depth, height, width, channels = frame
    if depth != 8 or channels not in (1, 3, 4):
        what = f"a JPEG of {channels} channels with {depth} bits each; 1, 3 or 4 channels of 8 bits can be read"
        raise ImageError(where, what, "save it as an 8-bit RGB or grey JPEG")
    _check_pixels(height, width, where)
    return ImageHeader("JPEG", height, width, channels, depth, orientation=orientation, adobe=adobe)


def _check_pixels(height: int, width: int, where: str) -> None:
    if height * width > MAX_PIXELS:
        what = f"an image of {width} x {height} pixels; at most {MAX_PIXELS} in all can be read"
        raise ImageError(where, what, "scale it down or cut it into tiles")


def _exif_orientation(tiff: bytes) -> int:
    """Reads the orientation tag of EXIF data (TIFF 6.0: tag 0x0112 of the first directory); 0 where there is none.

    EXIF is often damaged by editing programs and the image is still good; such data counts as having no tag.
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


def _too_many_parts(kind: str, parts: str, where: str) -> ImageError:
    return ImageError(where, f"a {kind} of more than {MAX_PARTS} {parts}", f"save it again, as a plain {kind}")


def _printable(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace") if name.isalnum() else repr(name)
