"""Generates the demo's images: reddish discs, greenish boxes and bluish triangles on textured, gray ground.

Texture, size and brightness have the same distribution for all classes; each kind of shape has a range of hues, whose
ends are blurred by shading and patterns. (Outlines alone would be enough, but a network that starts from random weights
needs far longer than a demo to learn them.) Each image depends on (seed, split, number) only. Outlines are signed
distances: their sign gives the exact mask, their fraction of a pixel gives the image its smooth edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.data.images import encode_mask

__all__ = ["CLASS_NAMES", "Shape", "make_demo_set", "paint"]

CLASS_NAMES: Final = ("ground", "disc", "box", "triangle")

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

_SPLITS: Final = ("train", "validation", "test")

# sixths of the color circle from red on: the middle of each shape's hues by label, and their spread to both sides
_HUES: Final = {1: 0.0, 2: 2.0, 3: 4.0}
_SPREAD: Final = 0.9


@dataclass(frozen=True)
class Shape:
    """One object of an image, in pixels: ``label`` 1 disc, 2 box, 3 triangle; ``radius`` of the circle around it."""

    label: int
    y: float
    x: float
    radius: float
    angle: float
    stretch: float  # a box's short side over its long side, 0..1


def make_demo_set(
    root: Path, *, train: int = 240, validation: int = 40, test: int = 8, size: int = 96, seed: int = 0
) -> dict[str, list[Path]]:
    """Write ``train/0000.jpg``, ``train_annotation/0000.png`` and so on, and also a split ``test`` for predictions.

    Args:
        root: The folder; other files in it stay.
        train: Number of images; ``validation`` and ``test`` alike. No image is in two splits.
        size: The usual side in pixels; a third of the images is longer in one direction.
        seed: Of the random numbers.

    Returns:
        The image files of each split. Masks are 8-bit palette PNGs with the labels of ``CLASS_NAMES``.
    """
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, not {size}")
    written: dict[str, list[Path]] = {}
    for number, (split, count) in enumerate(zip(_SPLITS, (train, validation, test), strict=True)):
        images, masks = root / split, root / f"{split}_annotation"
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        written[split] = []
        for index in range(count):
            image, labels = paint(np.random.default_rng((seed, number, index)), size)
            path = images / f"{index:04d}.jpg"
            Image.fromarray(image).save(path, "JPEG", quality=90, subsampling="4:4:4")
            (masks / f"{index:04d}.png").write_bytes(encode_mask(labels))
            written[split].append(path)
    return written


def paint(rng: np.random.Generator, size: int) -> tuple[Bytes, Bytes]:
    """Paint an image, (H, W, 3) uint8 RGB, and its labels, (H, W) uint8."""
    long = size + size // 4
    height, width = (*[(size, size)] * 4, (size, long), (long, size))[rng.integers(6)]
    ys, xs = np.mgrid[0:height, 0:width] + 0.5  # centers of the pixels
    image, ground_color = _ground(rng, ys, xs)
    labels = np.zeros((height, width), np.uint8)
    light = rng.uniform(0, 2 * np.pi)
    for shape in _arrange(rng, height, width):
        distance = OUTLINES[shape.label](shape, ys, xs)
        image = _drop_shadow(image, shape, ys, xs, light)
        body = _body(rng, shape, ys, xs, light, ground_color)
        # an edge crosses a pixel within half a pixel of its centre
        cover = np.clip(0.5 - distance, 0, 1)[:, :, None]
        image = image * (1 - cover) + body * cover
        labels[distance < 0] = shape.label
    image += rng.normal(0, 0.012, image.shape)  # the grain of a camera
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), labels


def _arrange(rng: np.random.Generator, height: int, width: int) -> list[Shape]:
    """Place one to three shapes with some space between them, each at least a quarter of the short side wide."""
    short = min(height, width)
    shapes: list[Shape] = []
    wanted = int(rng.choice((1, 2, 3), p=(0.2, 0.4, 0.4)))
    for _ in range(40):
        radius = short * rng.uniform(0.19, 0.31)
        shape = Shape(
            label=int(rng.integers(1, len(CLASS_NAMES))),
            y=rng.uniform(radius, height - radius),
            x=rng.uniform(radius, width - radius),
            radius=radius,
            angle=rng.uniform(0, 2 * np.pi),
            stretch=rng.uniform(0.6, 1.0),
        )
        if all(np.hypot(shape.y - other.y, shape.x - other.x) > 0.9 * (radius + other.radius) for other in shapes):
            shapes.append(shape)
        if len(shapes) == wanted:
            break
    return shapes


# Signed distances in pixels, negative inside. They cover similar shares of the circle around them.


def _disc(shape: Shape, ys: Floats, xs: Floats) -> Floats:
    return np.hypot(ys - shape.y, xs - shape.x) - 0.8 * shape.radius


def _box(shape: Shape, ys: Floats, xs: Floats) -> Floats:
    along, across = _rotate(shape, ys, xs)
    length = shape.radius / np.hypot(1, shape.stretch)
    return np.maximum(np.abs(along) - length, np.abs(across) - length * shape.stretch)


def _triangle(shape: Shape, ys: Floats, xs: Floats) -> Floats:
    along, across = _rotate(shape, ys, xs)
    sides = [np.cos(turn) * along + np.sin(turn) * across for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    return np.maximum.reduce(sides) - 0.56 * shape.radius


OUTLINES: Final[dict[int, Callable[[Shape, Floats, Floats], Floats]]] = {1: _disc, 2: _box, 3: _triangle}


def _rotate(shape: Shape, ys: Floats, xs: Floats) -> tuple[Floats, Floats]:
    dy, dx = ys - shape.y, xs - shape.x
    return np.cos(shape.angle) * dx + np.sin(shape.angle) * dy, np.cos(shape.angle) * dy - np.sin(shape.angle) * dx


# Colors are (3,) RGB and images (H, W, 3), both from 0 to 1.


def _ground(rng: np.random.Generator, ys: Floats, xs: Floats) -> tuple[Floats, Floats]:
    """Mix two colors by a pattern; return the image and its mean color."""
    first = _color(rng, hue=(0, 6), saturation=(0.0, 0.2), value=(0.25, 0.95))
    second = np.clip(first + rng.normal(0, 0.12) + rng.normal(0, 0.04, 3), 0, 1)
    mix = _pattern(rng, ys, xs)
    shade = 1 + 0.25 * (_clouds(rng, ys, xs, ys.shape[0] / 2) - 0.5)
    image = (first * mix[:, :, None] + second * (1 - mix[:, :, None])) * shade[:, :, None]
    return image, image.mean(axis=(0, 1))


def _body(rng: np.random.Generator, shape: Shape, ys: Floats, xs: Floats, light: float, ground_color: Floats) -> Floats:
    """Paint a shape's surface: a color unlike the ground, patterned half the time, lit from one side."""
    middle = _HUES[shape.label]
    hues = (middle - _SPREAD, middle + _SPREAD)
    color = ground_color
    while np.abs(color - ground_color).max() < 0.3:
        color = _color(rng, hue=hues, saturation=(0.5, 0.95), value=(0.35, 0.95))
    surface = np.broadcast_to(color, (*ys.shape, 3))
    if rng.random() < 0.5:
        mix = 0.35 * _pattern(rng, ys, xs)[:, :, None]
        surface = surface * (1 - mix) + (0.5 * color + 0.5 * rng.random()) * mix
    towards_light = (np.cos(light) * (xs - shape.x) + np.sin(light) * (ys - shape.y)) / shape.radius
    return np.clip(surface * (1 + 0.22 * towards_light[:, :, None]), 0, 1)


def _drop_shadow(image: Floats, shape: Shape, ys: Floats, xs: Floats, light: float) -> Floats:
    reach = 0.22 * shape.radius
    distance = OUTLINES[shape.label](shape, ys + reach * np.sin(light), xs + reach * np.cos(light))
    depth = 0.4 * np.clip(0.5 - distance / (1.6 * reach), 0, 1)
    return image * (1 - depth[:, :, None])


def _color(
    rng: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
) -> Floats:
    """Draw a color from three ranges; HSV to RGB as in A. R. Smith, Color gamut transform pairs, 1978."""
    h, s, v = rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)
    position = (np.array([5.0, 3.0, 1.0]) + h) % 6
    return np.asarray(v - v * s * np.clip(np.minimum(position, 4 - position), 0, 1))


def _pattern(rng: np.random.Generator, ys: Floats, xs: Floats) -> Floats:
    """Return (H, W) from 0 to 1: clouds, waves, squares, speckles or a slope."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 16)
    along = np.cos(angle) * xs + np.sin(angle) * ys
    across = np.cos(angle) * ys - np.sin(angle) * xs
    kind = int(rng.integers(5))
    if kind == 0:
        return _clouds(rng, ys, xs, period)
    if kind == 1:
        along = along + 0.6 * period * _clouds(rng, ys, xs, 2.5 * period)
        return 0.5 + 0.5 * np.sin(2 * np.pi * along / period)
    if kind == 2:
        return 0.1 + 0.8 * (((along // period) + (across // period)) % 2)
    if kind == 3:
        return np.where(_clouds(rng, ys, xs, 4) > 0.5, 0.9, 0.1)
    return (along - along.min()) / (along.max() - along.min())


def _clouds(rng: np.random.Generator, ys: Floats, xs: Floats, period: float) -> Floats:
    """Return value noise from 0 to 1 in two octaves: random values on a grid of ``period`` pixels, interpolated."""
    total = np.zeros(ys.shape)
    for weight, step in ((0.7, period), (0.3, period / 2)):
        rows, columns = int(ys.max() / step) + 2, int(xs.max() / step) + 2
        grid = rng.random((rows, columns))
        row, column = (ys / step).astype(int), (xs / step).astype(int)
        down, right = _ease(ys / step - row), _ease(xs / step - column)
        upper = grid[row, column] * (1 - right) + grid[row, column + 1] * right
        lower = grid[row + 1, column] * (1 - right) + grid[row + 1, column + 1] * right
        total += weight * (upper * (1 - down) + lower * down)
    return total


def _ease(t: Floats) -> Floats:
    return t * t * (3 - 2 * t)
