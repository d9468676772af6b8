"""The four folders: whole or not at all, links, names, EXIF, lots."""

import dataclasses

import numpy as np
import pytest

from sagemaker_semseg.convert.annotations import AnnotatedDataset, AnnotatedImage, random_split, split_by_names
from sagemaker_semseg.convert.writing import write
from sagemaker_semseg.errors import DataError, UserError


def corner(height, width):
    """Label 1 in the upper left corner, three rows and five columns."""
    mask = np.zeros((height, width), np.uint8)
    mask[:3, :5] = 1
    return mask


def dataset(*paths, size=None, names=None):
    items = [
        AnnotatedImage(name, path, corner, size)
        for path, name in zip(paths, names or [p.stem for p in paths], strict=True)
    ]
    return AnnotatedDataset(("background", "thing"), items)


@pytest.mark.parametrize("link", [False, True])
def test_images_keep_their_bytes(write_image, tmp_path, link):
    paths = [write_image("in/a.jpg"), write_image("in/b.PNG", kind="PNG")]
    write(random_split(dataset(*paths)), tmp_path / "out", link=link)
    for path in paths:
        (found,) = (tmp_path / "out").glob(f"*/{path.name}")
        assert found.read_bytes() == path.read_bytes()
        assert found.samefile(path) == link


def test_one_label_alone_is_noted(write_image, tmp_path):
    found = dataset(write_image("in/a.jpg"), write_image("in/b.jpg"))
    found.items = [dataclasses.replace(item, draw=lambda h, w: np.zeros((h, w), np.uint8)) for item in found.items]
    written = write(random_split(found), tmp_path / "out")
    assert "label 0 (background) is the only one in all masks" in written.notes


# where the upper left corner of the stored pixels is shown: (rows, columns) of a displayed image
TURNED = {
    1: (slice(0, 3), slice(0, 5)),
    2: (slice(0, 3), slice(-5, None)),
    3: (slice(-3, None), slice(-5, None)),
    4: (slice(-3, None), slice(0, 5)),
    5: (slice(0, 5), slice(0, 3)),
    6: (slice(0, 5), slice(-3, None)),
    7: (slice(-5, None), slice(-3, None)),
    8: (slice(-5, None), slice(0, 3)),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("way", ["stored", "displayed"])
def test_annotations_of_turned_images(write_image, converted, orientation, way):
    """24 x 32 pixels are stored. A size that says 24 x 32 fits only the stored ones where EXIF turns by a quarter."""
    paths = [write_image(f"in/{name}.jpg", orientation=orientation) for name in "ab"]
    shown = (32, 24) if orientation >= 5 else (24, 32)
    size = (24, 32) if way == "stored" else shown
    auto = way == "displayed" or orientation >= 5
    masks, written = converted(dataset(*paths, size=size), orientation="auto" if auto else way)
    expected = np.zeros(shown, np.uint8)
    expected[TURNED[orientation] if way == "stored" else TURNED[1]] = 1
    np.testing.assert_array_equal(masks["a"], expected)
    assert bool(written.notes) == (orientation != 1)


def test_a_size_of_neither(write_image, tmp_path):
    paths = [write_image(f"in/{name}.jpg", orientation=6) for name in "ab"]
    with pytest.raises(DataError, match="24 x 32 pixels as displayed, but its annotations are for 31 x 24"):
        write(random_split(dataset(*paths, size=(24, 31))), tmp_path / "out")
    with pytest.raises(DataError, match="annotations are for 32 x 24"):
        write(random_split(dataset(*paths, size=(24, 32))), tmp_path / "out", orientation="displayed")


def test_names_that_are_taken_or_hidden(write_image, converted):
    paths = [
        write_image("a.jpg"),
        write_image("b.png", kind="PNG"),
        write_image("c.jpg"),
        write_image("d.jpg"),
        write_image("e.jpg"),
    ]
    masks, written = converted(dataset(*paths, names=["x", "x", "X", ".hidden/.y", "e\u0301"]))
    assert set(masks) <= {"x", "x-2", "x-3", "X", "X-2", "X-3", "_hidden/_y", "é"}
    assert len(masks) == 5
    assert "new name" in written.notes[0]


def test_nothing_is_left_of_a_conversion_that_fails(write_image, tmp_path):
    good, cut = write_image("in/a.jpg"), write_image("in/b.jpg")
    cut.write_bytes(cut.read_bytes()[:300])
    other = tmp_path / "in" / "c.jpg"
    other.write_bytes(b"BM" + bytes(100))
    with pytest.raises(DataError) as error:
        write(random_split(dataset(good, cut, other)), tmp_path / "out")
    assert sorted(fault.where for fault in error.value.faults) == [str(cut), str(other)]
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_an_interrupt_leaves_nothing(write_image, tmp_path):
    def stop(done, in_all):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(random_split(dataset(write_image("in/a.jpg"), write_image("in/b.jpg"))), tmp_path / "out", progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_what_is_there_is_not_overwritten(write_image, tmp_path):
    paths = [write_image("in/a.jpg"), write_image("in/b.jpg")]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(UserError, match="is there already"):
        write(random_split(dataset(*paths)), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    assert write(random_split(dataset(*paths)), tmp_path / "empty").images == {"train": 1, "validation": 1}


def test_one_image_is_too_few(write_image, tmp_path):
    with pytest.raises(DataError, match="no image for validation"):
        write(random_split(dataset(write_image("in/a.jpg"))), tmp_path / "out")


def test_lots(tmp_path):
    items = dataset(*(tmp_path / f"{n}.jpg" for n in range(100)))

    def drawn(share, seed, of=items):
        return {item.name for item in random_split(of, share, seed).items if item.split == "validation"}

    assert len(drawn(0.2, 0)) == 20
    assert drawn(0.2, 0) == drawn(0.2, 0, AnnotatedDataset(items.classes, items.items[::-1]))
    assert drawn(0.2, 0) != drawn(0.2, 1)
    assert drawn(0.1, 0) < drawn(0.2, 0)
    assert (len(drawn(0.001, 0)), len(drawn(0.999, 0))) == (1, 99)


def test_a_list_of_names(tmp_path):
    items = dataset(*(tmp_path / f"{name}.jpg" for name in "abc"))
    divided = split_by_names(items, ["b.jpg", "c", "none"], "val.txt")
    assert [item.split for item in divided.items] == ["train", "validation", "validation"]
    (fault,) = divided.faults.kinds["unknown name"]
    assert (fault.where, fault.what) == ("val.txt", "there is no image none")
