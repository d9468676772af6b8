"""What one visit to one training sample looks like: the random choices, and image and mask cut accordingly.

In: seed, pass, sample index and size of the picture; then source pixels. Out: a ``Cut``, which says where the crop lies
and turns source pixels into an image and a mask of ``crop`` x ``crop``. Called by ``pipeline``; knows no files.

The steps are the reference engine's (GluonCV, ``SegmentationDataset._sync_transform``): scale so that the long side is
drawn from base_size / 2 to base_size * 2, pad at the right and at the bottom up to the crop, crop, mirror with
probability 1/2, blur the image with probability 1/2 and a radius from 0 to 1. Padding differs: it is "ignore" in the mask
and ImageNet's mean colour in the image. The whole picture is never scaled: the crop is chosen first, and only the source
pixels that it needs are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.training.blur import blur

Pixels = npt.NDArray[np.uint8]

MEAN_COLOUR: Final = (124, 116, 104)
"""ImageNet's mean (0.485, 0.456, 0.406) in 8 bits: close to zero after normalisation."""

_WORD: Final = (1 << 64) - 1

# rows scaled at a time, so that no scratch image is large: see blur.py
_STRIP: Final = 96


@dataclass(frozen=True)
class Window:
    """A rectangle of source pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Cut:
    """One crop of one picture, in every detail.

    source_height, source_width: the picture as displayed; height, width: the same after scaling.
    top, left: the crop's corner in the scaled picture after it was padded; crop: the crop's side, in pixels.
    flip: mirror left and right. sigma: of the Gaussian blur, in pixels of the crop, 0 to 1; 0 is none.
    """

    source_height: int
    source_width: int
    height: int
    width: int
    top: int
    left: int
    crop: int
    flip: bool
    sigma: float

    @property
    def rows(self) -> int:
        """How many rows of the crop show the picture; the others, below, are padding."""
        return min(self.crop, self.height - self.top)

    @property
    def columns(self) -> int:
        """How many columns of the crop show the picture; the others are padding at the right (left when mirrored)."""
        return min(self.crop, self.width - self.left)

    @property
    def window(self) -> Window:
        """The source pixels that ``image`` needs: the crop and as much around it as the filter reaches."""
        top, bottom = _reach(self.top, self.rows, self.source_height, self.height)
        left, right = _reach(self.left, self.columns, self.source_width, self.width)
        return Window(top, left, bottom - top, right - left)

    def image(self, pixels: Pixels, out: Pixels) -> None:
        """Writes the crop of the image into ``out``, (crop, crop, 3) uint8.

        pixels: those of ``window``, (window.height, window.width, 3) uint8.
        """
        window = self.window
        if pixels.shape != (window.height, window.width, 3):
            raise ValueError(f"pixels of shape {pixels.shape} for {window}")
        source = Image.fromarray(pixels)
        x, y = self.source_width / self.width, self.source_height / self.height
        left, right = self.left * x - window.left, (self.left + self.columns) * x - window.left
        content = self._content(out, np.array(MEAN_COLOUR, np.uint8))
        for first in range(0, self.rows, _STRIP):
            last = min(first + _STRIP, self.rows)
            top, bottom = (self.top + first) * y - window.top, (self.top + last) * y - window.top
            # Pillow's filter reaches beyond the box, so this equals the crop of the scaled whole
            box = (left, top, min(right, window.width), min(bottom, window.height))
            strip = source.resize((self.columns, last - first), Image.Resampling.BILINEAR, box)
            if self.flip:
                strip = strip.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            content[first:last] = np.asarray(strip)
        blur(out, self.sigma)

    def mask(self, mask: Pixels, lookup: Pixels, out: Pixels) -> None:
        """Writes the crop of the labels into ``out``, (crop, crop) uint8, 255 = ignore.

        mask: all of it, (source_height, source_width) uint8. lookup: (256,) uint8, the label of each value of the mask.
        """
        if mask.shape != (self.source_height, self.source_width):
            raise ValueError(f"a mask of shape {mask.shape} for {self}")
        rows = _nearest(self.source_height, self.height, self.top, self.rows)
        columns = _nearest(self.source_width, self.width, self.left, self.columns)
        if self.flip:
            columns = columns[::-1]
        self._content(out, np.array(IGNORE, np.uint8))[...] = lookup.take(mask.take(rows, 0).take(columns, 1))

    def _content(self, out: Pixels, fill: Pixels) -> Pixels:
        """The part of ``out`` that shows the picture; the padding is filled."""
        if (self.rows, self.columns) != (self.crop, self.crop):
            out[...] = fill
        first = self.crop - self.columns if self.flip else 0
        return out[: self.rows, first : first + self.columns]


def draw_cut(
    seed: int, pass_number: int, index: int, source_height: int, source_width: int, base_size: int, crop: int
) -> Cut:
    """The cut of sample ``index`` in the ``pass_number``-th pass over the training set.

    A pure function of its arguments: neither threads, nor the order of calls, nor where a run began change it.
    """
    draws = _Draws(seed, pass_number, index)
    long = draws.integer(base_size // 2, 2 * base_size)
    if source_height > source_width:
        height, width = long, _proportional(source_width, long, source_height)
    else:
        height, width = _proportional(source_height, long, source_width), long
    top = draws.integer(0, max(height, crop) - crop)
    left = draws.integer(0, max(width, crop) - crop)
    flip = draws.uniform() < 0.5
    blurred, sigma = draws.uniform() < 0.5, draws.uniform()
    return Cut(source_height, source_width, height, width, top, left, crop, flip, sigma if blurred else 0.0)


def order(seed: int, pass_number: int, samples: int) -> npt.NDArray[np.intp]:
    """The order in which a pass visits the samples: a permutation of 0 .. samples - 1."""
    return np.argsort(_philox(seed, pass_number, 0, stream=1).random_raw(samples), kind="stable")


class _Draws:
    """Random numbers for one visit. Made from raw bits, since numpy keeps only those the same between its releases."""

    def __init__(self, seed: int, pass_number: int, index: int):
        self._bits = iter(_philox(seed, pass_number, index, stream=0).random_raw(8).tolist())

    def uniform(self) -> float:
        """Uniform in [0, 1)."""
        return float((next(self._bits) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """Uniform in low .. high, both included."""
        return low + int(self.uniform() * (high - low + 1))


def _philox(seed: int, pass_number: int, index: int, stream: int) -> np.random.Philox:
    """A generator whose state is its arguments: key and counter (Salmon et al., "Parallel random numbers", 2011).

    The counter's lowest word is left to the generator, which counts up in it.
    """
    key = np.array([seed & _WORD, pass_number & _WORD], np.uint64)
    return np.random.Philox(key=key, counter=np.array([0, index, stream, 0], np.uint64))


def _proportional(side: int, long: int, source_long: int) -> int:
    # 1: a picture more than 2 * long as wide as it is high would vanish
    return max(1, int(side * long / source_long + 0.5))


def _reach(first: int, count: int, source: int, scaled: int) -> tuple[int, int]:
    """From where to where (excluded) a bilinear filter reads the source for ``count`` pixels from ``first`` on."""
    scale = source / scaled
    support = max(scale, 1.0) + 1.0  # 1 more: the decimals of the box must not matter
    return max(0, int(first * scale - support)), min(source, int((first + count) * scale + support) + 1)


def _nearest(source: int, scaled: int, first: int, count: int) -> npt.NDArray[np.intp]:
    """The source row (or column) of each of ``count`` scaled ones: floor((i + 1/2) * source / scaled).

    The sum runs step by step as in Pillow, whose rounding decides where the value is a whole number.
    """
    steps = np.full(first + count, source / scaled)
    steps[0] *= 0.5
    return np.cumsum(steps)[first:].astype(np.intp)
