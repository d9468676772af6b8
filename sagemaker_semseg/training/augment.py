"""What one visit to one training sample looks like: the random choices, and image and mask cut accordingly.

In: seed, pass, place in the pass and size of the picture; then source pixels. Out: a ``Cut``, which says where the crop
lies and turns source pixels into an image and a mask of ``crop`` x ``crop``. Called by ``pipeline``; knows no files.

The steps are the reference engine's (GluonCV, ``SegmentationDataset._sync_transform``): scale so that the long side is
drawn from base_size / 2 to base_size * 2, pad at the right and at the bottom up to the crop, crop, mirror with
probability 1/2, blur the image with probability 1/2 and a radius from 0 to 1. Padding differs: it is "ignore" in the
mask and ImageNet's mean colour in the image. The whole picture is never scaled: the crop is chosen first, and only the
source pixels that it needs are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.samples import random_bits
from sagemaker_semseg.training.blur import blur
from sagemaker_semseg.training.resample import Axis, Pixels, resample

MEAN_COLOUR: Final = (124, 116, 104)
"""ImageNet's mean (0.485, 0.456, 0.406) in 8 bits: close to zero after normalisation."""


@dataclass(frozen=True)
class CropTransform:
    """One crop of one picture, in every detail.

    rows, columns: the part of the scaled picture that the crop shows, at most crop x crop; what is missing is padding,
    below and at the right. crop: the side of the crop, in pixels. flip: all of it is mirrored left and right.
    sigma: of the Gaussian blur, in pixels of the crop, 0 to 1; 0 is none.
    """

    rows: Axis
    columns: Axis
    crop: int
    flip: bool
    sigma: float

    def image(self, pixels: Pixels, out: Pixels) -> None:
        """Writes the crop of the image into ``out``, (crop, crop, 3) uint8.

        pixels: the source's, uint8 RGB, from ``rows.span`` and ``columns.span`` only.
        """
        if self._padded:
            out.reshape(self.crop, -1)[...] = np.tile(np.array(MEAN_COLOUR, np.uint8), self.crop)  # quick: whole rows
        resample(pixels, self.rows, self.columns, self._content(out), self.flip)
        blur(out, self.sigma)

    def mask(self, mask: Pixels, lookup: Pixels, out: Pixels) -> None:
        """Writes the crop of the labels into ``out``, (crop, crop) uint8, 255 = ignore.

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
            labels = _look_up(lookup, mask[first : rows[-1] + 1].take(columns, 1)).take(rows - first, 0)
        else:
            labels = _look_up(lookup, mask.take(rows, 0).take(columns, 1))
        self._content(out)[...] = labels

    @property
    def _padded(self) -> bool:
        return min(self.rows.count, self.columns.count) < self.crop

    def _content(self, out: Pixels) -> Pixels:
        """The part of ``out`` that shows the picture."""
        first = self.crop - self.columns.count if self.flip else 0
        return out[: self.rows.count, first : first + self.columns.count]


def sample_crop(
    seed: int, pass_number: int, place: int, source_height: int, source_width: int, base_size: int, crop: int
) -> CropTransform:
    """The cut of the sample that comes at ``place`` in the ``pass_number``-th pass over the training set.

    A pure function of its arguments: neither threads, nor the order of calls, nor where a run began change it. The
    place and not the sample counts, because who reads a stream knows no other name of a sample.
    """
    draws = _Draws(seed, pass_number, place)
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


class _Draws:
    """Random numbers for one visit."""

    def __init__(self, seed: int, pass_number: int, place: int):
        self._bits = iter(random_bits("cut", seed, pass_number, place, 6))

    def uniform(self) -> float:
        """Uniform in [0, 1)."""
        return (next(self._bits) >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """Uniform in low .. high, both included."""
        return low + int(self.uniform() * (high - low + 1))


def _look_up(table: Pixels, values: Pixels) -> Pixels:
    """``table[values]``, quicker than by numpy."""
    return np.frombuffer(values.tobytes().translate(table.tobytes()), np.uint8).reshape(values.shape)


def _proportional(side: int, long: int, source_long: int) -> int:
    # 1: a picture more than 2 * long as wide as it is high would vanish
    return max(1, int(side * long / source_long + 0.5))
