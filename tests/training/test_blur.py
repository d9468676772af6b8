"""The blur against the kernel written out, and against Pillow's."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sagemaker_semseg.training import blur as module
from sagemaker_semseg.training.blur import blur

SIGMAS = [0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.999, 1.0]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def example_image() -> np.ndarray:
    """Smooth ground, some noise and hard edges: (70, 60, 3) uint8."""
    ground = np.asarray(Image.fromarray(noise(5, 4)).resize((60, 70), Image.Resampling.BICUBIC)).astype(int)
    ground[30:, 25:] = 255 - ground[30:, 25:]
    return np.clip(ground + (noise(70, 60) - 127.5) / 5, 0, 255).astype(np.uint8)


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    copy = pixels.copy()
    blur(copy, sigma)
    return copy


def written_out(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """The same in float64: [a, 1 - 2a, a] three times along each axis, over a border repeated outwards."""
    a = sigma**2 / 6
    kernel = np.convolve(np.convolve([a, 1 - 2 * a, a], [a, 1 - 2 * a, a]), [a, 1 - 2 * a, a])
    result = np.pad(pixels.astype(float), ((3, 3), (3, 3), (0, 0)), "edge")
    for axis in (0, 1):
        result = np.apply_along_axis(np.convolve, axis, result, kernel, "valid")
    return result


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(("pixels", "limit"), [(example_image(), 2), (noise(57, 43), 3)], ids=["image", "noise"])
def test_is_the_kernel_to_two_levels(sigma: float, pixels: np.ndarray, limit: int) -> None:
    difference = np.abs(blurred(pixels, sigma) - written_out(pixels, sigma))
    assert difference.max() <= limit
    assert difference.mean() < 0.6


@pytest.mark.parametrize("sigma", SIGMAS)
def test_is_pillows_to_three_levels(sigma: float) -> None:
    pillow = np.asarray(Image.fromarray(example_image()).filter(ImageFilter.GaussianBlur(sigma))).astype(int)
    difference = np.abs(blurred(example_image(), sigma) - pillow)[
        3:-3, 3:-3
    ]  # Pillow repeats the border after each pass again
    assert difference.max() <= 3
    assert difference.mean() < 1


def test_the_kernel_has_the_gaussians_variance() -> None:
    line = np.zeros((15, 15, 1), np.uint8)
    line[7] = 255
    for sigma in (0.5, 0.8, 1.0):
        column = blurred(line, sigma)[:, 7, 0].astype(float)
        assert np.average((np.arange(15) - 7.0) ** 2, weights=column) == pytest.approx(
            sigma**2, abs=0.03
        )  # weights have 8 bits


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (6, 1), (7, 7)])
def test_tiny_images(size: tuple[int, int]) -> None:
    pixels = noise(*size)
    assert np.abs(blurred(pixels, 1.0) - written_out(pixels, 1.0)).max() <= 2


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 5, 16])
def test_strips_leave_no_seam(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    pixels = noise(33, 20)
    expected = blurred(pixels, 0.9)
    monkeypatch.setattr(module, "_STRIP", rows_at_once * 60)
    assert (blurred(pixels, 0.9) == expected).all()


def test_extremes_stay_and_nothing_overflows() -> None:
    white = np.full((9, 9, 3), 255, np.uint8)
    assert (blurred(white, 1.0) == 255).all()
    pixels = noise(9, 9)
    assert (blurred(pixels, 0.0) == pixels).all()


def test_larger_blurs_are_refused() -> None:
    for sigma in (-0.1, 1.01):
        with pytest.raises(ValueError, match="sigma"):
            blur(noise(4, 4), sigma)
