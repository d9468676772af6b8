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

Pixels = npt.NDArray[np.uint8]

MEAN_COLOUR: Final = (124, 116, 104)
"""ImageNet's mean (0.485, 0.456, 0.406) in 8 bits: close to zero after normalisation."""

_WORD: Final = (1 << 64) - 1


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

    def image(self, pixels: Pixels) -> Pixels:
        """The pixels of ``window``, (window.height, window.width, 3) uint8, as (crop, crop, 3) uint8."""
        window = self.window
        if pixels.shape != (window.height, window.width, 3):
            raise ValueError(f"pixels of shape {pixels.shape} for {window}")
        x, y = self.source_width / self.width, self.source_height / self.height
        box = (
            self.left * x - window.left,
            self.top * y - window.top,
            min((self.left + self.columns) * x - window.left, window.width),
            min((self.top + self.rows) * y - window.top, window.height),
        )
        # Pillow's filter reaches beyond the box, so this equals the crop of the scaled whole
        scaled = Image.fromarray(pixels).resize((self.columns, self.rows), Image.Resampling.BILINEAR, box)
        if self.flip:
            scaled = scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return blur(self._pad(np.asarray(scaled), np.array(MEAN_COLOUR, np.uint8)), self.sigma)

    def mask(self, mask: Pixels, lookup: Pixels) -> Pixels:
        """A whole mask, (source_height, source_width) uint8, as (crop, crop) uint8 labels with 255 = ignore.

        lookup: (256,) uint8, the label of each value of the mask.
        """
        if mask.shape != (self.source_height, self.source_width):
            raise ValueError(f"a mask of shape {mask.shape} for {self}")
        rows = _nearest(self.source_height, self.height, self.top, self.rows)
        columns = _nearest(self.source_width, self.width, self.left, self.columns)
        if self.flip:
            columns = columns[::-1]
        return self._pad(lookup[mask[rows][:, columns]], np.array(IGNORE, np.uint8))

    def _pad(self, content: Pixels, fill: Pixels) -> Pixels:
        if (self.rows, self.columns) == (self.crop, self.crop):
            return content
        padded = np.empty((self.crop, self.crop, *content.shape[2:]), np.uint8)
        padded[...] = fill
        first = self.crop - self.columns if self.flip else 0
        padded[: self.rows, first : first + self.columns] = content
        return padded


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


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Gaussian blur of (H, W, 3) uint8 pixels, 0 <= sigma <= 1, the border repeated outwards.

    The kernel is that of Pillow's ``GaussianBlur(sigma)``: three times [a, 1 - 2a, a] with a = sigma^2 / 6, which has
    the Gaussian's variance exactly (Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended box
    filtering", 2011). Here it is one pass per axis in 16-bit integers, about eight times as fast as Pillow and, rounding
    twice instead of six times, closer to the kernel: within 2 levels of it, within 3 of Pillow.
    """
    weights = _blur_weights(sigma)
    reach = len(weights) - 1
    if reach == 0:
        return pixels
    height, width, channels = pixels.shape
    rows = np.empty((height + 2 * reach, width, channels), np.uint16)
    rows[reach:-reach] = pixels
    rows[:reach], rows[-reach:] = pixels[:1], pixels[-1:]
    vertical = _convolve(rows.reshape(-1), weights, width * channels).reshape(height, width, channels)
    columns = np.empty((height, width + 2 * reach, channels), np.uint16)
    columns[:, reach:-reach] = vertical
    columns[:, :reach], columns[:, -reach:] = vertical[:, :1], vertical[:, -1:]
    flat = columns.reshape(-1)
    blurred = np.empty(flat.size, np.uint8)
    # values that straddle two rows come out too; they are the last columns of each row and dropped
    blurred[: flat.size - 2 * reach * channels] = _convolve(flat, weights, channels)
    return blurred.reshape(columns.shape)[:, : -2 * reach]


def _blur_weights(sigma: float) -> npt.NDArray[np.uint16]:
    """The kernel's middle and right half in units of 1/256, without zeros at its end; the whole sums up to 256."""
    a = sigma * sigma / 6
    once = np.array([a, 1 - 2 * a, a])
    side = np.rint(256 * np.convolve(np.convolve(once, once), once)[4:])
    return np.array([256 - 2 * side.sum(), *side[side > 0]], np.uint16)


def _convolve(flat: npt.NDArray[np.uint16], weights: npt.NDArray[np.uint16], step: int) -> npt.NDArray[np.uint16]:
    """Symmetric convolution of values ``step`` apart; shorter than ``flat`` by the kernel's reach at both ends."""
    reach = (len(weights) - 1) * step
    size = flat.size - 2 * reach
    total = flat[reach : reach + size] * weights[0]  # at most 255 * 256 in sum: it fits into 16 bits
    total += np.uint16(128)
    pair = np.empty(size, np.uint16)
    for distance, weight in enumerate(weights[1:], 1):
        shift = distance * step
        np.add(flat[reach - shift :][:size], flat[reach + shift :][:size], out=pair)
        pair *= weight
        total += pair
    total >>= np.uint16(8)
    return total
