"""Cuts against the slow way (scale the whole, pad, crop, mirror, blur) and against the reference engine's output."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import struct
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sagemaker_semseg.training.augment import MEAN_COLOR, CropTransform, class_balanced_focus, sample_crop
from sagemaker_semseg.training.resample import Axis

AS_IS = np.arange(256, dtype=np.uint8)
PLAIN = {"scale_range": (0.5, 2.0), "rotation": 0.0, "color_jitter": 0.0}


def drawn_crop(
    seed: int, epoch: int, index: int, height: int, width: int, base_size: int, crop: int,
    focus: tuple[int, int] | None = None, **settings: Any,
) -> CropTransform:  # fmt: skip
    hp: Any = SimpleNamespace(seed=seed, base_size=base_size, padded_crop_size=crop, **{**PLAIN, **settings})
    return sample_crop(hp, epoch, index, (height, width), focus)


def example_image(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(height * width)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    ground = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    ground[height // 3 :, width // 2 :] = 255 - ground[height // 3 :, width // 2 :]
    return np.clip(ground + generator.normal(0, 10, (height, width, 3)), 0, 255).astype(np.uint8)


def mask_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height + width).integers(0, 256, (height, width)).astype(np.uint8)


def fast(
    transform: CropTransform, image: np.ndarray, mask: np.ndarray, lookup: np.ndarray = AS_IS
) -> tuple[np.ndarray, np.ndarray]:
    size = transform.crop
    pixels, labels = np.full((size, size, 3), 77, np.uint8), np.full((size, size), 77, np.uint8)
    transform.image(image[slice(*transform.rows.span), slice(*transform.columns.span)], pixels)
    transform.mask(mask[: transform.rows.span[1]], lookup, labels)
    return pixels, labels


def slow(transform: CropTransform, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """With Pillow, on whole images, one step after the other."""
    size = transform.columns.scaled, transform.rows.scaled
    scaled = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    nearest = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
    padded = max(size[0], transform.crop), max(size[1], transform.crop)
    canvas, ignored = Image.new("RGB", padded, MEAN_COLOR), Image.new("L", padded, 255)
    canvas.paste(scaled)
    ignored.paste(nearest)
    left, top = transform.columns.first, transform.rows.first
    box = (left, top, left + transform.crop, top + transform.crop)
    canvas, ignored = canvas.crop(box), ignored.crop(box)
    if transform.flip:
        canvas, ignored = (part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for part in (canvas, ignored))
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(transform.sigma))), np.asarray(ignored)


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (90, 31), (17, 120), (200, 260), (60, 60)], ids=str)
@pytest.mark.parametrize("crop", [40, 64])
def test_crops_equal_the_slow_way(size: tuple[int, int], crop: int) -> None:
    image, mask = example_image(*size), mask_of(*size)
    seen: Counter[str] = Counter()
    for index in range(40):
        transform = drawn_crop(5, 2, index, *size, base_size=64, crop=crop)
        pixels, labels = fast(transform, image, mask)
        expected, expected_labels = slow(transform, image, mask)
        assert (labels == expected_labels).all(), transform
        # Pillow blurs in six rounded passes and repeats the border again after each
        inner = slice(3, -3) if transform.sigma else slice(None)
        difference = np.abs(pixels.astype(int) - expected)[inner, inner]
        assert difference.max() <= (3 if transform.sigma else 2), transform
        assert difference.mean() < 1
        padded = min(transform.rows.count, transform.columns.count) < crop
        seen.update(flip=transform.flip, blur=transform.sigma > 0, padded=padded)
    assert 8 < seen["flip"] < 32
    assert 8 < seen["blur"] < 32
    assert seen["padded"] > 0


@pytest.mark.parametrize("seed", range(6))
def test_the_references_transform(reference: Callable[[str], Any], seed: int) -> None:
    """``train_seed<k>``: mirrored first, padded with 0; its draws are repeated here with Python's ``random``."""
    data = reference("transforms.npz")
    image, mask = data["img"], data["mask"]
    generator = random.Random(seed)
    if generator.random() < 0.5:
        image, mask = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    height, width, crop = *mask.shape, 64
    scaled_width = generator.randint(40, 160)  # base 80; the image is wider than high
    scaled_height = int(height * scaled_width / width + 0.5)
    left = generator.randint(0, max(scaled_width, crop) - crop)
    top = generator.randint(0, max(scaled_height, crop) - crop)
    sigma = generator.random() if generator.random() < 0.5 else 0.0
    rows = Axis(height, scaled_height, top, min(crop, scaled_height - top))
    columns = Axis(width, scaled_width, left, min(crop, scaled_width - left))
    pixels, labels = fast(CropTransform(rows, columns, crop, False, sigma), image, mask)

    expected, expected_labels = data[f"train_seed{seed}_img"], data[f"train_seed{seed}_mask"]
    shown = slice(rows.count), slice(columns.count)
    assert (labels[shown] == expected_labels[shown]).all()
    inside = np.zeros((crop, crop), bool)
    inside[shown] = True
    assert (labels[~inside] == 255).all()
    assert not expected_labels[~inside].any()
    # a blurred pixel within 3 of the padding has taken some of its colour, which isn't the reference's
    reach = 3 if sigma else 0
    near = slice(reach, rows.count - reach), slice(reach, columns.count - reach)
    difference = np.abs(pixels.astype(int) - expected)[near]
    assert difference.size > 3000
    assert difference.max() <= (3 if sigma else 2)
    assert difference.mean() < 1


def test_the_scale_is_drawn_from_half_to_twice_the_base_size() -> None:
    drawn = [drawn_crop(0, number, 3, 30, 40, base_size=33, crop=16) for number in range(4000)]
    long = Counter(transform.columns.scaled for transform in drawn)
    assert (min(long), max(long), len(long)) == (16, 66, 51)  # as randint(int(0.5 * 33), int(2.0 * 33))
    assert max(long.values()) < 140  # 78 on average
    assert all(transform.rows.scaled == int(30 * transform.columns.scaled / 40 + 0.5) for transform in drawn)
    upright = drawn_crop(0, 0, 3, 40, 30, base_size=33, crop=16)
    assert (upright.rows.scaled, upright.columns.scaled) == (drawn[0].columns.scaled, drawn[0].rows.scaled)


def test_the_crop_lies_anywhere_and_nowhere_else() -> None:
    places: dict[tuple[int, int], set[int]] = {}
    for number in range(6000):
        transform = drawn_crop(1, number, 0, 20, 20, base_size=20, crop=16)
        places.setdefault((transform.rows.scaled, 0), set()).add(transform.rows.first)
        places.setdefault((transform.columns.scaled, 1), set()).add(transform.columns.first)
        assert transform.rows.first + transform.rows.count <= transform.rows.scaled
    assert all(found == set(range(max(scaled, 16) - 16 + 1)) for (scaled, _), found in places.items())


def test_mirror_and_blur_come_half_of_the_time_each() -> None:
    drawn = [drawn_crop(2, 0, index, 30, 40, base_size=33, crop=16) for index in range(4000)]
    assert sum(transform.flip for transform in drawn) == pytest.approx(2000, abs=130)
    sigmas = [transform.sigma for transform in drawn if transform.sigma]
    assert len(sigmas) == pytest.approx(2000, abs=130)
    assert np.mean(sigmas) == pytest.approx(0.5, abs=0.03)
    assert max(sigmas) < 1
    assert sum(transform.flip and transform.sigma > 0 for transform in drawn) == pytest.approx(1000, abs=110)


def test_a_crop_is_a_function_of_seed_epoch_and_index() -> None:
    def draw(seed: int, epoch: int, index: int) -> CropTransform:
        return drawn_crop(seed, epoch, index, 480, 640, base_size=520, crop=240)

    crops = [draw(*which) for which in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (-1, 2, 3), (12, 3, 4), (1, 23, 4))]
    assert len({(one.rows, one.columns, one.sigma) for one in crops}) == len(crops)
    assert draw(1, 2, 3) == crops[0]


def test_random_numbers_stay_the_same_between_releases() -> None:
    # a run that is continued by a later release must have the same images
    def uniforms(name: str, count: int) -> list[float]:
        bits = struct.unpack(f"<{count}Q", hashlib.shake_256(name.encode()).digest(8 * count))
        return [(number >> 11) / 2**53 for number in bits]

    long, top, left, mirror, *_ = uniforms("cut 0 0 0", 6)
    assert (260 + int(long * 781), mirror < 0.5) == (702, False)  # 260 .. 1040
    expected = 702, int(top * (527 - 240 + 1)), int(left * (702 - 240 + 1)), False
    transform = drawn_crop(0, 0, 0, 480, 640, base_size=520, crop=240)
    drawn = transform.columns.scaled, transform.rows.first, transform.columns.first, transform.flip
    assert drawn == expected == (702, 208, 289, False)


def test_masks_are_mapped_and_pixels_outside_are_ignored() -> None:
    lookup = np.full(256, 255, np.uint8)
    lookup[[10, 20]] = [1, 0]
    mask = np.array([[10, 20], [30, 255]], np.uint8)
    transform = CropTransform(Axis(2, 4, 0, 4), Axis(2, 4, 0, 4), 6, True, 0.0)
    _, labels = fast(transform, example_image(2, 2), mask, lookup)
    expected = np.full((6, 6), 255)
    expected[:2, 2:] = [0, 0, 1, 1]
    assert (labels == expected).all()


def test_too_few_rows_of_a_mask_are_refused() -> None:
    transform = drawn_crop(0, 0, 0, 48, 64, base_size=64, crop=64)
    with pytest.raises(ValueError, match="mask"):
        transform.mask(mask_of(48, 64)[:5], AS_IS, np.zeros((64, 64), np.uint8))


def test_very_long_images_keep_a_pixel() -> None:
    transform = drawn_crop(0, 0, 0, 1, 3000, base_size=32, crop=24)
    assert transform.rows.scaled == 1
    pixels, _ = fast(transform, example_image(2, 3000)[:1], mask_of(1, 3000))
    assert (pixels[8:] == MEAN_COLOR).all()


# ---- extensions


def test_the_range_of_the_scale():
    longs = {drawn_crop(0, number, 3, 30, 40, 100, 16, scale_range=(0.9, 1.1)).columns.scaled for number in range(900)}
    assert longs == set(range(90, 111))


def test_rotation_is_pillows_for_image_and_mask():
    image, mask = example_image(90, 120), mask_of(90, 120)
    angles = []
    for index in range(20):
        transform = drawn_crop(1, 0, index, 90, 120, 100, 64, rotation=30.0)
        angles.append(transform.angle)
        upright = dataclasses.replace(transform, angle=0.0, sigma=0.0)
        pixels, labels = fast(dataclasses.replace(transform, sigma=0.0), image, mask)
        plain, plain_labels = (Image.fromarray(part) for part in fast(upright, image, mask))
        expected = plain.rotate(transform.angle, Image.Resampling.BILINEAR, fillcolor=MEAN_COLOR)
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_array_equal(labels, plain_labels.rotate(transform.angle, fillcolor=255))
    assert -30 <= min(angles) < 0 < max(angles) < 30


def test_colors_change_the_image_alone():
    image, mask = example_image(90, 120), mask_of(90, 120)
    transform = drawn_crop(1, 0, 0, 90, 120, 100, 64, color_jitter=0.4)
    plain = dataclasses.replace(transform, colors=None)
    (pixels, labels), (before, labels_before) = fast(transform, image, mask), fast(plain, image, mask)
    assert (pixels != before).any()
    np.testing.assert_array_equal(labels, labels_before)
    drawn = np.array([drawn_crop(1, 0, i, 90, 120, 100, 64, color_jitter=0.4).colors for i in range(500)])
    np.testing.assert_allclose(drawn.min(0), [0.6, 0.6, 0.6, -0.1], atol=0.02)
    np.testing.assert_allclose(drawn.max(0), [1.4, 1.4, 1.4, 0.1], atol=0.02)


@pytest.mark.parametrize("size", [(90, 120), (20, 300), (33, 17)], ids=str)
def test_a_crop_shows_its_focus(size):
    generator = np.random.default_rng(0)
    for index in range(200):
        focus = int(generator.integers(size[0])), int(generator.integers(size[1]))
        mask = np.zeros(size, np.uint8)
        reach = 1 + max(size) // 60  # scaled down, one pixel may fall between those that are taken
        mask[max(0, focus[0] - reach) : focus[0] + reach + 1, max(0, focus[1] - reach) : focus[1] + reach + 1] = 1
        transform = drawn_crop(6, 0, index, *size, 60, 24, focus=focus)
        assert 1 in fast(transform, example_image(*size), mask)[1], (transform, focus)


def test_classes_are_drawn_with_equal_chances():
    labels = np.zeros((50, 60), np.uint8)
    labels[3, 4] = 1
    labels[:, 50:] = 255
    labels[20:30, 10:40] = 7
    hp: Any = SimpleNamespace(seed=2, class_balanced_crops=0.75)
    found = [class_balanced_focus(hp, 0, index, labels) for index in range(2000)]
    counts = Counter(None if focus is None else int(labels[focus]) for focus in found)
    assert counts[None] == pytest.approx(500, abs=80)
    assert all(counts[label] == pytest.approx(500, abs=80) for label in (0, 1, 7))
    assert set(counts) == {None, 0, 1, 7}
    assert class_balanced_focus(hp, 0, 0, np.full((4, 4), 255, np.uint8)) is None
    assert len({focus for focus in found if focus and labels[focus] == 7}) > 200
