"""Random changes of brightness, contrast, saturation and hue, as one affine map of the colors.

All four are affine in RGB where the hue is rotated in YIQ space, as NVIDIA DALI's ColorTwist does, so an image is
changed by one product with a 3 x 3 matrix and rounded once.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# NTSC's YIQ (FCC 1953): luma, and two color differences
_YIQ: Final = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB: Final = np.linalg.inv(_YIQ)
GRAY: Final = _YIQ[0]
"""Weights of red, green and blue in the gray of a color."""


def jitter(pixels: Pixels, brightness: float, contrast: float, saturation: float, hue: float) -> None:
    """Change the colors of (H, W, 3) uint8 RGB pixels in place.

    Args:
        pixels: They are multiplied by ``brightness``, blended with their mean gray by ``contrast`` and each with its
            own gray by ``saturation``; then their hue is rotated.
        brightness: 1 changes nothing; so do 1 for ``contrast`` and ``saturation``.
        contrast: 0 is gray everywhere.
        saturation: 0 is a gray image.
        hue: In turns of the color circle; 0 and 1 change nothing.
    """
    flat = pixels.reshape(-1, 3)
    mean = brightness * float(flat.mean(0, dtype=np.float64) @ GRAY)
    turn = 2 * math.pi * hue
    rotation = np.array([[1, 0, 0], [0, math.cos(turn), -math.sin(turn)], [0, math.sin(turn), math.cos(turn)]])
    matrix = saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * GRAY
    matrix = brightness * contrast * (_RGB @ rotation @ _YIQ @ matrix)
    changed = flat @ matrix.T.astype(np.float32)
    changed += np.float32((1 - contrast) * mean + 0.5)  # a gray keeps its place under the other maps; 0.5 rounds
    flat[...] = np.clip(changed, 0, 255, out=changed)
