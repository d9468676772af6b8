"""Draws outlines, run lengths and bitmaps, each with its label, as a mask.

Every shape is encoded as COCO's run lengths first. COCO's own code does this for outlines, so that masks agree with
those of its tools; it is C code that doesn't check its input, so it is checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.convert.annotations import LabelMask
from sagemaker_semseg.convert.rle import Runs, ShapeError, check_runs, decode_columns, decode_runs, encode_bitmap
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import DataError, Fault, UserError

Points = npt.NDArray[np.float64]
Boxes = Literal["error", "ignore", "fill"]
"""What becomes of a box without an outline: an error, pixels that are ignored, or pixels of its class."""

MAX_OUTLINE: Final = 2_000_000
"""Pixels along an outline; COCO's code needs 80 bytes for each."""

MAX_RUNS: Final = 20_000_000
"""Of all shapes of an image, eight bytes each."""

_FARTHEST: Final = 1  # outside the image, in heights and widths of it
_CORNERS: Final = 256


class Shape(Protocol):
    """An area of an image."""

    def runs(self, height: int, width: int) -> Runs:
        """Encode the area as run lengths. Raises ``ShapeError``."""


@dataclass(frozen=True)
class Region:
    """A shape with its label. where: its entry, for messages. below: it lies below all regions that aren't."""

    shape: Shape
    label: int
    where: str
    below: bool = False


@dataclass(frozen=True, eq=False)
class Polygon:
    """The union of polygons. parts: (n, 2) x and y in pixels, or as fractions of width and height."""

    parts: tuple[Points, ...]
    fractions: bool = False

    def runs(self, height: int, width: int) -> Runs:
        size = np.array([width, height], np.float64)
        polygons = [part * size if self.fractions else part for part in self.parts]
        polygons = [part for part in polygons if len(part) > 2]  # a line has no area
        if not polygons:
            return np.array([height * width], np.int64)
        for part in polygons:
            self._check(part, size)
        coder = mask_coder()
        encoded = coder.merge(coder.frPyObjects([part.ravel() for part in polygons], height, width))
        return check_runs(decode_runs(encoded["counts"]), height, width)

    def _check(self, part: Points, size: Points) -> None:
        if not np.isfinite(part).all():
            raise ShapeError("a coordinate that is no finite number", "fix or remove the outline")
        outside = (part < -_FARTHEST * size) | (part > (1 + _FARTHEST) * size)
        if outside.any():
            x, y = part[outside.any(axis=1)][0]
            what = f"the point {x:g}, {y:g} lies far outside the image of {size[0]:g} x {size[1]:g} pixels"
            raise ShapeError(what, "check whether the outline belongs to this image")
        if np.abs(part - np.roll(part, 1, axis=0)).max(axis=1).sum() > MAX_OUTLINE:
            raise ShapeError(f"an outline of more than {MAX_OUTLINE} pixels", "simplify it")


@dataclass(frozen=True, eq=False)
class RLE:
    """Run lengths in one of COCO's forms. size: height and width for which they are."""

    counts: str | Sequence[Any]
    size: tuple[int, int]

    def runs(self, height: int, width: int) -> Runs:
        if self.size != (height, width):
            what = f"runs for {self.size[1]} x {self.size[0]} pixels in an image of {width} x {height}"
            raise ShapeError(what, "check whether they belong to this image")
        return check_runs(decode_runs(self.counts), height, width)


@dataclass(frozen=True, eq=False)
class Mask:
    """A bitmap, (h, w) bool, whose upper left pixel lies at row ``top`` and column ``left``."""

    pixels: npt.NDArray[np.bool_]
    top: int
    left: int

    def runs(self, height: int, width: int) -> Runs:
        h, w = self.pixels.shape
        if self.top < 0 or self.left < 0 or self.top + h > height or self.left + w > width:
            what = f"a mask of {w} x {h} pixels at {self.left}, {self.top} reaches out of {width} x {height} pixels"
            raise ShapeError(what, "check whether it belongs to this image")
        return encode_bitmap(self.pixels, self.top, self.left, height, width)


@dataclass(frozen=True, eq=False)
class Difference:
    """What of one shape isn't in another: a polygon with holes."""

    shape: Shape
    without: Shape

    def runs(self, height: int, width: int) -> Runs:
        pixels = np.zeros((height, width), np.bool_)
        for shape, value in ((self.shape, True), (self.without, False)):
            left, inside = decode_columns(shape.runs(height, width), height)
            pixels[:, left : left + inside.shape[1]][inside] = value
        return encode_bitmap(pixels, 0, 0, height, width)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Return the corners of a box."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def box_region(shape: Polygon, label: int, where: str, boxes: Boxes) -> Region:
    """Return the region of a box without an outline. Raises ``ShapeError`` where that is an error."""
    if boxes == "error":
        raise ShapeError("a box without an outline", "export outlines, or see --boxes")
    return Region(shape, label, where) if boxes == "fill" else Region(shape, IGNORE, where, below=True)


def circle(x: float, y: float, radius: float) -> Points:
    """Return a polygon that differs from the circle by less than a pixel up to a radius of 10 000 pixels."""
    angle = np.arange(_CORNERS) * (2 * np.pi / _CORNERS)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def rasterize(
    regions: Sequence[Region],
    height: int,
    width: int,
    background: int,
    larger_first: bool,
    faults: Sequence[Fault] = (),
) -> LabelMask:
    """Draw regions as a mask.

    Args:
        regions: Areas with labels.
        height: Of the mask, in pixels; ``width`` alike.
        background: The label where no region is.
        larger_first: Smaller regions lie above larger ones; otherwise later ones above earlier ones.
        faults: Faults that are known already.

    Raises:
        DataError: With the known faults and with every region that can't be drawn.
    """
    faults, encoded_regions, total = list(faults), [], 0
    for region in regions:
        try:
            runs = region.shape.runs(height, width)
        except ShapeError as error:
            faults.append(Fault(region.where, error.what, error.remedy))
            continue
        total += runs.size
        if total > MAX_RUNS:
            faults.append(Fault(region.where, f"this image's shapes have more than {MAX_RUNS} runs", "simplify them"))
            break
        encoded_regions.append((region, runs))
    if faults:
        raise DataError("annotations can't be used", faults)

    def drawing_order(pair: tuple[Region, Runs]) -> tuple[bool, int]:
        region, runs = pair
        return not region.below, -int(runs[1::2].sum()) if larger_first else 0

    mask = np.full((height, width), background, np.uint8)
    for region, runs in sorted(encoded_regions, key=drawing_order):  # sorting keeps the order of equals
        left, inside = decode_columns(runs, height)
        mask[:, left : left + inside.shape[1]][inside] = region.label
    return mask


def mask_coder() -> Any:
    """Return COCO's own module. Raises ``UserError`` where it isn't installed."""
    try:
        import pycocotools.mask
    except ImportError as error:
        install = "pip install 'sagemaker-semseg[convert]'"
        raise UserError(f"outlines need pycocotools: {error}\nInstall it with: {install}") from None
    return pycocotools.mask
