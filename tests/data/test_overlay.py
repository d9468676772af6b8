"""Overlays mix image and color as computed by hand here; sheets have the panels and legends that were asked for."""

import numpy as np
import pytest

from sagemaker_semseg.data.overlay import overlay, side_by_side

GRAY = np.full((6, 8, 3), 100, np.uint8)
# Pascal VOC's first colours, written down from its palette
MAROON, GREEN = (128, 0, 0), (0, 128, 0)


def test_mixes_image_and_color_by_opacity():
    mixed = overlay(GRAY, np.full((6, 8), 1, np.uint8), num_classes=2, opacity=0.25)
    assert mixed.dtype == np.uint8
    assert (mixed == [107, 75, 75]).all()  # 100 * 0.75 + (128, 0, 0) * 0.25


def test_opacity_0_is_the_image_and_1_the_colors():
    labels = np.full((6, 8), 2, np.uint8)
    assert (overlay(GRAY, labels, 3, opacity=0) == GRAY).all()
    assert (overlay(GRAY, labels, 3, opacity=1) == GREEN).all()


def test_ignored_pixels_show_the_image():
    labels = np.full((6, 8), 255, np.uint8)
    labels[:, 4:] = 1
    mixed = overlay(GRAY, labels, num_classes=2, opacity=1)
    assert (mixed[:, :3] == 100).all()
    assert (mixed[:, 4:] == MAROON).all()


def test_a_light_line_runs_between_labels_only():
    labels = np.ones((6, 8), np.uint8)
    labels[:, 4:] = 2
    mixed = overlay(GRAY, labels, num_classes=3, opacity=0.5).astype(int)
    plain = overlay(GRAY, np.ones_like(labels), num_classes=3, opacity=0.5).astype(int)
    assert (mixed[:, 3] > plain[:, 3]).all()
    assert (mixed[:, :3] == plain[:, :3]).all()


def test_arguments_that_do_not_fit_are_refused():
    labels = np.zeros((6, 8), np.uint8)
    with pytest.raises(ValueError, match="below num_classes=2 or 255, found 7"):
        overlay(GRAY, labels + np.uint8(7), num_classes=2)
    with pytest.raises(ValueError, match=r"labels must be \(6, 8\) uint8"):
        overlay(GRAY, labels[:3], num_classes=2)
    with pytest.raises(ValueError, match="labels must be"):
        overlay(GRAY, labels.astype(np.int32), num_classes=2)
    with pytest.raises(ValueError, match="image must be"):
        overlay(GRAY[:, :, 0], labels, num_classes=2)
    with pytest.raises(ValueError, match="opacity"):
        overlay(GRAY, labels, num_classes=2, opacity=1.5)


def test_the_arguments_are_left_as_they_are():
    image, labels = GRAY.copy(), np.ones((6, 8), np.uint8)
    overlay(image, labels, num_classes=2)
    side_by_side(image, labels, labels)
    assert (image == GRAY).all()
    assert (labels == 1).all()


def colors(sheet):
    return {tuple(int(v) for v in color) for color in np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)}


def test_three_panels_with_truth_and_two_without():
    labels = np.ones((30, 40), np.uint8)
    image = np.full((30, 40, 3), 100, np.uint8)
    three = side_by_side(image, labels, labels)
    two = side_by_side(image, None, labels)
    assert three.mode == two.mode == "RGB"
    assert three.height == two.height
    panel = three.width - two.width
    assert panel > 250  # a small image is enlarged
    assert two.width > 2 * (panel - 20)


def test_panels_show_image_truth_and_prediction_in_this_order():
    image = np.full((30, 40, 3), 100, np.uint8)
    sheet = np.asarray(side_by_side(image, np.full((30, 40), 1, np.uint8), np.full((30, 40), 2, np.uint8), opacity=1))
    middle = sheet[sheet.shape[0] // 2]
    seen = [tuple(int(v) for v in middle[round(sheet.shape[1] * share)]) for share in (1 / 6, 1 / 2, 5 / 6)]
    assert seen == [(100, 100, 100), MAROON, GREEN]


def test_a_large_image_is_reduced_and_a_flat_one_survives():
    large = side_by_side(np.zeros((2000, 3000, 3), np.uint8), None, np.zeros((2000, 3000), np.uint8))
    assert large.width < 2100
    flat = side_by_side(np.zeros((1, 3000, 3), np.uint8), None, np.zeros((1, 3000), np.uint8))
    assert flat.width < 2100
    assert side_by_side(np.zeros((1, 1, 3), np.uint8), None, np.zeros((1, 1), np.uint8)).width > 500


def test_the_legend_lists_what_occurs_and_grows_with_names():
    image = np.full((30, 40, 3), 255, np.uint8)
    one, both = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    both[:, 20:] = 1
    with_one = side_by_side(image, None, one, ["ground", "disc"], opacity=1)
    with_both = side_by_side(image, None, both, ["ground", "disc"], opacity=1)
    below = 270
    assert MAROON not in colors(with_one)
    assert MAROON in colors(with_both.crop((0, below, with_both.width, with_both.height)))
    many = np.arange(1200, dtype=np.uint16).reshape(30, 40) % 20
    long = side_by_side(image, None, many.astype(np.uint8), [f"a name that takes room {i}" for i in range(20)])
    assert long.height > with_both.height  # the legend breaks into rows


def test_a_label_beyond_the_names_is_refused():
    with pytest.raises(ValueError, match="below num_classes=2"):
        side_by_side(GRAY, None, np.full((6, 8), 2, np.uint8), ["ground", "disc"])
