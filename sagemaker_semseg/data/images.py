"""Images and masks: bytes in, arrays out, and masks back into bytes.

In: the bytes of a JPEG or PNG file (``containers`` has looked at them first) or an array of labels. Out: numpy arrays
or PNG bytes. Called by whatever reads an image: ``samples``, the training pipeline, inference, the server. No other
module hands bytes to Pillow. Every error is a ``DataError`` with one fault; ``where`` is the file's name in it.

Images become 8-bit RGB: grey is repeated, transparency dropped, a palette looked up, CMYK converted, and of 16 bits
the upper eight are kept (``value >> 8``); colour profiles are not applied. Masks are read as the numbers in the file:
the index of a palette PNG, the value of a grey one as written, so 0 and 1 in a 1-bit and 0 to 3 in a 2-bit mask, not
scaled to 255. EXIF orientation is applied to both, since both are compared as displayed.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from sagemaker_semseg.data.image_headers import MAX_PIXELS, Header, read_header, refusal

__all__ = [
    "MAX_PIXELS",
    "check_image",
    "decode_colours",
    "decode_image",
    "decode_mask",
    "encode_mask",
    "decode_thumbnail",
    "image_size",
    "palette",
]

Pixels = npt.NDArray[np.uint8]

# The classes instead of Image.open: no other format can be chosen, and Pillow's limit on pixels, which warns through
# state shared by all threads, gives way to our own.
_READERS: Final = {"JPEG": JpegImageFile, "PNG": PngImageFile}

_ONE_CHANNEL = "a mask needs one channel that holds the labels: save it as a palette or 8-bit grey PNG"


def image_size(data: bytes, where: str = "image") -> tuple[int, int]:
    """(height, width) as displayed, from the header alone; no pixel is decoded."""
    return read_header(data, where).displayed


def check_image(data: bytes, where: str = "image") -> tuple[int, int]:
    """(height, width) as displayed, after every byte of the pixels was read: finds truncated files.

    Cheaper than ``decode_image``: a JPEG is reconstructed at an eighth of its size, but decoded to its end.
    """
    return decode_thumbnail(data, where)[0].displayed


def decode_thumbnail(data: bytes, where: str = "image") -> tuple[Header, Image.Image]:
    """What ``check_image`` does, with the header and the picture as stored, a JPEG at about an eighth of its size."""
    header = read_header(data, where)
    return header, _open(header, where, eighth=True)


def decode_image(data: bytes, where: str = "image") -> Pixels:
    """The (H, W, 3) uint8 RGB pixels of a JPEG or PNG file, as displayed. The array may be read-only."""
    header = read_header(data, where)
    opened = _open(header, where)
    if opened.mode.startswith("I;16"):
        grey = (np.asarray(opened) >> 8).astype(np.uint8)
        return apply_exif_orientation(np.repeat(grey[:, :, None], 3, axis=2), header.orientation)
    if opened.mode == "CMYK" and not header.adobe:
        opened = ImageChops.invert(opened)  # Pillow takes every CMYK JPEG for Adobe's, which are stored inverted
    rgb = opened if opened.mode == "RGB" else opened.convert("RGB")
    return apply_exif_orientation(np.asarray(rgb), header.orientation)


def decode_mask(data: bytes, where: str = "mask") -> Pixels:
    """The (H, W) uint8 values of a mask, as in the file: palette indices or grey values of 1, 2, 4, 8 or 16 bits.

    Raises ``DataError`` for JPEG, RGB, RGBA and grey with alpha, and for a 16-bit value above 255.
    The array may be read-only.
    """
    header = read_header(data, where)
    if header.kind == "JPEG":
        raise _refuse_jpeg(where)
    if header.channels != 1:
        raise _refuse_channels(header, where)
    opened = _open(header, where)
    # as an array, Pillow's mode "1" is bool over bytes of 255, which numpy takes for undefined
    values = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    if header.depth == 16:
        values = _narrow(values, where)
    elif header.depth < 8 and not header.palette:
        values = values >> (8 - header.depth)  # Pillow spreads grey of 1, 2, 4 bits over 0..255 by repeating the bits
    return apply_exif_orientation(values, header.orientation)


def decode_colours(data: bytes, where: str = "mask") -> tuple[Pixels, Pixels | None]:
    """What a mask of colours holds: (H, W) indices and the palette, (n, 3) RGB; or (H, W, 3 or 4) RGB(A) and None.

    Raises ``DataError`` for JPEG, for grey, and for 16 bits. The arrays may be read-only.
    """
    header = read_header(data, where)
    if header.kind == "JPEG":
        raise _refuse_jpeg(where)
    if not header.palette and (header.channels < 3 or header.depth != 8):
        what = f"the mask is {'grey' if header.channels < 3 else 'in colours'} of {header.depth} bits"
        what += ", but its line has a map of 8-bit colours"
        remedy = "save a palette, RGB or RGBA PNG of 8 bits, or give a label map: then the mask's numbers count"
        raise refusal(where, what, remedy, "mask without colours")
    opened = _open(header, where)
    table = np.array(opened.getpalette(), np.uint8).reshape(-1, 3) if header.palette else None
    return apply_exif_orientation(np.asarray(opened), header.orientation), table


def encode_mask(labels: Pixels) -> bytes:
    """An 8-bit palette PNG whose indices are ``labels`` ((H, W) uint8), coloured with Pascal VOC's palette."""
    if labels.ndim != 2 or labels.dtype != np.uint8 or labels.size == 0:
        raise ValueError(f"labels must be (H, W) uint8, not {labels.shape} {labels.dtype}")
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(_VOC_BYTES)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=_COMPRESS_LEVEL)
    return out.getvalue()


def palette(count: int = 256) -> Pixels:
    """The first ``count`` colours of Pascal VOC's palette, (count, 3) uint8 RGB.

    Bits 0, 1, 2 of the index become bit 7 of red, green, blue, its bits 3, 4, 5 become bit 6, its bits 6, 7 bit 5
    (Everingham et al., the VOC development kit's ``VOClabelcolormap``).
    """
    index = np.arange(count, dtype=np.uint16)[:, None]
    channel = np.arange(3, dtype=np.uint16)[None, :]
    colours = np.zeros((count, 3), np.uint16)
    for bit in range(3):
        colours |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8)


_VOC_BYTES: Final = palette().tobytes()
# Level 1 costs a third of level 6's time for masks and gives files a few kB larger.
_COMPRESS_LEVEL: Final = 1


def _open(header: Header, where: str, eighth: bool = False) -> Image.Image:
    """Decodes the pixels as stored."""
    try:
        opened = _READERS[header.kind](io.BytesIO(header.stream))
        if opened.size != (header.width, header.height):
            raise ValueError("two headers that disagree")
        if eighth and header.kind == "JPEG":
            opened.draft(None, (max(1, header.width // 8), max(1, header.height // 8)))
        opened.load()
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever hostile bytes lead them to
        what = f"the {header.kind} can't be decoded: {error}"
        raise refusal(where, what, "the file is damaged or cut short; save or download it again") from error
    return opened


def _narrow(values: npt.NDArray[np.uint16], where: str) -> Pixels:
    over = values > 255
    if over.any():
        what = f"a 16-bit mask with the value {int(values.max())} ({int(over.sum())} pixels are above 255)"
        raise refusal(where, what, "labels are 0 to 253 and 255: renumber the classes and save an 8-bit PNG")
    return values.astype(np.uint8)


def _refuse_jpeg(where: str) -> Exception:
    what = "a JPEG can't be a mask, its compression changes the labels"
    return refusal(where, what, "save masks as palette or 8-bit grey PNG from their source", "JPEG mask")


def _refuse_channels(header: Header, where: str) -> Exception:
    name = {2: "grey with alpha", 3: "RGB colours", 4: "RGBA colours"}[header.channels]
    if header.channels == 2:
        remedy = f"{_ONE_CHANNEL}; with Pillow, Image.open(path).getchannel(0).save(path) drops the alpha channel"
    else:
        remedy = f"{_ONE_CHANNEL}; replace every colour by its class's number (not by convert('P') or convert('L'))"
    return refusal(where, f"the mask holds {name}, not labels", remedy, "colour mask")


def apply_exif_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Turns (H, W, ...) pixels as stored into pixels as displayed (EXIF 2.32, tag 0x0112)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
