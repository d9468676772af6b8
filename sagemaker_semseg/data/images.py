"""Decodes images and masks into arrays, and encodes masks as PNG.

No other module hands bytes to Pillow. Every error is an ``ImageError`` with one fault, which names the file by
``where``. What is decoded may be given as bytes or as an ``EncodedImage``, whose header has been read already.

Images become 8-bit RGB: grey is repeated, transparency dropped, a palette looked up, CMYK converted, and of 16 bits
the upper eight are kept (``value >> 8``); color profiles are not applied. Masks are read as the numbers in the file:
the index of a palette PNG, the value of a grey one as written, so 0 and 1 in a 1-bit and 0 to 3 in a 2-bit mask, not
scaled to 255. EXIF orientation is applied to both, since both are compared as displayed.
"""

from __future__ import annotations

import io
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from sagemaker_semseg.data.image_headers import EncodedImage, ImageError, png_pixel_data

Pixels = npt.NDArray[np.uint8]
Span = tuple[int, int]

# The classes instead of Image.open: no other format can be chosen, and Pillow's limit on pixels, which warns through
# state shared by all threads, gives way to our own.
_READERS: Final = {"JPEG": JpegImageFile, "PNG": PngImageFile}

_ONE_CHANNEL: Final = "a mask needs one channel that holds the labels: save it as a palette or 8-bit grey PNG"


def decode_image(
    source: EncodedImage | bytes, where: str = "image", rows: Span | None = None, columns: Span | None = None
) -> Pixels:
    """Decodes a JPEG or PNG file, or a part of it.

    Args:
        source: the file; ``where`` names it in errors if it is given as bytes.
        rows: (from, to excluded), as displayed; None is all.
        columns: likewise.

    Returns:
        (H, W, 3) uint8 RGB, as displayed. The array may be read-only.

    Raises:
        ImageError: if it can't be decoded.

    Example:
        >>> pixels = decode_image(Path("street.jpg").read_bytes())
    """
    source = _parsed(source, where)
    header, opened = source.header, _open(source)
    (top, bottom), (left, right) = rows or (0, source.size[0]), columns or (0, source.size[1])
    turned = header.orientation != 1
    if not turned:  # less to convert
        opened = opened.crop((left, top, right, bottom))
    if opened.mode.startswith("I;16"):
        gray = (np.asarray(opened) >> 8).astype(np.uint8)
        pixels = np.repeat(gray[:, :, None], 3, axis=2)
    else:
        if opened.mode == "CMYK" and not header.adobe:
            opened = ImageChops.invert(opened)  # Pillow takes every CMYK JPEG for Adobe's, which are stored inverted
        pixels = np.asarray(opened if opened.mode == "RGB" else opened.convert("RGB"))
    return apply_exif_orientation(pixels, header.orientation)[top:bottom, left:right] if turned else pixels


def decode_thumbnail(source: EncodedImage | bytes, where: str = "image") -> Image.Image:
    """Decodes an image as stored, a JPEG at about an eighth of its size.

    Cheaper than ``decode_image``, but every byte of the pixels is read, so that a truncated file is found.

    Raises:
        ImageError: if it can't be decoded.
    """
    return _open(_parsed(source, where), eighth=True)


def decode_mask(source: EncodedImage | bytes, where: str = "mask") -> Pixels:
    """Decodes a mask.

    Args:
        source: the PNG file; ``where`` names it in errors if it is given as bytes.

    Returns:
        (H, W) uint8, the values in the file: palette indices or grey values of 1, 2, 4, 8 or 16 bits. May be read-only.

    Raises:
        ImageError: for JPEG, RGB, RGBA and grey with alpha, and for a 16-bit value above 255.
    """
    source = _parsed(source, where)
    header = source.header
    _refuse_jpeg(source)
    if header.channels != 1:
        raise _channels_error(source)
    opened = _open(source)
    # as an array, Pillow's mode "1" is bool over bytes of 255, which numpy takes for undefined
    values = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    if header.depth == 16:
        values = _narrow(values, source.where)
    elif header.depth < 8 and not header.palette:
        values = values >> (8 - header.depth)  # Pillow spreads grey of 1, 2, 4 bits over 0..255 by repeating the bits
    return apply_exif_orientation(values, header.orientation)


def decode_mask_rows(source: EncodedImage, rows: int | None = None) -> Pixels:
    """Decodes the first ``rows`` rows of a mask that was checked before; None is all, and more may be returned.

    The rows of a PNG without prediction filters, as palette images are written, lie in the compressed stream as they
    are, which is unpacked no further than they reach. Other masks are decoded whole. As ``decode_mask`` otherwise.
    """
    header = source.header
    if header.format == "PNG" and (header.channels, header.depth, header.orientation) == (1, 8, 1):
        values = _unfiltered_rows(source, rows or header.height)
        if values is not None:
            return values
    return decode_mask(source)


def decode_colors(source: EncodedImage | bytes, where: str = "mask") -> tuple[Pixels, Pixels | None]:
    """Decodes a mask of colors: (H, W) indices with the palette, (n, 3) RGB; or (H, W, 3 or 4) RGB(A) with None.

    The arrays may be read-only.

    Raises:
        ImageError: for JPEG, for grey, and for 16 bits.
    """
    source = _parsed(source, where)
    header = source.header
    _refuse_jpeg(source)
    if not header.palette and (header.channels < 3 or header.depth != 8):
        what = f"the mask is {'grey' if header.channels < 3 else 'in colours'} of {header.depth} bits"
        what += ", but its line has a map of 8-bit colours"
        remedy = "save a palette, RGB or RGBA PNG of 8 bits, or give a label map: then the mask's numbers count"
        raise ImageError(source.where, what, remedy, "mask without colours")
    opened = _open(source)
    table = np.array(opened.getpalette(), np.uint8).reshape(-1, 3) if header.palette else None
    return apply_exif_orientation(np.asarray(opened), header.orientation), table


def encode_mask(labels: Pixels) -> bytes:
    """Encodes (H, W) uint8 labels as an 8-bit palette PNG, colored with Pascal VOC's palette."""
    if labels.ndim != 2 or labels.dtype != np.uint8 or labels.size == 0:
        raise ValueError(f"labels must be (H, W) uint8, not {labels.shape} {labels.dtype}")
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(_VOC_BYTES)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=_COMPRESS_LEVEL)
    return out.getvalue()


def palette(count: int = 256) -> Pixels:
    """The first ``count`` colors of Pascal VOC's palette, (count, 3) uint8 RGB.

    Bits 0, 1, 2 of the index become bit 7 of red, green, blue, its bits 3, 4, 5 become bit 6, its bits 6, 7 bit 5
    (Everingham et al., the VOC development kit's ``VOClabelcolormap``).
    """
    index = np.arange(count, dtype=np.uint16)[:, None]
    channel = np.arange(3, dtype=np.uint16)[None, :]
    colors = np.zeros((count, 3), np.uint16)
    for bit in range(3):
        colors |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return colors.astype(np.uint8)


_VOC_BYTES: Final = palette().tobytes()
# Level 1 costs a third of level 6's time for masks and gives files a few kB larger.
_COMPRESS_LEVEL: Final = 1


def apply_exif_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Turns (H, W, ...) pixels as stored into pixels as displayed (EXIF 2.32, tag 0x0112)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _parsed(source: EncodedImage | bytes, where: str) -> EncodedImage:
    return source if isinstance(source, EncodedImage) else EncodedImage.parse(source, where)


def _open(source: EncodedImage, eighth: bool = False) -> Image.Image:
    """Decodes the pixels as stored."""
    header = source.header
    try:
        opened = _READERS[header.format](io.BytesIO(source.stream))
        if opened.size != (header.width, header.height):
            raise ValueError("two headers that disagree")
        if eighth and header.format == "JPEG":
            opened.draft(None, (max(1, header.width // 8), max(1, header.height // 8)))
        opened.load()
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever hostile bytes lead them to
        what = f"the {header.format} can't be decoded: {error}"
        remedy = "the file is damaged or cut short; save or download it again"
        raise ImageError(source.where, what, remedy) from error
    return opened


def _unfiltered_rows(source: EncodedImage, rows: int) -> Pixels | None:
    """None if the PNG is interlaced or filtered, or its stream is damaged."""
    if source.stream[28] != 0:  # IHDR, the first chunk, ends with the way of interlacing
        return None
    size = rows * (source.header.width + 1)  # each row begins with the number of its filter
    try:
        raw = zlib.decompressobj().decompress(png_pixel_data(source.stream), size)
    except zlib.error:
        return None
    if len(raw) != size:
        return None
    lines = np.frombuffer(raw, np.uint8).reshape(rows, -1)
    return None if lines[:, 0].any() else lines[:, 1:]


def _narrow(values: npt.NDArray[np.uint16], where: str) -> Pixels:
    over = values > 255
    if over.any():
        what = f"a 16-bit mask with the value {int(values.max())} ({int(over.sum())} pixels are above 255)"
        raise ImageError(where, what, "labels are 0 to 253 and 255: renumber the classes and save an 8-bit PNG")
    return values.astype(np.uint8)


def _refuse_jpeg(source: EncodedImage) -> None:
    if source.header.format == "JPEG":
        what = "a JPEG can't be a mask, its compression changes the labels"
        raise ImageError(source.where, what, "save masks as palette or 8-bit grey PNG from their source", "JPEG mask")


def _channels_error(source: EncodedImage) -> ImageError:
    name = {2: "grey with alpha", 3: "RGB colours", 4: "RGBA colours"}[source.header.channels]
    if source.header.channels == 2:
        remedy = f"{_ONE_CHANNEL}; with Pillow, Image.open(path).getchannel(0).save(path) drops the alpha channel"
    elif _channels_are_equal(source):
        name += " whose three channels are equal"
        remedy = f"{_ONE_CHANNEL}; with Pillow, Image.open(path).getchannel(0).save(path) keeps one of the three"
    else:
        remedy = f"{_ONE_CHANNEL}; replace every colour by its class's number (not by convert('P') or convert('L'))"
    return ImageError(source.where, f"the mask holds {name}, not labels", remedy, "colour mask")


def _channels_are_equal(source: EncodedImage) -> bool:
    """Whether an RGB or RGBA PNG has the same number three times in each pixel."""
    try:
        colors = np.asarray(_open(source))
    except ImageError:  # that it has channels is fault enough
        return False
    first = colors[:, :, 0]
    return bool(np.array_equal(first, colors[:, :, 1]) and np.array_equal(first, colors[:, :, 2]))
