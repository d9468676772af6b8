"""The stream of batches: the same for any number of workers and any start, every sample equally often."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagemaker_semseg.data.color_map import parse_map
from sagemaker_semseg.data.datasets import FileDataset, ImageMaskPair
from sagemaker_semseg.data.images import decode_image, decode_mask, encode_mask
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.data.samples import shuffled_order
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.training.augment import sample_crop
from sagemaker_semseg.training.pipeline import Batches, evaluation_batches, training_batches

CROP, BASE = 24, 40
Batch = tuple[np.ndarray, np.ndarray]


def make_split(folder: Path, sizes: list[tuple[int, int]], orientations: dict[int, int] | None = None) -> FileDataset:
    """Sample i is of one color of its own, and its mask holds i, i + 1 and 255."""
    samples = []
    for index, (height, width) in enumerate(sizes):
        image, mask = folder / f"{index}.jpg", folder / f"{index}.png"
        tags = Image.Exif()
        tags[0x0112] = (orientations or {}).get(index, 1)
        stored = (height, width) if tags[0x0112] < 5 else (width, height)
        color = np.full((*stored, 3), 20 + 15 * index, np.uint8)
        color[: stored[0] // 2] //= 2
        Image.fromarray(color).save(image, exif=tags)
        labels = np.full((height, width), index, np.uint8)
        labels[: height // 3], labels[:, :2] = index + 1, 255
        mask.write_bytes(encode_mask(labels))
        samples.append(ImageMaskPair(str(index), image, mask, size=(height, width)))
    classes = len(sizes) + 1
    counts = np.zeros(classes, np.int64)
    return FileDataset("train", tuple(samples), LabelMap.identity(classes), counts, counts, np.zeros(256, np.int64))


def hp(batch: int, **changes: int) -> Hyperparameters:
    values = {"num_classes": 3, "base_size": BASE, "crop_size": CROP, "mini_batch_size": batch, "seed": 4}
    return resolve({**values, **changes})


def taken(batches: Batches, count: int) -> list[Batch]:
    return [(images.numpy(), labels.numpy()) for images, labels in itertools.islice(batches, count)]


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        (images == others).all() and (labels == other_labels).all()
        for (images, labels), (others, other_labels) in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> FileDataset:
    sizes = [(30, 44), (44, 30), (30, 44), (20, 20), (44, 30)]
    return make_split(tmp_path_factory.mktemp("files"), sizes, {1: 6, 2: 3})


def test_a_reader_for_each_cpu_that_the_container_may_use(split: FileDataset, two_cpus: None) -> None:
    for batches in (training_batches(split, hp(4)), evaluation_batches(split, 1)):
        assert batches.dataset.options().threading.private_threadpool_size == 2


@pytest.mark.parametrize("batch", [1, 3, 11, 16, 20])
def test_each_position_holds_the_sample_and_the_crop_of_the_seed(split: FileDataset, batch: int) -> None:
    position = 0
    for images, labels in taken(training_batches(split, hp(batch), workers=2), 3):
        assert images.shape == (batch, CROP, CROP, 3)
        assert labels.shape == (batch, CROP, CROP)
        assert images.dtype == labels.dtype == np.uint8
        for image, label in zip(images, labels, strict=True):
            epoch, index = divmod(position, 5)
            sample = split.pairs[shuffled_order(4, epoch, 5)[index]]
            transform = sample_crop(hp(batch), epoch, index, sample.size)
            expected, expected_labels = np.zeros_like(image), np.zeros_like(label)
            whole = decode_image(sample.image.read_bytes())
            transform.image(whole[slice(*transform.rows.span), slice(*transform.columns.span)], expected)
            transform.mask(decode_mask(sample.mask.read_bytes()), split.label_map.lookup, expected_labels)
            assert (image == expected).all()
            assert (label == expected_labels).all()
            position += 1


def test_neither_workers_nor_the_start_change_a_batch(split: FileDataset) -> None:
    expected = taken(training_batches(split, hp(3), workers=1), 9)
    assert same(expected, taken(training_batches(split, hp(3), workers=5), 9))
    for start in (1, 4, 8):
        assert same(expected[start:], taken(training_batches(split, hp(3), start_step=start, workers=3), 9 - start))
    assert not same(expected, taken(training_batches(split, hp(3, seed=5), workers=1), 9))


def test_the_stream_may_be_given_an_end(split: FileDataset) -> None:
    for batch in (2, 20):
        expected = taken(training_batches(split, hp(batch)), 5)
        assert same(expected[2:], taken(training_batches(split, hp(batch), start_step=2, stop_step=5), 9))


def test_batches_of_several_chunks_continue_too(split: FileDataset) -> None:
    expected = taken(training_batches(split, hp(12), workers=1), 4)
    assert same(expected[2:], taken(training_batches(split, hp(12), start_step=2, workers=2), 2))


def test_every_sample_is_drawn_equally_often(split: FileDataset) -> None:
    # 5 batches of 3 are 3 passes over 5 samples; a sample shows in the labels
    labels = np.concatenate([labels for _, labels in taken(training_batches(split, hp(3, crop_size=96)), 5)])
    seen = [int(one[one < 255].min()) for one in labels]
    assert sorted(seen) == sorted([*range(5)] * 3)


def test_the_label_map_is_applied(split: FileDataset) -> None:
    mapped = LabelMap.mapped({0: 1, 1: 1, 2: 0}, 2)
    other = FileDataset("train", split.pairs[:2], mapped, *(split.pixel_counts,) * 2, split.value_counts)
    labels = np.concatenate([labels for _, labels in taken(training_batches(other, hp(4)), 4)])
    assert set(np.unique(labels)) == {0, 1, 255}
    labels = np.concatenate([labels.ravel() for _, labels in taken(evaluation_batches(other, 2), 2)])
    assert set(np.unique(labels)) == {0, 1, 255}


def test_shapes_are_known_before_anything_runs(split: FileDataset) -> None:
    images, labels = training_batches(split, hp(16)).dataset.element_spec
    assert images.shape == (16, CROP, CROP, 3)
    assert labels.shape == (16, CROP, CROP)
    images, labels = evaluation_batches(split, 2).dataset.element_spec
    assert images.shape.as_list() == [None, None, None, 3]
    assert labels.shape.as_list() == [None, None, None]


def test_no_samples_is_an_error(split: FileDataset) -> None:
    empty = FileDataset("train", (), split.label_map, split.pixel_counts, split.pixel_counts, split.value_counts)
    with pytest.raises(ValueError, match="no samples"):
        training_batches(empty, hp(2))


def test_masks_of_colors_are_read_by_them(tmp_path: Path) -> None:
    """Ground Truth's: blue is the class that the list has second, whatever numbers the file holds."""
    entries = {"7": {"class-name": "sky", "hex-color": "#0000ff"}, "3": {"class-name": "road", "hex-color": "#ff0000"}}
    colors, wrong = parse_map(entries)
    assert colors
    assert not wrong
    split = make_split(tmp_path, [(30, 40)])
    mask = np.zeros((30, 40, 3), np.uint8)
    mask[:, :20, 0], mask[:, 20:, 2] = 255, 255
    Image.fromarray(mask).save(split.pairs[0].mask)
    colored = replace(split.pairs[0], color_map=colors.with_names(["road", "sky"]))
    ((_, labels),) = taken(evaluation_batches(replace(split, pairs=(colored,)), 1), 2)
    assert (labels[0] == np.repeat([0, 1], 20)).all()
    ((_, labels),) = taken(training_batches(replace(split, pairs=(colored,)), hp(4)), 1)
    assert set(np.unique(labels)) <= {0, 1, 255}
    assert {0, 1} <= set(np.unique(labels))


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    gone = make_split(tmp_path, [(30, 40), (30, 40)])
    batches = iter(training_batches(gone, hp(2), workers=1))
    next(batches)
    gone.pairs[1].mask.unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.png"):
        list(batches)


def test_a_file_of_another_size_is_named(tmp_path: Path) -> None:
    changed = make_split(tmp_path, [(30, 40), (20, 40)])
    changed.pairs[1].image.write_bytes(changed.pairs[0].image.read_bytes())
    for batches in (training_batches(changed, hp(2)), evaluation_batches(changed, 2)):
        with pytest.raises(DataError, match=r"1\.jpg: 30 x 40 pixels .* but 20 x 40 when it was checked"):
            list(iter(batches))
    changed.pairs[1].image.write_bytes(saved_at(20, 40))
    changed.pairs[1].mask.write_bytes(changed.pairs[0].mask.read_bytes())
    with pytest.raises(DataError, match=r"1\.png: 30 x 40"):
        list(evaluation_batches(changed, 2))


def saved_at(height: int, width: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "JPEG")
    return out.getvalue()


def test_autotune_is_off(split: FileDataset) -> None:
    """With it, releasing an iterator can take as long as the iterator was held."""
    for made in (training_batches(split, hp(2)), evaluation_batches(split, 2)):
        assert made.dataset.options().autotune.enabled is False


def test_evaluation_gives_every_sample_once_at_its_own_size(split: FileDataset) -> None:
    batches = taken(evaluation_batches(split, 2), 9)
    assert [images.shape for images, _ in batches] == [(2, 30, 44, 3), (2, 44, 30, 3), (1, 20, 20, 3)]
    samples = [split.pairs[index] for index in (0, 2, 1, 4, 3)]
    images = [image for images, _ in batches for image in images]
    labels = [one for _, labels in batches for one in labels]
    for sample, image, one in zip(samples, images, labels, strict=True):
        assert (image == decode_image(sample.image.read_bytes())).all()
        assert (one == decode_mask(sample.mask.read_bytes())).all()


def test_evaluation_batches_are_bounded_in_pixels(split: FileDataset) -> None:
    def sizes(most: int) -> list[int]:
        return [len(images) for images, _ in taken(evaluation_batches(split, 8, max_pixels=most), 9)]

    assert sizes(2 * 30 * 44) == [2, 2, 1]
    assert sizes(2 * 30 * 44 - 1) == [1, 1, 1, 1, 1]
    assert sizes(1) == [1, 1, 1, 1, 1]


def test_replicas_share_a_batch(split: FileDataset, two_replicas: tf.distribute.Strategy) -> None:
    expected = taken(training_batches(split, hp(4), workers=1), 3)
    batches = training_batches(split, hp(4)).distribute(two_replicas)
    for images, labels in expected:
        shared_images, shared_labels = next(batches)
        parts = two_replicas.experimental_local_results(shared_images)
        assert [len(part) for part in parts] == [2, 2]
        assert (np.concatenate([part.numpy() for part in parts]) == images).all()
        parts = two_replicas.experimental_local_results(shared_labels)
        assert (np.concatenate([part.numpy() for part in parts]) == labels).all()


LEAVE_EARLY = """
import sys
from test_pipeline import Path, hp, make_split, training_batches
batches = iter(training_batches(make_split(Path(sys.argv[1]), [(400, 600)] * 4), hp(16, crop_size=240)))
next(batches)
"""


def test_a_program_may_end_while_batches_are_read(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parent
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(here)!r})\n{LEAVE_EARLY}", str(tmp_path)]
    result = subprocess.run(command, cwd=here.parents[1], capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "still being read" not in result.stderr
