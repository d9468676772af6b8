"""A part of a scaled image against Pillow, which scales the whole first."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.training import resample as module
from sagemaker_semseg.training.resample import Axis, resample


def example_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth ground, fine noise and hard edges: (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    ground = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    ground[height // 3 :, width // 2 :] = 255 - ground[height // 3 :, width // 2 :]
    return np.clip(ground + random.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def part(side: int, scaled: int, random: np.random.Generator) -> Axis:
    first = int(random.integers(0, scaled))
    return Axis(side, scaled, first, int(random.integers(1, scaled - first + 1)))


def cut(source: np.ndarray, rows: Axis, columns: Axis, flip: bool = False) -> np.ndarray:
    out = np.zeros((rows.count, columns.count, 3), np.uint8)
    resample(source[slice(*rows.span), slice(*columns.span)], rows, columns, out, flip)
    return out


def whole(source: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    scaled = Image.fromarray(source).resize((columns.scaled, rows.scaled), Image.Resampling.BILINEAR)
    part = np.asarray(scaled)[rows.first :, columns.first :]
    return part[: rows.count, : columns.count]


@pytest.mark.parametrize("scale", [0.06, 0.3, 0.5, 0.71, 0.98, 1.0, 1.02, 1.5, 2.0, 3.7])
def test_a_part_equals_that_part_of_the_whole_scaled(scale: float) -> None:
    random = np.random.default_rng(int(scale * 100))
    source = example_image(83, 117)
    differences = []
    for _ in range(20):
        # the aspect changes by rounding, as it does when the long side is drawn
        height, width = (max(1, int(side * scale + random.uniform(0, 1))) for side in source.shape[:2])
        rows, columns = part(83, height, random), part(117, width, random)
        flip = bool(random.integers(2))
        expected = whole(source, rows, columns).astype(int)
        differences.append(cut(source, rows, columns, flip) - (expected[:, ::-1] if flip else expected))
    differences = np.abs(np.concatenate([difference.ravel() for difference in differences]))
    assert differences.max() <= 2
    assert differences.mean() < 0.4


@pytest.mark.parametrize("scale", [0.015, 0.04])
def test_huge_images_become_small(scale: float) -> None:
    source = example_image(1201, 1500)
    height, width = int(1201 * scale), int(1500 * scale)
    rows, columns = Axis(1201, height, 1, height - 2), Axis(1500, width, 2, width - 2)
    difference = np.abs(cut(source, rows, columns) - whole(source, rows, columns).astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 50)])
def test_tiny_images(size: tuple[int, int]) -> None:
    source = example_image(*size)
    for scaled in ((1, 1), (1, 20), (20, 1), (7, 5), size):
        rows, columns = Axis(size[0], scaled[0], 0, scaled[0]), Axis(size[1], scaled[1], 0, scaled[1])
        assert np.abs(cut(source, rows, columns) - whole(source, rows, columns).astype(int)).max() <= 2


def test_strips_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    source = example_image(90, 100)
    for scale in (0.6, 1.6):
        rows, columns = Axis(90, int(90 * scale), 3, 50), Axis(100, int(100 * scale), 5, 50)
        monkeypatch.setattr(module, "_STRIP", 1 << 30)
        expected = cut(source, rows, columns)
        monkeypatch.setattr(module, "_STRIP", 700)
        assert (cut(source, rows, columns) == expected).all()


def test_nearest_is_pillows_also_where_two_pixels_are_equally_near() -> None:
    ties = 0
    for source in [*range(1, 40), 75, 110, 427, 480, 640, 1024, 2047]:
        index = np.arange(source, dtype=np.int32)
        for scaled in [*range(1, 40), 260, 325, 519, 520, 1040]:
            expected = np.asarray(Image.fromarray(index[None]).resize((scaled, 1), Image.Resampling.NEAREST))[0]
            assert (Axis(source, scaled, 0, scaled).nearest == expected).all(), (source, scaled)
            assert (Axis(source, scaled, scaled // 2, scaled - scaled // 2).nearest == expected[scaled // 2 :]).all()
            exact = (2 * np.arange(scaled) + 1) * source // (2 * scaled)
            ties += int((exact != expected).sum())
    assert ties > 100  # else this test doesn't show what it is for


def test_pixels_of_another_size_are_refused() -> None:
    rows = columns = Axis(20, 30, 3, 10)
    with pytest.raises(ValueError, match="shape"):
        resample(example_image(20, 20), rows, columns, np.zeros((10, 10, 3), np.uint8))
