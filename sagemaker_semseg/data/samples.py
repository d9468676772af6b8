"""Samples: an image and its mask as files or as bytes, and the random order of an epoch."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.color_map import ColorMap
from sagemaker_semseg.data.color_masks import decode_color_mask
from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import Pixels, decode_mask_rows
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.errors import DataError, Fault, printable


@dataclass(frozen=True, slots=True)
class ImageMaskPair:
    """The files of an image and its mask.

    Attributes:
        name: the path below the channel, without extension, with "/" on every system; unique within a channel.
        image: the JPEG or PNG file.
        mask: the PNG file.
        color_map: what the mask's colors mean; None if its numbers are the labels.
        where: the file and line that names the pair; empty for folders.
        size: (height, width) in pixels as displayed; None until the files have been checked.
    """

    name: str
    image: Path
    mask: Path
    color_map: ColorMap | None = None
    where: str = ""
    size: tuple[int, int] | None = None

    def describe(self, path: Path) -> str:
        """One of the files as errors name it."""
        return f"{printable(path)} ({self.where})" if self.where else printable(path)


@dataclass(frozen=True)
class EncodedSample:
    """The bytes of an image and its mask, of one size, with parsed headers.

    Attributes:
        image: a JPEG or PNG.
        mask: a PNG.
        epoch: of the stream of samples, from 0.
        index: the place within the epoch, from 0.
        color_map: what the mask's colors mean; None if its numbers are the labels.
        label_map: what the mask's values are checked against when they are read; None if they have been checked.
    """

    image: EncodedImage
    mask: EncodedImage
    epoch: int = 0
    index: int = 0
    color_map: ColorMap | None = None
    label_map: LabelMap | None = None

    @classmethod
    def read(cls, pair: ImageMaskPair, epoch: int = 0, index: int = 0) -> EncodedSample:
        """Reads the files of a pair that has been checked.

        Raises:
            DataError: if a file has another size than when it was checked.
            OSError: if it is gone.
        """
        mask = _read_unchanged(pair, pair.mask)
        return cls(_read_unchanged(pair, pair.image), mask, epoch, index, pair.color_map)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, as displayed."""
        return self.image.size

    def mask_values(self, rows: int | None = None) -> Pixels:
        """Decodes the mask.

        Args:
            rows: how many of the first rows are needed; more may be returned. None is all.

        Returns:
            (rows, W) uint8: the mask's values, or the labels of a mask with a color map.

        Raises:
            DataError: if the mask can't be decoded, or a value in it, anywhere, has no label in ``label_map``.
        """
        if self.color_map:
            return decode_color_mask(self.mask, self.color_map).labels
        if self.label_map is None:
            return decode_mask_rows(self.mask, rows)
        values = decode_mask_rows(self.mask)
        if not self.label_map.fits(values):
            what = self.label_map.misfit(np.bincount(values.ravel(), minlength=256))
            remedy = "raise num_classes, fix the mask, or give a label map in the channel label_map"
            raise DataError("a label is out of range", [Fault(self.mask.where, what, remedy)])
        return values


def _read_unchanged(pair: ImageMaskPair, path: Path) -> EncodedImage:
    encoded = EncodedImage.parse(path.read_bytes(), str(path))
    if pair.size and encoded.size != pair.size:
        (height, width), (was_height, was_width) = encoded.size, pair.size
        what = f"{height} x {width} pixels (height x width), but {was_height} x {was_width} when it was checked"
        raise DataError("a file changed", [Fault(str(path), what, "leave the files alone while a training runs")])
    return encoded


def shuffled_order(seed: int, epoch: int, count: int) -> npt.NDArray[np.intp]:
    """The order of the samples in an epoch: a permutation of 0 .. count - 1, a function of the arguments alone."""
    return np.argsort(np.array(random_bits("order", seed, epoch, 0, count), np.uint64), kind="stable")


def random_bits(purpose: str, seed: int, epoch: int, index: int, count: int) -> tuple[int, ...]:
    """``count`` random numbers of 64 bits, a function of the arguments alone.

    A hash (SHAKE256), because it needs no state, is the same on every machine and with every release of numpy, and
    takes a fifth of the time of setting up a generator.
    """
    name = f"{purpose} {seed} {epoch} {index}".encode()
    return struct.unpack(f"<{count}Q", hashlib.shake_256(name).digest(8 * count))
