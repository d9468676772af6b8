"""The demo set: folders, sizes, determinism, and masks against outlines drawn by Pillow."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sagemaker_semseg.data.demo_dataset import CLASS_NAMES, OUTLINES, Shape, make_demo_set, paint


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    return root, make_demo_set(root, train=24, validation=6, test=3, size=64)


def test_writes_the_four_channels_and_an_unseen_pair(demo_set):
    root, written = demo_set
    assert {split: len(images) for split, images in written.items()} == {"train": 24, "validation": 6, "test": 3}
    for split, images in written.items():
        assert [path.name for path in images] == [f"{index:04d}.jpg" for index in range(len(images))]
        assert sorted(path.stem for path in (root / f"{split}_annotation").iterdir()) == [path.stem for path in images]


def test_images_are_jpeg_and_masks_8_bit_palette_png_of_the_same_size(demo_set):
    root, written = demo_set
    sizes = set()
    for split, images in written.items():
        for path in images:
            with Image.open(path) as image, Image.open(root / f"{split}_annotation" / f"{path.stem}.png") as mask:
                assert (image.format, image.mode) == ("JPEG", "RGB")
                assert (mask.format, mask.mode) == ("PNG", "P")
                assert image.size == mask.size
                sizes.add(image.size)
    assert len(sizes) > 1


def test_every_class_occurs_and_nothing_else(demo_set):
    root, _ = demo_set
    share = np.zeros(256)
    for path in (root / "train_annotation").iterdir():
        labels = np.asarray(Image.open(path))
        share += np.bincount(labels.ravel(), minlength=256) / labels.size / 24
    assert share[len(CLASS_NAMES) :].sum() == 0
    assert share[1:4].min() > 0.03
    assert 0.5 < share[0] < 0.9


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_demo_set(tmp_path / folder, train=2, validation=1, test=0, size=48, seed=seed)
    read = {folder: [p.read_bytes() for p in sorted((tmp_path / folder).rglob("*.*g"))] for folder in "abc"}
    assert read["a"] == read["b"]
    assert all(a != c for a, c in zip(read["a"], read["c"], strict=True))


def test_an_image_does_not_depend_on_the_number_of_images(tmp_path):
    make_demo_set(tmp_path / "few", train=1, validation=1, test=1, size=48)
    make_demo_set(tmp_path / "many", train=3, validation=2, test=2, size=48)
    for split in ("train", "validation", "test"):
        few, many = (tmp_path / folder / split / "0000.jpg" for folder in ("few", "many"))
        assert few.read_bytes() == many.read_bytes()


def test_no_image_is_in_two_splits(demo_set):
    _, written = demo_set
    contents = [path.read_bytes() for images in written.values() for path in images]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("label", [1, 2, 3])
def test_outlines_are_those_of_pillow(label, angle):
    """The same shape as corners, drawn eight times as large by Pillow: only pixels on the edge may differ."""
    shape = Shape(label=label, y=41.0, x=47.0, radius=30.0, angle=angle, stretch=0.7)
    ys, xs = np.mgrid[0:90, 0:100] + 0.5
    ours = OUTLINES[label](shape, ys, xs) < 0
    turns = {1: np.linspace(0, 2 * np.pi, 720), 3: np.pi / 3 + np.arange(3) * 2 * np.pi / 3}
    if label == 2:
        half = np.arctan(0.7)
        turns[2] = np.array([half, np.pi - half, np.pi + half, -half])
    reach = {1: 0.8, 2: 1.0, 3: 1.12}[label] * 30.0
    corners = [(8 * (47 + reach * np.cos(angle + t)), 8 * (41 + reach * np.sin(angle + t))) for t in turns[label]]
    canvas = Image.new("L", (800, 720))
    ImageDraw.Draw(canvas).polygon(corners, fill=1)
    covered = np.asarray(canvas).reshape(90, 8, 100, 8).mean(axis=(1, 3))
    assert ours[covered > 0.75].all()
    assert not ours[covered < 0.25].any()


def test_each_shape_has_its_hues_and_the_ground_is_dull():
    """Hue and saturation as Pillow has them (0 to 255): reddish discs, greenish boxes, bluish triangles."""
    inside, saturation = {1: [], 2: [], 3: []}, {label: [] for label in range(4)}
    for index in range(60):
        image, labels = paint(np.random.default_rng(index), 48)
        hsv = np.asarray(Image.fromarray(image).convert("HSV")).astype(float)
        for label in np.unique(labels).tolist():
            saturation[label].append(np.median(hsv[labels == label, 1]))
            if label:
                middle = {1: 0, 2: 85, 3: 170}[label]
                away = np.abs((hsv[labels == label, 0] - middle + 128) % 256 - 128)
                inside[label].append(np.mean(away < 43))
    assert all(np.mean(shares) > 0.85 for shares in inside.values())
    assert 2 * np.mean(saturation[0]) < min(np.mean(saturation[label]) for label in (1, 2, 3))


def test_too_small_a_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 32"):
        make_demo_set(tmp_path, size=16)
