"""From outlines to masks: the areas of a picture come in, each with its label, and the (H, W) mask goes out.

Every shape becomes runs first, COCO's run lengths: pixels column by column, and how many of them in turn lie outside
and inside. Outlines are turned into runs by COCO's own code, so that masks agree with those of its tools. It is
C that trusts its caller, hence the checks before it. Called by the readers of ``coco``, ``labelme`` and ``yolo``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.convert.annotations import LabelMask
from sagemaker_semseg.convert.rle import Runs, Unusable, check_runs, decode_runs, inside_of, runs_of_bitmap
from sagemaker_semseg.errors import DataError, Fault, UserError

Points = npt.NDArray[np.float64]

MAX_OUTLINE: Final = 2_000_000
"""Pixels along an outline: COCO's code needs 80 bytes for each."""

MAX_RUNS: Final = 20_000_000
"""Of all shapes of a picture, eight bytes each."""

_FARTHEST: Final = 1  # outside the picture, in heights and widths of it
_CORNERS: Final = 256


class Shape(Protocol):
    def runs(self, height: int, width: int) -> Runs:
        """Raises ``Unusable``."""


@dataclass(frozen=True)
class Region:
    """A shape with its label. where: the entry that it comes from, for messages. below: under all that aren't."""

    shape: Shape
    label: int
    where: str
    below: bool = False


@dataclass(frozen=True, eq=False)
class Polygon:
    """Polygons, of which a pixel has to lie in one. parts: (n, 2) x and y in pixels, or in widths and heights."""

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
            raise Unusable("a coordinate that is no finite number", "mend or remove the outline")
        outside = (part < -_FARTHEST * size) | (part > (1 + _FARTHEST) * size)
        if outside.any():
            x, y = part[outside.any(axis=1)][0]
            what = f"the point {x:g}, {y:g} lies far outside the picture of {size[0]:g} x {size[1]:g} pixels"
            raise Unusable(what, "look whether the outline belongs to this picture")
        if np.abs(part - np.roll(part, 1, axis=0)).max(axis=1).sum() > MAX_OUTLINE:
            raise Unusable(f"an outline of more than {MAX_OUTLINE} pixels", "simplify it")


@dataclass(frozen=True, eq=False)
class RLE:
    """Run lengths as COCO has them: numbers, or compressed. size: height and width that they are for."""

    counts: str | Sequence[Any]
    size: tuple[int, int]

    def runs(self, height: int, width: int) -> Runs:
        if self.size != (height, width):
            what = f"runs for {self.size[1]} x {self.size[0]} pixels in a picture of {width} x {height}"
            raise Unusable(what, "look whether they belong to this picture")
        return check_runs(decode_runs(self.counts), height, width)


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask of its own, (h, w) bool, whose upper left pixel lies at row ``top`` and column ``left``."""

    pixels: npt.NDArray[np.bool_]
    top: int
    left: int

    def runs(self, height: int, width: int) -> Runs:
        h, w = self.pixels.shape
        if self.top < 0 or self.left < 0 or self.top + h > height or self.left + w > width:
            what = f"a mask of {w} x {h} pixels at {self.left}, {self.top} reaches out of {width} x {height} pixels"
            raise Unusable(what, "look whether it belongs to this picture")
        return runs_of_bitmap(self.pixels, self.top, self.left, height, width)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def circle(x: float, y: float, radius: float) -> Points:
    """As a polygon of so many corners that it differs from the circle by less than a pixel up to 10 000 pixels."""
    angle = np.arange(_CORNERS) * (2 * np.pi / _CORNERS)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def rasterize(
    regions: Sequence[Region], height: int, width: int, ground: int, larger_first: bool, faults: Sequence[Fault] = ()
) -> LabelMask:
    """The mask. ground: the label where no region is. larger_first: smaller regions lie above larger ones, and else
    later above earlier ones. faults: known already.
    Raises ``DataError`` with them and with every region that can't be used.
    """
    faults, laid, total = list(faults), [], 0
    for region in regions:
        try:
            runs = region.shape.runs(height, width)
        except Unusable as error:
            faults.append(Fault(region.where, error.what, error.remedy))
            continue
        total += runs.size
        if total > MAX_RUNS:
            faults.append(Fault(region.where, f"this picture's shapes have more than {MAX_RUNS} runs", "simplify them"))
            break
        laid.append((region, runs))
    if faults:
        raise DataError("annotations can't be used", faults)

    def height_above_ground(pair: tuple[Region, Runs]) -> tuple[bool, int]:
        region, runs = pair
        return not region.below, -int(runs[1::2].sum()) if larger_first else 0

    mask = np.full((height, width), ground, np.uint8)
    for region, runs in sorted(laid, key=height_above_ground):  # sorting keeps the order of equals
        left, inside = inside_of(runs, height)
        mask[:, left : left + inside.shape[1]][inside] = region.label
    return mask


def mask_coder() -> Any:
    """COCO's own module. Raises ``UserError`` where it isn't installed."""
    try:
        import pycocotools.mask
    except ImportError as error:
        install = "pip install 'sagemaker-semseg[convert]'"
        raise UserError(f"outlines need pycocotools: {error}\nInstall it with: {install}") from None
    return pycocotools.mask
