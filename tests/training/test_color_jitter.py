"""Changes of colors against Pillow's and colorsys's, one at a time and together."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sagemaker_semseg.training.color_jitter import jitter


def example(low=60, high=190):
    rng = np.random.default_rng(7)
    return rng.integers(low, high, (20, 30, 3), dtype=np.uint8)


def changed(pixels, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0):
    pixels = pixels.copy()
    jitter(pixels, brightness, contrast, saturation, hue)
    return pixels


def test_nothing_changes():
    np.testing.assert_array_equal(changed(example(0, 256)), example(0, 256))
    np.testing.assert_array_equal(changed(example(0, 256), hue=1.0), example(0, 256))


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.3])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_as_pillow(name, enhance, factor):
    """Pillow rounds the gray first."""
    expected = np.asarray(enhance(Image.fromarray(example())).enhance(factor))
    assert np.abs(changed(example(), **{name: factor}).astype(int) - expected).max() <= 1


def test_one_after_the_other():
    image = Image.fromarray(example())
    for enhance, factor in ((ImageEnhance.Brightness, 0.9), (ImageEnhance.Contrast, 0.8), (ImageEnhance.Color, 1.2)):
        image = enhance(image).enhance(factor)
    assert np.abs(changed(example(), 0.9, 0.8, 1.2).astype(int) - np.asarray(image)).max() <= 3


def test_hue():
    """colorsys's YIQ has rounded coefficients."""
    turn = 0.15
    for before, after in zip(example().reshape(-1, 3), changed(example(), hue=turn).reshape(-1, 3), strict=True):
        y, i, q = colorsys.rgb_to_yiq(*before / 255)
        c, s = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
        expected = 255 * np.array(colorsys.yiq_to_rgb(y, c * i - s * q, s * i + c * q))
        assert np.abs(after - expected).max() <= 8


def test_values_are_clipped():
    assert changed(example(), brightness=3.0).max() == 255
    assert changed(np.full((2, 2, 3), 200, np.uint8), brightness=2.0).min() == 255
    assert changed(example(0, 256), contrast=2.0).min() == 0
