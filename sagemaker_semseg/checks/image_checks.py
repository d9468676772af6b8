"""Each picture by itself: while ``samples.inspect`` reads the files, an ``Onlooker`` looks at every image and mask and
keeps what is doubtful with it, and a ``Record`` of a few bytes for what only the whole set can show.

Called by ``examination``. The methods ``image`` and ``mask`` run in many threads and change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.checks.duplicates import perceptual_hash
from sagemaker_semseg.checks.mask_artifacts import blended
from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.channels import Pair
from sagemaker_semseg.data.files import Checked
from sagemaker_semseg.data.image_headers import Header, read_header

Pixels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

_LARGE: Final = 25_000_000  # pixels: at 21 classes, 2 GB of logits when such an image is validated
_LARGE_BYTES: Final = 100_000_000
_LEAST_CROP: Final = 16  # crop_size is larger
_NAMES: Final = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}
_WHOLE_TURNS: Final = (2, 3, 4)  # EXIF orientations that leave height and width in their places


@dataclass(slots=True)
class SampleSummary:
    """What is kept of one pair, for what only the whole set can show.

    digest, mask_digest: of the files' bytes; perceptual_hash: of how the image looks (``twins``); b"" where not known.
    grey: the image has one channel, no palette. values: (32,) uint8, a bit for each of the 256 values of the mask
    (``numpy.packbits``), or None. like_a_mask: the image is a PNG of one channel; mask_refused: for being a photograph.
    """

    pair: Pair
    size: tuple[int, int] | None
    digest: bytes
    mask_digest: bytes
    perceptual_hash: bytes
    grey: bool
    values: Pixels | None
    like_a_mask: bool
    mask_refused: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one file turned out to be."""

    findings: list[Finding]
    digest: bytes
    perceptual_hash: bytes = b""
    grey: bool = False
    like_a_mask: bool = False


@dataclass
class ImageChecker:
    """Looks at all pictures (``files.Look``).

    crop_size: side of the square that training cuts out, in pixels; an image may be smaller.
    """

    crop_size: int
    findings: list[Finding] = field(default_factory=list)
    records: dict[str, list[SampleSummary]] = field(default_factory=dict)

    def image(self, pair: Pair, data: bytes, header: Header, small: Image.Image) -> object:
        where = pair.called(pair.image)
        found = [*_of_name(where, pair.image, header), *_of_kind(where, header, small), *_of_turn(where, header)]
        found += self._of_size(where, header, len(data))
        grey, like_a_mask = _colours(header) == 1 and not header.palette, header.kind == "PNG" and header.channels == 1
        if _is_plain(small, _colours(header)):
            remedy = "look at it, and remove it with its mask"
            found.append(finding("blank image", where, "all its pixels have the same colour", remedy))
            return _Seen(found, _digest(data), b"", grey, like_a_mask)
        return _Seen(found, _digest(data), perceptual_hash(small, header), grey, like_a_mask)

    def mask(self, pair: Pair, data: bytes, mask: Pixels, values: Counts) -> object:
        where = pair.called(pair.mask)
        found = list(_of_name(where, pair.mask, read_header(data, where)))
        done = blended(mask, values)
        if done:
            kind, count = done
            what = f"{count} values in it lie along borders alone and nowhere else"
            remedy = "make the mask anew from its source, without smoothing; resize masks by nearest neighbour only"
            if kind == "JPEG-compressed mask":
                what = f"{count} values in it lie scattered along borders, as JPEG leaves them"
                remedy = "make the mask anew from its source as a PNG; a JPEG stays damaged when it is saved as PNG"
            found.append(finding(kind, where, what, remedy))
        return _Seen(found, _digest(data))

    def pair(self, split: str, pair: Pair, checked: Checked) -> None:
        image = checked.image if isinstance(checked.image, _Seen) else _Seen([], b"")
        mask = checked.mask if isinstance(checked.mask, _Seen) else _Seen([], b"")
        self.findings += image.findings + mask.findings
        values = None if checked.values is None else np.packbits(checked.values > 0)
        record = SampleSummary(
            pair=pair,
            size=checked.size,
            digest=image.digest,
            mask_digest=mask.digest,
            perceptual_hash=image.perceptual_hash,
            grey=image.grey,
            values=values,
            like_a_mask=image.like_a_mask,
            mask_refused=any(kind in ("colour mask", "JPEG mask") for kind, _ in checked.faults),
        )
        self.records.setdefault(split, []).append(record)

    def _of_size(self, where: str, header: Header, size: int) -> Iterator[Finding]:
        pixels = header.height * header.width
        height, width = header.displayed
        if min(height, width) < self.crop_size:
            what = f"{width} x {height} pixels, and the crop is {self.crop_size} x {self.crop_size}"
            fitting = min(height, width) // 8 * 8
            remedy = "take a larger picture" + (f", or lower crop_size to {fitting}" if fitting > _LEAST_CROP else "")
            yield finding("image smaller than the crop", where, what, remedy)
        if pixels > _LARGE or size > _LARGE_BYTES:
            what = f"{width} x {height} pixels, {size / 1e6:.0f} MB"
            yield finding("very large image", where, what, "cut it into tiles, and its mask alike, or scale both down")


def _of_name(where: str, path: Path, header: Header) -> Iterator[Finding]:
    if path.suffix.lower() not in _NAMES[header.kind]:
        what = f"the content is {header.kind}, the extension {path.suffix}"
        yield finding("wrong extension", where, what, f"rename it to {path.stem}{_NAMES[header.kind][0]}")


def _of_kind(where: str, header: Header, small: Image.Image) -> Iterator[Finding]:
    if header.channels == 4 and header.kind == "JPEG":
        yield finding("CMYK image", where, "a CMYK JPEG, as for printing", "save it as RGB with its profile applied")
    if header.depth == 16:
        what = "16 bits per channel"
        if (
            small.mode.startswith("I;16")
            and isinstance(highest := small.getextrema()[1], int | float)
            and highest < 4096
        ):
            what += f"; its brightest value is {highest:.0f}, so that the upper 8 bits are nearly black"
        yield finding("16-bit image", where, what, "scale its values to 0 to 255 as they should look, and save 8 bits")
    if header.kind == "PNG" and header.channels in (2, 4) and _lets_through(small):
        remedy = "flatten it onto the background that is meant"
        yield finding("transparent image", where, "pixels that let through what is behind", remedy)


def _lets_through(image: Image.Image) -> bool:
    """Whether a picture that has an alpha channel makes use of it."""
    lowest = image.getchannel("A").getextrema()[0] if "A" in image.getbands() else 255
    return isinstance(lowest, int | float) and lowest < 255


def _of_turn(where: str, header: Header) -> Iterator[Finding]:
    turned = header.orientation in _WHOLE_TURNS or (header.orientation >= 5 and header.height == header.width)
    if turned:
        what = f"EXIF orientation {header.orientation}: it is displayed turned or mirrored, at the same size"
        remedy = "lay the mask over it; if it doesn't fit, turn the mask. Then save both upright, without orientation"
        yield finding("turned image", where, what, remedy)


def _colours(header: Header) -> int:
    """Channels of colour: alpha isn't one, a palette's index is."""
    return {2: 1, 4: 3 if header.kind == "PNG" else 4}.get(header.channels, header.channels)


def _is_plain(picture: Image.Image, colours: int) -> bool:
    extrema = picture.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low == high for low, high in bands[:colours])


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
