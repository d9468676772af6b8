"""Blended masks are found; clean ones with thin objects, seams, noise or of any size aren't."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.checks.mask_artifacts import find_artifacts


def what(mask: np.ndarray) -> str | None:
    found = find_artifacts(np.ascontiguousarray(mask), np.bincount(mask.ravel(), minlength=256))
    return found[0] if found else None


def scene(seed: int, classes: int = 12, height: int = 180, width: int = 240) -> np.ndarray:
    """Make smooth regions of many classes with seams of 255 between them, and a thin pole."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1, 1, (classes, 5, 7)).astype(np.float32)
    fields = np.stack([
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)) for plane in coarse
    ])  # fmt: skip
    ordered = np.sort(fields, axis=0)
    labels = np.where(ordered[-1] - ordered[-2] < 0.01, 255, fields.argmax(0)).astype(np.uint8)
    labels[20:150, 77] = classes
    return labels


def binary(seed: int, low: int, high: int) -> np.ndarray:
    return np.where(scene(seed) < 6, low, high).astype(np.uint8)


def resized(mask: np.ndarray, factor: float, how: Image.Resampling) -> np.ndarray:
    size = (round(mask.shape[1] * factor), round(mask.shape[0] * factor))
    return np.asarray(Image.fromarray(mask).resize(size, how))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("step", [1, 2, 5])
def test_clean_masks(seed: int, step: int) -> None:
    mask = scene(seed)
    assert what(mask[::step, ::step]) is None
    assert what(resized(mask, 1.7, Image.Resampling.NEAREST)) is None
    assert what(binary(seed, 0, 255)) is None


@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.HAMMING])
@pytest.mark.parametrize("factor", [0.6, 1.4, 2.5])
@pytest.mark.parametrize("ends", [(0, 255), (0, 128), (20, 90)])
def test_smoothly_resized(how: Image.Resampling, factor: float, ends: tuple[int, int]) -> None:
    for seed in range(3):
        assert what(resized(binary(seed, *ends), factor, how)) == "anti-aliased mask"


@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("ends", [(0, 255), (20, 200)])
def test_compressed(quality: int, ends: tuple[int, int]) -> None:
    for seed in range(3):
        out = io.BytesIO()
        Image.fromarray(binary(seed, *ends)).save(out, "JPEG", quality=quality)
        assert what(np.asarray(Image.open(out))) == "JPEG-compressed mask"


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 5)])
def test_masks_of_any_size(shape: tuple[int, int]) -> None:
    what(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))  # no size raises
    assert what(np.zeros(shape, np.uint8)) is None


def test_specks_in_coarse_labels_are_no_compression() -> None:
    """Labels on a grid of 8 x 8, as some networks give them, with specks of a few classes."""
    random = np.random.default_rng(0)
    mask = random.integers(0, 3, (30, 40)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    for label in range(10, 16):
        mask[random.integers(1, 29, 4) * 8 + 4, random.integers(1, 39, 4) * 8 + 4] = label
    assert what(mask) is None


def test_a_class_between_two_others_is_no_blending() -> None:
    """A kerb (1) between road (0) and pavement (2), one pixel wide, along the whole image."""
    mask = np.zeros((60, 80), np.uint8)
    mask[:, 41:], mask[:, 40] = 2, 1
    mask[:5, :5], mask[-5:, -5:] = 7, 9
    assert what(mask) is None
