"""Run lengths and outlines: by hand, by an independent computation, and as COCO's own code has them."""

from __future__ import annotations

import random

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_semseg.convert.rle import ShapeError, check_runs, decode_columns, decode_runs, encode_bitmap
from sagemaker_semseg.convert.shapes import RLE, Mask, Polygon, Region, box, circle, rasterize
from sagemaker_semseg.errors import DataError


def pixels(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    left, inside = decode_columns(runs, height)
    whole = np.zeros((height, width), bool)
    whole[:, left : left + inside.shape[1]] = inside
    return whole


def test_runs_by_hand():
    """Three rows, four columns; down the columns: 2 outside, 3 inside, 5 outside, 2 inside."""
    expected = np.array([[0, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 1]], bool)
    np.testing.assert_array_equal(pixels(check_runs(decode_runs([2, 3, 5, 2]), 3, 4), 3, 4), expected)
    # "2352" and then 2 - 3 = -1 as the difference from the number two before: the sign is the fifth bit, 31 + 48
    np.testing.assert_array_equal(decode_runs("235" + chr(31 + 48)), [2, 3, 5, 2])


@pytest.mark.parametrize("counts", [[12], [0, 12], [0, 0, 12], [12, 0], [4, 0, 8]])
def test_runs_all_outside_or_inside(counts):
    inside = counts == [0, 12]
    assert (pixels(check_runs(decode_runs(counts), 3, 4), 3, 4) == inside).all()


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 70), st.floats(0, 1))
def test_compressed_runs_are_those_of_coco(seed, height, width, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    encoded = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    runs = check_runs(decode_runs(encoded["counts"].decode()), height, width)
    np.testing.assert_array_equal(pixels(runs, height, width), mask)
    np.testing.assert_array_equal(runs[1::2].sum(), mask.sum())


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.integers(0, 4))
def test_runs_of_a_bitmap(seed, height, width, top, left):
    bitmap = np.random.default_rng(seed).random((height, width)) < 0.5
    whole = np.zeros((height + top + seed % 3, width + left + seed % 2), bool)
    whole[top : top + height, left : left + width] = bitmap
    runs = check_runs(encode_bitmap(bitmap, top, left, *whole.shape), *whole.shape)
    np.testing.assert_array_equal(pixels(runs, *whole.shape), whole)


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        ([5, 3, 5], "add up"),
        ([5, 3, 3], "add up"),
        ([], "add up"),
        ([-1, 13], "whole numbers"),
        ([True, 11], "whole numbers"),
        ([2.0, 10], "whole numbers"),
        (["12"], "whole numbers"),
        ([1 << 39] * 4, "add up"),
        ([10**400], "whole numbers"),
        ("", "no compressed"),
        ("2 4", "no compressed"),
        ("ä", "no compressed"),
        ("\x7f\x00", "no compressed"),
        ("o", "cut short"),
        ("o" * 7 + "0", "32 bits"),
        ("235" + chr(16 + 48), "pixels"),
        ("oooooo3oooooo3oooooo3", "add up"),
    ],
)
def test_runs_that_are_refused(counts, what):
    with pytest.raises(ShapeError, match=what):
        check_runs(decode_runs(counts), 3, 4)


def test_hostile_runs():
    """Whatever the counts, either the runs cover the image or there is an ShapeError."""
    draw_from = random.Random(1)
    good = 0
    for _ in range(3000):
        text = pycocotools.mask.encode(np.asfortranarray(np.eye(6, 7, dtype=np.uint8)))["counts"].decode()
        letters = list(text)
        for _ in range(draw_from.randrange(4)):
            letters[draw_from.randrange(len(letters))] = chr(draw_from.choice([*range(48, 112), 0, 200, 0xD800]))
        try:
            runs = check_runs(decode_runs("".join(letters)), 6, 7)
        except ShapeError:
            continue
        good += 1
        assert pixels(runs, 6, 7).shape == (6, 7)
    assert 500 < good < 2000


def filled(height: int, width: int, polygon: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels whose centres a ray to the right leaves through an odd number of edges."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.zeros((height, width), bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        inside ^= ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside


def near_edge(inside: np.ndarray) -> np.ndarray:
    """True where one of the eight neighbours is of the other kind."""
    padded = np.pad(inside, 1, mode="edge")
    shifts = [padded[dy : dy + inside.shape[0], dx : dx + inside.shape[1]] for dy in range(3) for dx in range(3)]
    return np.any([shift != inside for shift in shifts], axis=0)


def outline(height: int, width: int, *parts: object) -> np.ndarray:
    return pixels(Polygon(tuple(np.array(part, float) for part in parts)).runs(height, width), height, width)


def test_a_rectangle_on_the_grid_covers_its_pixels():
    expected = np.zeros((10, 12), bool)
    expected[2:7, 3:11] = True
    np.testing.assert_array_equal(outline(10, 12, box(3, 2, 11, 7)), expected)


def test_a_rectangle_that_reaches_out_is_cut():
    expected = np.zeros((10, 12), bool)
    expected[:7, 3:] = True
    np.testing.assert_array_equal(outline(10, 12, box(3, -5, 20, 7)), expected)


@pytest.mark.parametrize("seed", range(25))
def test_polygons_cover_the_pixels_whose_centers_they_hold(seed):
    """COCO's code draws the edges in fifths of a pixel: beside the edge it may differ by a pixel, and nowhere else."""
    random_ = np.random.default_rng(seed)
    corners = random_.uniform(-4, 28, (int(random_.integers(3, 8)), 2))
    angle = np.arctan2(*(corners - corners.mean(axis=0)).T)
    corners = corners[np.argsort(angle)]
    expected = filled(32, 32, corners + 4)  # with a rim, so that an edge outside the image is seen, too
    edge, expected = near_edge(expected)[4:28, 4:28], expected[4:28, 4:28]
    differs = outline(24, 24, corners) != expected
    assert not (differs & ~edge).any()
    assert differs.sum() <= 0.12 * edge.sum() + 2


def test_polygons_of_one_object_are_united():
    both = outline(10, 10, box(1, 1, 6, 6), box(4, 4, 9, 9))
    expected = np.zeros((10, 10), bool)
    expected[1:6, 1:6] = expected[4:9, 4:9] = True
    np.testing.assert_array_equal(both, expected)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_masks_are_those_of_coco(seed, height, width, count):
    random_ = np.random.default_rng(seed)
    parts = [random_.uniform(-5, 45, (int(random_.integers(3, 9)), 2)).round(1) for _ in range(count)]
    parts = [np.clip(part, (-width, -height), (2 * width, 2 * height)) for part in parts]
    coder = pycocotools.mask
    expected = coder.decode(coder.merge(coder.frPyObjects([part.ravel().tolist() for part in parts], height, width)))
    np.testing.assert_array_equal(outline(height, width, *parts), expected)


def test_a_circle():
    y, x = np.mgrid[:40, :40] + 0.5
    expected = (x - 20) ** 2 + (y - 18) ** 2 < 12.3**2
    differs = outline(40, 40, circle(20, 18, 12.3)) != expected
    assert differs.sum() < 12


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ([[0, 0], [5, 0], [float("nan"), 5]], "finite"),
        ([[0, 0], [5, 0], [float("inf"), 5]], "finite"),
        ([[0, 0], [5, 0], [1e300, 5]], "far outside"),
        ([[0, 0], [5, 0], [21, 5]], "far outside"),
        ([[0, 0], [5, 0], [3, -11]], "far outside"),
        ([[0, 0], [20, 20]] * 100_000, "more than 2000000"),
    ],
)
def test_outlines_that_never_reach_the_c_code(part, what):
    with pytest.raises(ShapeError, match=what):
        outline(10, 10, part)


def test_a_line_covers_nothing():
    assert not outline(10, 10, [[0, 0], [9, 9]]).any()
    assert outline(10, 10, [[0, 0], [9, 9]], box(2, 2, 4, 4)).sum() == 4


def region(left, top, right, bottom, label, below=False):
    return Region(Polygon((box(left, top, right, bottom),)), label, f"region {label}", below)


def test_smaller_regions_lie_above_larger_ones():
    regions = [region(4, 4, 6, 6, 1), region(2, 2, 8, 8, 2), region(0, 0, 10, 10, 3)]
    mask = rasterize(regions, 10, 10, background=0, larger_first=True)
    assert [mask[5, 5], mask[3, 3], mask[0, 0]] == [1, 2, 3]
    mask = rasterize(regions, 10, 10, background=0, larger_first=False)
    assert (mask == 3).all()


def test_what_is_below_stays_below():
    regions = [region(0, 0, 10, 10, 1), region(4, 4, 6, 6, 2, below=True)]
    assert (rasterize(regions, 10, 10, background=0, larger_first=True) == 1).all()


def test_every_region_at_fault_is_reported():
    bad = Region(Polygon((np.array([[0, 0], [1, 1], [99, 0]], float),)), 1, "first")
    other = Region(RLE([3, 5], (10, 10)), 1, "second")
    third = Region(Mask(np.ones((4, 4), bool), 8, 8), 1, "third")
    with pytest.raises(DataError) as error:
        rasterize([bad, region(0, 0, 3, 3, 1), other, third], 10, 10, 0, True)
    assert [fault.where for fault in error.value.faults] == ["first", "second", "third"]
    assert all(fault.remedy for fault in error.value.faults)


def test_runs_for_another_size():
    with pytest.raises(ShapeError, match="4 x 3 pixels in an image of 3 x 4"):
        RLE([12], (3, 4)).runs(4, 3)


def test_a_narrow_shape_in_a_large_image_takes_little_memory():
    left, inside = decode_columns(Polygon((box(5000, 10, 5003, 20),)).runs(10_000, 10_000), 10_000)
    assert (left, inside.shape) == (5000, (10_000, 3))
