"""Scaled and mirrored views of an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


class AugmentedView:
    """An image (H, W, 3) uint8, scaled by ``scale`` and mirrored left to right if ``flip``."""

    def __init__(self, image: Pixels, scale: float = 1.0, flip: bool = False):
        self.image, self.flip = image, flip
        self.height, self.width = (max(1, round(length * scale)) for length in image.shape[:2])

    def crop(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        """The view's pixels (bottom - top, right - left, 3); borders beyond the view are moved to its own."""
        bottom, right = min(bottom, self.height), min(right, self.width)
        if self.flip:
            left, right = self.width - right, self.width - left
        height, width = self.image.shape[:2]
        if (self.height, self.width) == (height, width):
            pixels = self.image[top:bottom, left:right]
        else:
            y, x = height / self.height, width / self.width
            box = (left * x, top * y, min(right * x, width), min(bottom * y, height))
            # Pillow reads over the box's border into the image, so tiles fit together
            scaled = Image.fromarray(self.image).resize((right - left, bottom - top), Image.Resampling.BILINEAR, box)
            pixels = np.asarray(scaled)
        return np.ascontiguousarray(pixels[:, ::-1] if self.flip else pixels)
