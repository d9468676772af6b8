"""Checks of each image and mask by itself, made while their files are read."""

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
from sagemaker_semseg.checks.mask_artifacts import find_artifacts
from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.files import CheckedPair
from sagemaker_semseg.data.image_headers import EncodedImage, ImageHeader
from sagemaker_semseg.data.samples import ImageMaskPair

Pixels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

LARGE_IMAGE_PIXELS: Final = 25_000_000  # at 21 classes, 2 GB of logits when such an image is validated
LARGE_IMAGE_BYTES: Final = 100_000_000
_LEAST_CROP: Final = 16  # crop_size is larger
_EXTENSIONS: Final = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}
_SAME_SIZE_ORIENTATIONS: Final = (2, 3, 4)  # of EXIF: they don't exchange height and width


@dataclass(slots=True)
class SampleSummary:
    """What is kept of one pair for the checks of the whole data set.

    Attributes:
        pair: Where the files are.
        size: (height, width) as displayed, or None.
        digest: Of the image file's bytes, b"" where not known; ``mask_digest`` alike.
        perceptual_hash: Of what the image shows (``duplicates.perceptual_hash``), b"" where not known.
        gray: The image has one channel and no palette.
        values: (32,) uint8, a bit for each of the 256 values of the mask (``numpy.packbits``), or None.
        like_a_mask: The image is a PNG of one channel.
        mask_refused: The mask is an error, since it has the form of a color image.
    """

    pair: ImageMaskPair
    size: tuple[int, int] | None
    digest: bytes
    mask_digest: bytes
    perceptual_hash: bytes
    gray: bool
    values: Pixels | None
    like_a_mask: bool
    mask_refused: bool


@dataclass(frozen=True, slots=True)
class _FileResult:
    """What the checks of one file gave."""

    findings: list[Finding]
    digest: bytes
    perceptual_hash: bytes = b""
    gray: bool = False
    like_a_mask: bool = False


@dataclass
class ImageChecker:
    """Checks every image and mask (``files.SampleVisitor``); ``image`` and ``mask`` are called from many threads.

    Attributes:
        crop_size: Side of the square that training crops, in pixels; an image may be smaller.
        findings: What is doubtful with single files, in the order of the pairs.
        summaries: The pairs of each split, in order.
    """

    crop_size: int
    findings: list[Finding] = field(default_factory=list)
    summaries: dict[str, list[SampleSummary]] = field(default_factory=dict)

    def image(self, pair: ImageMaskPair, data: bytes, encoded: EncodedImage, small: Image.Image) -> object:
        """Check one image. data: the file; small: the decoded image, a JPEG at about an eighth of its size."""
        header, where = encoded.header, encoded.where
        colors = _color_channels(header)
        found = [*_check_extension(where, pair.image, header), *_check_format(where, header, small)]
        found += [*_check_orientation(where, header), *self._check_size(where, header, len(data))]
        hashed = b""
        if _is_blank(small, colors):
            remedy = "check it, and remove it with its mask"
            found.append(finding("blank image", where, "all its pixels have the same colour", remedy))
        else:
            hashed = perceptual_hash(small, header)
        like_a_mask = header.format == "PNG" and header.channels == 1
        return _FileResult(found, _digest(data), hashed, colors == 1 and not header.palette, like_a_mask)

    def mask(self, pair: ImageMaskPair, data: bytes, encoded: EncodedImage, mask: Pixels, values: Counts) -> object:
        """Check one mask. mask: (H, W) before the label map; values: (256,) pixels of each value."""
        where = encoded.where
        found = list(_check_extension(where, pair.mask, encoded.header))
        if artifacts := find_artifacts(mask, values):
            kind, count = artifacts
            what = f"{count} values in it occur along borders only"
            remedy = "export the mask from its source again, without smoothing; resize masks by nearest neighbour only"
            if kind == "JPEG-compressed mask":
                what = f"{count} values in it are scattered along borders, as JPEG leaves them"
                remedy = "export the mask from its source again as a PNG; saving the JPEG as a PNG doesn't repair it"
            found.append(finding(kind, where, what, remedy))
        return _FileResult(found, _digest(data))

    def pair(self, split: str, pair: ImageMaskPair, checked: CheckedPair) -> None:
        """Keep the findings and the summary of one pair."""
        image = checked.image if isinstance(checked.image, _FileResult) else _FileResult([], b"")
        mask = checked.mask if isinstance(checked.mask, _FileResult) else _FileResult([], b"")
        self.findings += image.findings + mask.findings
        summary = SampleSummary(
            pair=pair,
            size=checked.size,
            digest=image.digest,
            mask_digest=mask.digest,
            perceptual_hash=image.perceptual_hash,
            gray=image.gray,
            values=None if checked.values is None else np.packbits(checked.values > 0),
            like_a_mask=image.like_a_mask,
            mask_refused=any(kind in ("colour mask", "JPEG mask") for kind, _ in checked.faults),
        )
        self.summaries.setdefault(split, []).append(summary)

    def _check_size(self, where: str, header: ImageHeader, size: int) -> Iterator[Finding]:
        height, width = header.displayed
        if min(height, width) < self.crop_size:
            what = f"{width} x {height} pixels, and the crop is {self.crop_size} x {self.crop_size}"
            fitting = min(height, width) // 8 * 8
            remedy = "use a larger image" + (f", or lower crop_size to {fitting}" if fitting > _LEAST_CROP else "")
            yield finding("image smaller than the crop", where, what, remedy)
        if height * width > LARGE_IMAGE_PIXELS or size > LARGE_IMAGE_BYTES:
            what = f"{width} x {height} pixels, {size / 1e6:.0f} MB"
            remedy = "cut it into tiles, and its mask in the same way, or scale both down"
            yield finding("very large image", where, what, remedy)


def _check_extension(where: str, path: Path, header: ImageHeader) -> Iterator[Finding]:
    if path.suffix.lower() not in _EXTENSIONS[header.format]:
        what = f"the content is {header.format}, the extension {path.suffix}"
        yield finding("wrong extension", where, what, f"rename it to {path.stem}{_EXTENSIONS[header.format][0]}")


def _check_format(where: str, header: ImageHeader, small: Image.Image) -> Iterator[Finding]:
    if header.channels == 4 and header.format == "JPEG":
        yield finding("CMYK image", where, "a CMYK JPEG, as for printing", "save it as RGB with its profile applied")
    if header.depth == 16:
        what = "16 bits per channel"
        highest = small.getextrema()[1] if small.mode.startswith("I;16") else None
        if isinstance(highest, int | float) and highest < 4096:
            what += f"; its brightest value is {highest:.0f}, so that the upper 8 bits are nearly black"
        yield finding("16-bit image", where, what, "scale its values to 0 to 255 as they should look, and save 8 bits")
    if header.format == "PNG" and header.channels in (2, 4) and _is_transparent(small):
        remedy = "flatten it onto the background that is meant"
        yield finding("transparent image", where, "some of its pixels are transparent", remedy)


def _is_transparent(image: Image.Image) -> bool:
    lowest = image.getchannel("A").getextrema()[0] if "A" in image.getbands() else 255
    return isinstance(lowest, int | float) and lowest < 255


def _check_orientation(where: str, header: ImageHeader) -> Iterator[Finding]:
    square = header.height == header.width
    if header.orientation in _SAME_SIZE_ORIENTATIONS or (header.orientation >= 5 and square):
        what = f"EXIF orientation {header.orientation}: it is displayed turned or mirrored, at the same size"
        remedy = "lay the mask over it; if it doesn't fit, turn the mask. Then save both upright, without orientation"
        yield finding("turned image", where, what, remedy)


def _color_channels(header: ImageHeader) -> int:
    """Count the channels without alpha; a palette's index is one."""
    return {2: 1, 4: 3 if header.format == "PNG" else 4}.get(header.channels, header.channels)


def _is_blank(image: Image.Image, colors: int) -> bool:
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low == high for low, high in bands[:colors])


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
