"""Random crops of training samples: draws a crop, and cuts image and mask accordingly.

The steps are GluonCV's (``SegmentationDataset._sync_transform``): scale so that the long side is drawn from
base_size / 2 to base_size * 2, pad at the right and at the bottom up to the crop, crop, mirror with probability 1/2,
blur the image with probability 1/2 and a radius from 0 to 1. Padding differs: it is "ignore" in the mask and ImageNet's
mean color in the image. The whole image is never scaled: the crop is chosen first, and only the source pixels that it
needs are read. Extensions, off by default: the range of the scale, a rotation, colors, and a crop over a chosen pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.samples import random_bits
from sagemaker_semseg.hyperparameters import Hyperparameters
from sagemaker_semseg.training.blur import blur
from sagemaker_semseg.training.color_jitter import jitter
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
        angle: By which the crop is rotated around its center, in degrees counterclockwise; 0 is none. What comes from
            outside the crop is padding.
        colors: Factors of brightness, contrast and saturation, and the turn of the hue; None: as they are.
    """

    rows: Axis
    columns: Axis
    crop: int
    flip: bool
    sigma: float
    angle: float = 0.0
    colors: tuple[float, float, float, float] | None = None

    def image(self, pixels: Pixels, out: Pixels) -> None:
        """Write the crop of the image into ``out``, (crop, crop, 3) uint8.

        pixels: uint8 RGB, the part of the source in ``rows.span`` and ``columns.span``.
        """
        if self._padded:
            out.reshape(self.crop, -1)[...] = np.tile(np.array(MEAN_COLOR, np.uint8), self.crop)  # fast: rows
        resample(pixels, self.rows, self.columns, self._content(out), self.flip)
        if self.angle:
            out[...] = np.asarray(
                Image.fromarray(out).rotate(self.angle, Image.Resampling.BILINEAR, fillcolor=MEAN_COLOR)
            )
        if self.colors:
            jitter(out, *self.colors)
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
        if self.angle:
            out[...] = np.asarray(Image.fromarray(out).rotate(self.angle, Image.Resampling.NEAREST, fillcolor=IGNORE))

    @property
    def _padded(self) -> bool:
        return min(self.rows.count, self.columns.count) < self.crop

    def _content(self, out: Pixels) -> Pixels:
        """The part of ``out`` that shows the image."""
        first = self.crop - self.columns.count if self.flip else 0
        return out[: self.rows.count, first : first + self.columns.count]


def sample_crop(
    hp: Hyperparameters, epoch: int, index: int, size: tuple[int, int], focus: tuple[int, int] | None = None
) -> CropTransform:
    """Draw the crop of the sample at ``index`` in an epoch, both counted from 0.

    A pure function of its arguments: neither threads nor the order of calls nor the start of a run change it. It
    depends on the index and not on the sample's name, which is unknown in a stream.

    Args:
        hp: The seed, the sizes and the settings of the augmentation.
        epoch: Of the stream of samples.
        index: In the epoch.
        size: Height and width of the source, in pixels.
        focus: Row and column of a pixel of the source that the crop has to show; None: it may lie anywhere.
    """
    (source_height, source_width), crop = size, hp.padded_crop_size
    draws = _RandomNumbers("cut", hp.seed, epoch, index)
    low, high = hp.scale_range
    long = draws.integer(max(1, int(hp.base_size * low)), max(1, int(hp.base_size * high)))
    if source_height > source_width:
        height, width = long, _proportional(source_width, long, source_height)
    else:
        height, width = _proportional(source_height, long, source_width), long
    top = draws.integer(*_starts(height, crop, focus and (focus[0], source_height)))
    left = draws.integer(*_starts(width, crop, focus and (focus[1], source_width)))
    flip = draws.uniform() < 0.5
    blurred, sigma = draws.uniform() < 0.5, draws.uniform()
    rows = Axis(source_height, height, top, min(crop, height - top))
    columns = Axis(source_width, width, left, min(crop, width - left))
    angle, colors, x = 0.0, None, hp.color_jitter
    if hp.rotation or x:
        more = _RandomNumbers("look", hp.seed, epoch, index)
        angle = hp.rotation * more.signed()
        factors = 1 + x * more.signed(), 1 + x * more.signed(), 1 + x * more.signed(), x / 4 * more.signed()
        colors = factors if x else None
    return CropTransform(rows, columns, crop, flip, sigma if blurred else 0.0, angle, colors)


def class_balanced_focus(hp: Hyperparameters, epoch: int, index: int, labels: Pixels) -> tuple[int, int] | None:
    """Draw the row and the column of a pixel for ``sample_crop``: of a class drawn from those in the image.

    Args:
        hp: The seed, and ``class_balanced_crops``: the probability that there is such a pixel.
        epoch: Of the stream of samples.
        index: In the epoch.
        labels: (H, W) uint8, the whole mask; 255 = ignore.

    Returns:
        None where the crop may lie anywhere, or no pixel has a label.
    """
    draws = _RandomNumbers("focus", hp.seed, epoch, index)
    classes = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:IGNORE])
    if draws.uniform() >= hp.class_balanced_crops or not len(classes):
        return None
    chosen = classes[draws.integer(0, len(classes) - 1)]
    pixels = np.flatnonzero(labels == chosen)
    row, column = divmod(int(pixels[draws.integer(0, len(pixels) - 1)]), labels.shape[1])
    return row, column


def _starts(scaled: int, crop: int, focus: tuple[int, int] | None) -> tuple[int, int]:
    """Return the smallest and the largest start of a crop on an axis. focus: a source pixel, and their number."""
    last = max(scaled, crop) - crop
    if focus is None:
        return 0, last
    position = (2 * focus[0] + 1) * scaled // (2 * focus[1])
    return min(max(0, position - crop + 1), last), min(position, last)


class _RandomNumbers:
    """Random numbers for one sample of one epoch."""

    def __init__(self, purpose: str, seed: int, epoch: int, index: int):
        self._bits = iter(random_bits(purpose, seed, epoch, index, 6))

    def uniform(self) -> float:
        """Uniform in [0, 1)."""
        return (next(self._bits) >> 11) * 2.0**-53

    def signed(self) -> float:
        """Uniform in [-1, 1)."""
        return 2 * self.uniform() - 1

    def integer(self, low: int, high: int) -> int:
        """Uniform in low .. high, both included."""
        return low + int(self.uniform() * (high - low + 1))


def _map_values(table: Pixels, values: Pixels) -> Pixels:
    """``table[values]``, faster than numpy's."""
    return np.frombuffer(values.tobytes().translate(table.tobytes()), np.uint8).reshape(values.shape)


def _proportional(side: int, long: int, source_long: int) -> int:
    # 1: an image more than 2 * long times as wide as high would vanish
    return max(1, int(side * long / source_long + 0.5))
