"""Random crops of training samples: draws a crop, and cuts image and mask accordingly.

The steps are GluonCV's (``SegmentationDataset._sync_transform``): scale so that the long side is drawn from
base_size / 2 to base_size * 2, pad at the right and at the bottom up to the crop, crop, mirror with probability 1/2,
blur the image with probability 1/2 and a radius from 0 to 1. Padding differs: it is "ignore" in the mask and ImageNet's
mean color in the image. The whole image is never scaled: the crop is chosen first, and only the source pixels that it
needs are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.samples import random_bits
from sagemaker_semseg.training.blur import blur
from sagemaker_semseg.training.resample import Axis, Pixels, resample

MEAN_COLOR: Final = (124, 116, 104)
"""ImageNet's mean (0.485, 0.456, 0.406) in 8 bits: close to zero after normalisation."""


@dataclass(frozen=True)
class CropTransform:
    """One crop of one image.

    Attributes:
        rows: The rows of the scaled image that the crop shows, at most ``crop``; padding is below.
        columns: The columns; padding is at the right.
        crop: The side of the crop, in pixels.
        flip: Whether all of it is mirrored left and right.
        sigma: Of the Gaussian blur, in pixels of the crop, 0 to 1; 0 is none.
    """

    rows: Axis
    columns: Axis
    crop: int
    flip: bool
    sigma: float

    def image(self, pixels: Pixels, out: Pixels) -> None:
        """Write the crop of the image into ``out``, (crop, crop, 3) uint8.

        pixels: uint8 RGB, the part of the source in ``rows.span`` and ``columns.span``.
        """
        if self._padded:
            out.reshape(self.crop, -1)[...] = np.tile(np.array(MEAN_COLOR, np.uint8), self.crop)  # fast: rows
        resample(pixels, self.rows, self.columns, self._content(out), self.flip)
        blur(out, self.sigma)

    def mask(self, mask: Pixels, lookup: Pixels, out: Pixels) -> None:
        """Write the crop of the labels into ``out``, (crop, crop) uint8, 255 = ignore.

        mask: (H, W) uint8, at least the rows up to the end of ``rows.span``. lookup: (256,) uint8, the label of each
        value of the mask.
        """
        if len(mask) < self.rows.span[1] or mask.shape[1:] != (self.columns.source,):
            raise ValueError(f"a mask of shape {mask.shape} for {self}")
        rows = self.rows.nearest
        columns = self.columns.nearest[::-1] if self.flip else self.columns.nearest
        if self._padded:
            out[...] = IGNORE
        if self.rows.step < 1:  # some rows come twice: look them up once
            first = int(rows[0])
            labels = _map_values(lookup, mask[first : rows[-1] + 1].take(columns, 1)).take(rows - first, 0)
        else:
            labels = _map_values(lookup, mask.take(rows, 0).take(columns, 1))
        self._content(out)[...] = labels

    @property
    def _padded(self) -> bool:
        return min(self.rows.count, self.columns.count) < self.crop

    def _content(self, out: Pixels) -> Pixels:
        """The part of ``out`` that shows the image."""
        first = self.crop - self.columns.count if self.flip else 0
        return out[: self.rows.count, first : first + self.columns.count]


def sample_crop(
    seed: int, epoch: int, index: int, source_height: int, source_width: int, base_size: int, crop: int
) -> CropTransform:
    """Draw the crop of the sample at ``index`` in an epoch, both counted from 0.

    A pure function of its arguments: neither threads nor the order of calls nor the start of a run change it. It
    depends on the index and not on the sample's name, which is unknown in a stream.
    """
    draws = _RandomNumbers(seed, epoch, index)
    long = draws.integer(base_size // 2, 2 * base_size)
    if source_height > source_width:
        height, width = long, _proportional(source_width, long, source_height)
    else:
        height, width = _proportional(source_height, long, source_width), long
    top = draws.integer(0, max(height, crop) - crop)
    left = draws.integer(0, max(width, crop) - crop)
    flip = draws.uniform() < 0.5
    blurred, sigma = draws.uniform() < 0.5, draws.uniform()
    rows = Axis(source_height, height, top, min(crop, height - top))
    columns = Axis(source_width, width, left, min(crop, width - left))
    return CropTransform(rows, columns, crop, flip, sigma if blurred else 0.0)


class _RandomNumbers:
    """Random numbers for one sample of one epoch."""

    def __init__(self, seed: int, epoch: int, index: int):
        self._bits = iter(random_bits("cut", seed, epoch, index, 6))

    def uniform(self) -> float:
        """Uniform in [0, 1)."""
        return (next(self._bits) >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """Uniform in low .. high, both included."""
        return low + int(self.uniform() * (high - low + 1))


def _map_values(table: Pixels, values: Pixels) -> Pixels:
    """``table[values]``, faster than numpy's."""
    return np.frombuffer(values.tobytes().translate(table.tobytes()), np.uint8).reshape(values.shape)


def _proportional(side: int, long: int, source_long: int) -> int:
    # 1: an image more than 2 * long times as wide as high would vanish
    return max(1, int(side * long / source_long + 0.5))
