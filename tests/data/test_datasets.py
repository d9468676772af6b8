"""Channels on disk: what is found, what is counted, and every fault with its file and remedy, all at once."""

from __future__ import annotations

import io
import json
import os
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data import files
from sagemaker_semseg.data.datasets import ValidationSplit, find_channels, read_channels, read_split, unmapped_values
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.errors import FAULTS_SHOWN, DataError

FOUR = ("train", "train_annotation", "validation", "validation_annotation")
CAMVID = Path(__file__).resolve().parents[2] / "../shared/datasets/camvid"


def image_bytes(height: int = 6, width: int = 8, kind: str = "JPEG", orientation: int = 1) -> bytes:
    image = Image.fromarray(np.full((height, width, 3), 90, np.uint8))
    tags = Image.Exif()
    tags[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, kind, exif=tags)
    return out.getvalue()


def mask_bytes(height: int = 6, width: int = 8, rows: tuple[int, ...] = (0, 1)) -> bytes:
    """Each value fills one row, the first one also the rest."""
    labels = np.full((height, width), rows[0], np.uint8)
    for row, value in enumerate(rows):
        labels[row] = value
    return encode_mask(labels)


def put(root: Path, **files: bytes) -> None:
    """put(root, train__a_jpg=...) writes root/train/a.jpg."""
    for key, data in files.items():
        channel, name = key.split("__")
        write(root / channel / name.replace("_", ".", 1), data)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training pairs and one validation pair of 6 x 8 pixels, without faults."""
    put(tmp_path, train__b_jpg=image_bytes(), train_annotation__b_png=mask_bytes(rows=(0, 1, 1)))
    put(tmp_path, train__a_jpg=image_bytes(), train_annotation__a_png=mask_bytes(rows=(0, 2, 255)))
    put(tmp_path, validation__v_jpg=image_bytes(), validation_annotation__v_png=mask_bytes())
    return tmp_path


def faults(root: Path, num_classes: int = 3) -> dict[str, str]:
    """What is wrong, by the file's path below root."""
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), num_classes)
    found = {os.path.relpath(fault.where, root): fault.what for fault in error.value.faults}
    assert len(found) == len(error.value.faults)
    assert all(fault.remedy for fault in error.value.faults)
    return found


def test_samples_and_counts(root: Path) -> None:
    train = read_channels(find_channels(root), 4).train
    assert train.channel == "train"
    assert [(sample.name, sample.size) for sample in train.pairs] == [("a", (6, 8)), ("b", (6, 8))]
    assert train.pairs[0].image == root / "train/a.jpg"
    assert train.pairs[0].mask == root / "train_annotation/a.png"
    # a has 4 rows of 0, one of 2, one ignored; b has 4 rows of 0 and two of 1; a row has 8 pixels
    assert train.pixel_counts.dtype == train.image_pixel_counts.dtype == np.int64
    assert train.pixel_counts.tolist() == [64, 16, 8, 0]
    assert train.image_pixel_counts.tolist() == [40 + 48, 48, 40, 0]
    assert train.value_counts[[0, 1, 2, 255]].tolist() == [64, 16, 8, 8]
    assert train.notes == ()
    np.testing.assert_array_equal(train.label_map.table, LabelMap.identity(4).table)


def test_one_split_needs_only_its_channels(root: Path) -> None:
    channels = find_channels(root)
    del channels["train"], channels["train_annotation"]
    split = read_split(channels, split="validation", num_classes=3)
    assert (split.channel, [sample.name for sample in split.pairs]) == ("validation", ["v"])


def test_nested_folders_and_extensions_of_any_case(root: Path) -> None:
    write(root / "train/2021 spring/city.north/0001 to 0017.JPG", image_bytes())
    write(root / "train_annotation/2021 spring/city.north/0001 to 0017.Png", mask_bytes())
    write(root / "train/2021 spring/x.jpeg", image_bytes())
    write(root / "train_annotation/2021 spring/x.png", mask_bytes())
    write(root / "train/a.b.png", image_bytes(kind="PNG"))
    write(root / "train_annotation/a.b.png", mask_bytes())
    names = [sample.name for sample in read_channels(find_channels(root), 3).train.pairs]
    assert names == ["2021 spring/city.north/0001 to 0017", "2021 spring/x", "a", "a.b", "b"]


def test_hidden_files_are_skipped_and_others_noted(root: Path) -> None:
    for hidden in (".DS_Store", "._a.jpg", ".cache/z.jpg"):
        write(root / "train" / hidden, b"?")
    write(root / "train/README.txt", b"?")
    write(root / "train/labels", b"?")
    assert read_channels(find_channels(root), 3).train.notes == (
        "train: files that are no images were left out (1 x .txt, 1 x no extension)",
    )


def test_accents_composed_differently_pair(root: Path) -> None:
    write(root / "train" / (unicodedata.normalize("NFC", "café") + ".jpg"), image_bytes())
    write(root / "train_annotation" / (unicodedata.normalize("NFD", "café") + ".png"), mask_bytes())
    assert len(read_channels(find_channels(root), 3).train.pairs) == 3


def test_links_are_followed_but_not_round(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "more/m.jpg", image_bytes())
    write(elsewhere / "masks/m.png", mask_bytes())
    (root / "train/linked").symlink_to(elsewhere / "more")
    (root / "train_annotation/linked").symlink_to(elsewhere / "masks")
    (root / "train/linked/round").symlink_to(root / "train")
    (root / "train/self").symlink_to(root / "train/self")
    names = [sample.name for sample in read_channels(find_channels(root), 3).train.pairs]
    assert names == ["a", "b", "linked/m"]


def test_orientation_counts_for_the_size(root: Path) -> None:
    put(root, train__a_jpg=image_bytes(8, 6, orientation=6))  # seen as 6 x 8, as its mask is
    sample = read_channels(find_channels(root), 3).train.pairs[0]
    assert sample.size == (6, 8)
    put(root, train__b_jpg=image_bytes(6, 8, orientation=6))  # seen as 8 x 6
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 3)
    (fault,) = error.value.faults
    assert "EXIF" in fault.remedy


def test_progress_counts_to_the_end(root: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_channels(find_channels(root), 3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_threads_end_when_the_caller_gives_up(root: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_channels(find_channels(root), 3, progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-samples")]


def test_large_images_one_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        """A lock that counts how often it was taken."""

        def __init__(self) -> None:
            self.lock, self.taken = threading.RLock(), 0

        def __enter__(self) -> None:
            self.lock.acquire()
            self.taken += 1

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    small, large = Counting(), Counting()
    monkeypatch.setattr(files, "_large", small)
    before = read_channels(find_channels(root), 3)
    monkeypatch.setattr(files, "_large", large)
    monkeypatch.setattr(files, "LARGE_FILE_BYTES", 0)
    monkeypatch.setattr(files, "LARGE_IMAGE_PIXELS", 0)
    assert read_channels(find_channels(root), 3).train.pairs == before.train.pairs
    assert (small.taken, large.taken) == (0, 2 * 6)


# label maps


def test_each_split_has_its_label_map(root: Path) -> None:
    write(root / "label_map/train_label_map.json", json.dumps({"map": {"0": [1, 2]}}).encode())
    write(root / "label_map/validation_label_map.json", json.dumps({"scale": "1"}).encode())
    read = read_channels(find_channels(root), 2)
    assert read.train.pixel_counts.tolist() == [24, 0]
    assert read.validation.pixel_counts.tolist() == [40, 8]
    assert unmapped_values(read.train.label_map, read.train.value_counts) == [0]


def test_a_split_without_label_map_is_read_as_it_is(root: Path) -> None:
    write(root / "label_map/train_label_map.json", b'{"scale": 2}')
    read = read_channels(find_channels(root), 2)
    assert read.train.pixel_counts.tolist() == [80, 8]
    assert read.validation.pixel_counts.tolist() == [40, 8]
    assert "validation_label_map.json" in read.validation.notes[0]


@pytest.mark.parametrize("as_file", [False, True])
def test_one_label_map_for_both(root: Path, as_file: bool) -> None:
    write(root / "label_map/label_map.json", b'{"scale": 2}')
    channels = find_channels(root)
    if as_file:
        channels["label_map"] = root / "label_map/label_map.json"
    read = read_channels(channels, 2)
    assert read.train.pixel_counts.tolist() == [80, 8]
    assert read.validation.pixel_counts.tolist() == [48, 0]


def test_a_label_map_of_its_own_wins(root: Path) -> None:
    write(root / "label_map/label_map.json", b'{"scale": 2}')
    write(root / "label_map/validation_label_map.json", b'{"scale": 1}')
    assert read_channels(find_channels(root), 2).validation.pixel_counts.tolist() == [40, 8]


def test_bad_label_map_is_reported_with_the_other_faults_and_once(root: Path) -> None:
    write(root / "label_map/label_map.json", b'{"scale": 0, "other": 1}')
    put(root, train__a_jpg=b"?")
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 1)  # which would put labels out of range, were the map good
    wheres = [os.path.relpath(fault.where, root) for fault in error.value.faults]
    assert wheres == ["label_map/label_map.json"] * 2 + ["train/a.jpg"]


def test_label_map_channel_without_a_label_map(root: Path) -> None:
    write(root / "label_map/train-labelmap.json", b'{"scale": 1}')
    what = faults(root)["label_map"]
    assert "train_label_map.json" in what
    assert "train-labelmap.json" in what


# faults


@pytest.mark.parametrize("missing", FOUR)
def test_missing_channel(root: Path, missing: str) -> None:
    (root / missing).rename(root / f"{missing}s")
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 3)
    (fault,) = error.value.faults
    assert fault.where == missing
    assert f"rename {root / missing}s to {missing}" in fault.remedy
    assert "train/a.jpg with train_annotation/a.png" in fault.remedy


def test_channel_whose_folder_does_not_exist(root: Path) -> None:
    channels = {**find_channels(root), "validation": root / "nowhere"}
    with pytest.raises(DataError, match="nowhere"):
        read_channels(channels, 3)


def test_no_channels_at_all(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="images"):
        find_channels(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_channels(tmp_path / "nowhere")
    with pytest.raises(DataError) as error:
        read_channels({}, 3)
    assert [fault.where for fault in error.value.faults] == list(FOUR)


def test_find_channels_takes_what_is_there(root: Path) -> None:
    for name in ("label_map", "model", "other"):
        (root / name).mkdir()
    (root / "validation").rename(root / "Validation2")
    assert find_channels(root) == {
        name: root / name for name in ("train", "train_annotation", "validation_annotation", "label_map", "model")
    }


def test_channel_without_images(root: Path) -> None:
    (root / "validation/v.jpg").rename(root / "validation/v.tif")
    found = faults(root)
    assert set(found) == {"validation"}
    assert "1 x .tif" in found["validation"]


def test_all_faults_in_one_error(root: Path) -> None:
    put(root, train__alone_jpg=image_bytes(), train_annotation__other_png=mask_bytes())
    put(root, train__narrow_jpg=image_bytes(), train_annotation__narrow_png=mask_bytes(6, 7))
    put(root, train__text_jpg=b"not an image", train_annotation__text_png=mask_bytes())
    put(root, train__short_jpg=image_bytes()[:-60], train_annotation__short_png=mask_bytes()[:-20])
    put(root, train__rgb_jpg=image_bytes(), train_annotation__rgb_png=image_bytes(kind="PNG"))
    put(root, train__jpeg_jpg=image_bytes(), train_annotation__jpeg_png=image_bytes())
    put(root, train__range_jpg=image_bytes(), train_annotation__range_png=mask_bytes(rows=(0, 3, 7, 7)))
    put(root, train__twice_jpg=image_bytes(), train__twice_png=image_bytes(), train_annotation__twice_png=mask_bytes())
    write(root / "label_map/validation_label_map.json", b"{")
    (root / "validation/link.jpg").symlink_to(root / "nowhere.jpg")
    put(root, validation_annotation__link_png=mask_bytes())
    found = faults(root)
    parts = {
        "train/alone.jpg": "no mask",
        "train_annotation/other.png": "no image",
        "train_annotation/narrow.png": "7 x 6 pixels",
        "train/text.jpg": "not a JPEG or PNG",
        "train/short.jpg": "truncated",
        "train_annotation/short.png": "truncated",
        "train_annotation/rgb.png": "RGB",
        "train_annotation/jpeg.png": "JPEG",
        "train_annotation/range.png": "3 (8 pixels), 7 (16 pixels)",
        "train/twice.png": "same name",
        "label_map/validation_label_map.json": "not JSON",
        "validation/link.jpg": "can't be read",
    }
    assert found.keys() == parts.keys()
    for where, part in parts.items():
        assert part in found[where]
    with pytest.raises(DataError, match="image without mask: 1, mask without image: 1"):
        read_channels(find_channels(root), 3)


def test_a_pair_that_decodes_to_its_end_only(root: Path) -> None:
    """A JPEG whose header is whole and whose pixels are cut is found before training."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    put(root, train__cut_jpg=out.getvalue()[:-200], train_annotation__cut_png=mask_bytes(64, 80))
    assert set(faults(root)) == {"train/cut.jpg"}


@pytest.mark.parametrize("name", ["a_mask.png", "A.png"])
def test_unmatched_names_that_are_similar(root: Path, name: str) -> None:
    (root / "train_annotation/a.png").rename(root / "train_annotation" / name)
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 3)
    assert f"{name} belongs to it" in error.value.faults[0].remedy


def test_only_ignored_pixels(root: Path) -> None:
    put(root, validation_annotation__v_png=mask_bytes(rows=(255,)))
    assert "every pixel" in faults(root)["validation_annotation"]


def test_thousands_of_faults_stay_readable(root: Path) -> None:
    for number in range(3000):
        (root / f"train/lonely{number:04}.jpg").touch()
    put(root, train_annotation__a_png=b"?")
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 3)
    assert len(error.value.faults) == 3001
    lines = str(error.value).splitlines()
    assert lines[0] == "the data can't be used (image without mask: 3000, unusable mask: 1)"
    assert len(lines) == FAULTS_SHOWN + 2
    assert any("train_annotation/a.png" in line for line in lines)
    assert lines[-1] == f"  ... and {3001 - FAULTS_SHOWN} more"


@pytest.mark.skipif(os.name == "nt", reason="names of raw bytes exist on POSIX only")
def test_names_that_are_no_unicode_can_be_printed(root: Path) -> None:
    path = os.fsencode(root / "train") + b"/\xff.jpg"
    try:
        with open(path, "wb") as file:
            file.write(b"?")
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 3)
    str(error.value).encode("utf-8")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "train/pipe.jpg")
    put(root, train_annotation__pipe_png=mask_bytes())
    assert "not a file" in faults(root)["train/pipe.jpg"]


def test_files_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100)
    assert "at most 100" in faults(root)["train/a.jpg"]


# a real set


@pytest.mark.skipif(not CAMVID.is_dir(), reason="needs the CamVid set in the shared folder beside the checkout")
def test_camvid() -> None:
    read = read_channels(find_channels(CAMVID), 11)
    assert (len(read.train.pairs), len(read.validation.pairs)) == (367, 101)
    for split in (read.train, read.validation):
        assert {sample.size for sample in split.pairs} == {(360, 480)}
        assert split.value_counts.sum() == len(split.pairs) * 360 * 480
        assert split.pixel_counts.sum() + split.value_counts[255] == split.value_counts.sum()
    with_pillow = np.zeros(256, np.int64)
    for path in (CAMVID / "validation_annotation").iterdir():
        with Image.open(path) as mask:
            with_pillow += np.bincount(np.asarray(mask).ravel(), minlength=256)
    np.testing.assert_array_equal(read.validation.value_counts, with_pillow)


# ---- validation out of train


def named(count: int) -> list[ImageMaskPair]:
    return [ImageMaskPair(f"image {number}", Path(f"{number}.jpg"), Path(f"{number}.png")) for number in range(count)]


@pytest.mark.parametrize(("count", "share", "expected"), [(10, 0.2, 2), (2, 0.01, 1), (2, 0.99, 1), (1000, 0.3, 300)])
def test_a_share_of_train_is_validation(count: int, share: float, expected: int) -> None:
    pairs = named(count)
    train, validation = ValidationSplit(share).divide(pairs)
    assert len(validation) == expected
    assert sorted(train + validation, key=pairs.index) == pairs
    assert train == sorted(train, key=pairs.index)


def test_the_share_is_the_same_in_every_run_and_another_with_another_seed() -> None:
    chosen = [pair.name for pair in ValidationSplit(0.2, seed=3).divide(named(100))[1]]
    assert chosen == [pair.name for pair in ValidationSplit(0.2, seed=3).divide(named(100)[::-1])[1]][::-1]
    assert chosen != [pair.name for pair in ValidationSplit(0.2, seed=4).divide(named(100))[1]]
    # with one more pair, all but one stay where they are
    assert len(set(chosen) - {pair.name for pair in ValidationSplit(0.2, seed=3).divide(named(101))[1]}) <= 1


def test_validation_out_of_train_is_read_with_its_label_map(root: Path) -> None:
    (root / "label_map").mkdir()
    (root / "label_map/train_label_map.json").write_text('{"map": {"0": 0, "1": 1, "2": 2}}')
    (root / "label_map/validation_label_map.json").write_text("no JSON, and not read")
    channels = {name: path for name, path in find_channels(root).items() if not name.startswith("validation")}
    datasets = read_channels(channels, 3, validation_split=ValidationSplit(0.5))
    assert sorted([datasets.train.pairs[0].name, datasets.validation.pairs[0].name]) == ["a", "b"]
    assert datasets.validation.channel == "validation"
    assert datasets.validation.label_map is datasets.train.label_map
    assert "1 pairs of train" in datasets.validation.notes[0]


def test_two_validations_and_too_few_pairs_are_faults(root: Path) -> None:
    with pytest.raises(DataError, match="is a channel of its own, and a share of train is asked for"):
        read_channels(find_channels(root), 3, validation_split=ValidationSplit(0.5))
    channels = {name: path for name, path in find_channels(root).items() if not name.startswith("validation")}
    (root / "train/a.jpg").unlink()
    (root / "train_annotation/a.png").unlink()
    with pytest.raises(DataError, match="there is one pair alone"):
        read_channels(channels, 3, validation_split=ValidationSplit(0.5))
    with pytest.raises(DataError, match=r"validation: the channel is missing \(to take a fifth of train"):
        read_channels(channels, 3)
