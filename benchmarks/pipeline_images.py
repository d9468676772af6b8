"""Makes the image and mask pairs that both sides of `pipeline_speed.py` read.

Input: a folder and a number. Output: `<k>.jpg` (640 x 480, quality 90, about 120 kB) and `<k>.png` (8-bit palette, some
kB) for k = 0 .. number - 1, the same bytes on every run with the same Pillow.
"""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH, CLASSES = 480, 640, 12


def write_pairs(folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        random = np.random.RandomState(index)
        Image.fromarray(texture(random)).save(folder / f"{index}.jpg", quality=90)
        mask = Image.fromarray(_regions(random))
        mask.putpalette(random.randint(0, 256, 768).astype(np.uint8).tobytes())
        mask.save(folder / f"{index}.png")


def texture(random: np.random.RandomState) -> np.ndarray:
    """Noise of all sizes, the weaker the finer, as in real images: (480, 640, 3) uint8."""
    image = np.full((HEIGHT, WIDTH, 3), 120.0)
    for cells, strength in ((4, 90), (12, 50), (40, 30), (120, 20)):
        image += strength * _enlarged(random.uniform(-1, 1, (cells * 3 // 4, cells, 3)))
    grain = random.normal(0, 8, (HEIGHT, WIDTH, 1)) + random.normal(0, 4, (HEIGHT, WIDTH, 3))
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def _regions(random: np.random.RandomState) -> np.ndarray:
    """Smooth regions of 12 classes with a seam of 255 (ignore): (480, 640) uint8."""
    heights = _enlarged(random.uniform(-1, 1, (3, 4, CLASSES)))
    ordered = np.sort(heights, axis=-1)
    seam = ordered[..., -1] - ordered[..., -2] < 0.005
    return np.where(seam, 255, heights.argmax(axis=-1)).astype(np.uint8)


def _enlarged(coarse: np.ndarray) -> np.ndarray:
    planes = [Image.fromarray(plane) for plane in np.float32(np.moveaxis(coarse, -1, 0))]
    return np.stack([np.asarray(plane.resize((WIDTH, HEIGHT), Image.BICUBIC)) for plane in planes], axis=-1)
