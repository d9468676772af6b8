"""Which images are found, and that what is written for them has a place of its own below the output."""

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagemaker_semseg.errors import DataError
from sagemaker_semseg.jobs.prediction_inputs import OutputNames, find_images
from sagemaker_semseg.storage import LocalFileSystem, S3FileSystem, S3Uri, filesystem_at

OVERLAYS = [".png", "_overlay.png"]


def planned(places, output, endings=OVERLAYS, written=()):
    """The names of the first files, by image."""
    tasks, faults = find_images([str(place) for place in places], output, endings, dict(written))
    return {task.image.where: task.files[endings[0]] for task in tasks}, [fault.where for fault in faults]


@pytest.fixture
def folder_of_images(tmp_path):
    folder = tmp_path / "images"
    for name in ("a.jpg", "b.JPEG", "deeper/c.PNG", ".hidden/d.jpg", "._a.jpg", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"an image")
    return folder


def test_a_folder_stands_for_the_images_in_it(folder_of_images, tmp_path):
    names = {"a.jpg": "a.png", "b.JPEG": "b.png", "deeper/c.PNG": "deeper/c.png"}
    assert planned([folder_of_images], LocalFileSystem(tmp_path / "out")) == (
        {str(folder_of_images / k): v for k, v in names.items()},
        [],
    )


def test_one_file_given_twice_is_done_once_and_two_of_one_name_both(tmp_path):
    given = ["x/a.jpg", "y/a.jpg", "y/A.png", "z/a-2.jpg"]
    for name in given:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"an image")
    (tmp_path / "link.jpg").symlink_to("x/a.jpg")
    places = [tmp_path / "x", *(tmp_path / name for name in given), tmp_path / "link.jpg"]
    names, faults = planned(places, LocalFileSystem(tmp_path / "out"))
    assert (list(names.values()), faults) == (["a.png", "a-2.png", "A-3.png", "a-2-2.png"], [])


def test_a_mask_does_not_take_the_name_of_anothers_overlay(tmp_path):
    for name in ("a.jpg", "a_overlay.jpg"):
        (tmp_path / name).write_bytes(b"an image")
    tasks, _ = find_images([str(tmp_path)], LocalFileSystem(tmp_path / "out"), OVERLAYS, {})
    assert len({name for task in tasks for name in task.files.values()}) == 4


def test_what_is_not_there_is_reported(tmp_path, folder_of_images):
    (tmp_path / "empty").mkdir()
    places = [tmp_path / "gone.jpg", tmp_path / "empty", folder_of_images / "a.jpg"]
    names, faults = planned(places, LocalFileSystem(tmp_path / "out"))
    assert (list(names), faults) == (
        [str(folder_of_images / "a.jpg")],
        [str(tmp_path / "gone.jpg"), str(tmp_path / "empty")],
    )


@pytest.mark.parametrize("endings", [[".png"], OVERLAYS])
def test_an_image_is_never_overwritten(tmp_path, endings):
    image = tmp_path / f"a{endings[-1]}"
    for path in (image, tmp_path / "a.jpg"):
        path.write_bytes(b"an image")
    with pytest.raises(DataError, match="another folder") as caught:
        find_images([str(image), str(tmp_path / "a.jpg")], LocalFileSystem(tmp_path / "sub" / ".."), endings, {})
    assert image.name in caught.value.faults[0].where


def test_an_image_is_not_overwritten_under_another_name_of_it(tmp_path):
    """As where A.PNG and a.png are one file: decided by the file, not by the name."""
    (tmp_path / "A.PNG").write_bytes(b"an image")
    os.link(tmp_path / "A.PNG", tmp_path / "A.png")
    with pytest.raises(DataError, match="another folder"):
        find_images([str(tmp_path / "A.PNG")], LocalFileSystem(tmp_path), [".png"], {})


def test_our_own_masks_are_no_images(folder_of_images):
    """Below the images they never are, beside them not as long as they are as we left them."""
    store = LocalFileSystem(folder_of_images)
    written = {name: store.write(name, [b"a mask"], "image/png") for name in ("a.png", "b.png")}
    store.write("masks/x.png", [b"a mask"], "image/png")
    images = planned([folder_of_images], LocalFileSystem(folder_of_images / "masks"))[0]
    assert {Path(image).name for image in images} == {"a.jpg", "a.png", "b.JPEG", "b.png", "c.PNG"}
    shutil.rmtree(folder_of_images / "masks")
    (folder_of_images / "deeper" / "c.PNG").rename(folder_of_images / "deeper" / "c.jpg")
    names, faults = planned([folder_of_images], store, [".png"], written)
    assert (sorted(names.values()), faults) == (["a.png", "b.png", "deeper/c.png"], [])
    (folder_of_images / "b.png").write_bytes(b"the user's own")
    with pytest.raises(DataError, match="another folder"):
        planned([folder_of_images], store, [".png"], written)


def test_only_masks_in_the_folder(folder_of_images):
    store = LocalFileSystem(folder_of_images / "new")
    written = {"a.png": store.write("a.png", [b"a mask"], "image/png")}
    assert planned([folder_of_images / "new"], store, [".png"], written) == ({}, [str(folder_of_images / "new")])


def test_a_file_never_stands_where_a_folder_has_to_be(tmp_path):
    for name in ("p/a.jpg", "p/a.png/b.jpg", "q/a.png/b.jpg", "q/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"an image")
    names, _ = planned([tmp_path / "p"], LocalFileSystem(tmp_path / "out"))
    assert list(names.values()) == ["a.png", "a.png%2Fb.png"]
    names, _ = planned([tmp_path / "q/a.png", tmp_path / "q/a.jpg"], LocalFileSystem(tmp_path / "out"))
    assert list(names.values()) == ["b.png", "a.png"]
    names, _ = planned([tmp_path / "q"], LocalFileSystem(tmp_path / "out"))
    assert sorted(names.values()) == ["a.png", "a.png%2Fb.png"]


def test_images_in_s3(bucket, tmp_path):
    for key in ("p/a.jpg", "p/b c.PNG", "p/d/é.jpeg", "p/.x/e.jpg", "p/notes.txt", "p/d/", "p2/f.jpg", "q.jpg"):
        bucket.put_object(Bucket="images", Key=key, Body=b"an image")
    out = LocalFileSystem(tmp_path)
    assert planned(["s3://images/p"], out)[0] == {
        "s3://images/p/a.jpg": "a.png", "s3://images/p/b c.PNG": "b c.png",
        "s3://images/p/d/é.jpeg": "d/é.png"}  # fmt: skip
    assert planned(["s3://images/q.jpg", "s3://images/p/a.jpg"], out)[0].keys() == {
        "s3://images/q.jpg", "s3://images/p/a.jpg"}  # fmt: skip
    assert planned(["s3://images/nothing"], out) == ({}, ["s3://images/nothing"])
    assert planned(["s3://images/p", "s3://images/p/a.jpg"], out) == planned(["s3://images/p"], out)
    masks = S3FileSystem(S3Uri("images", "p/masks"))
    masks.write("a.png", [b"a mask"], "image/png")
    assert len(planned(["s3://images/p"], masks)[0]) == 3
    with pytest.raises(DataError, match="another folder"):
        find_images(["s3://images/p/b c.PNG"], filesystem_at("s3://images/p"), [".PNG"], {})


NAMES = st.text(st.sampled_from("aAäéßÉ./\\:%-2\0\n ~_🙂") | st.characters(), max_size=30) | st.from_regex(
    r"(\.\.|[a-z]{0,300}|é{0,200})(/(\.\.?|[a-z]{0,300}|)){0,5}", fullmatch=True
)


@given(st.lists(NAMES, max_size=12))
@example(["..", "/", "//etc/passwd", "../../x", "a/./b", "", "CON", "a" * 1000, "é" * 200, "a/" * 400 + "b"])
@example(["a", "a.png/b", "A.PNG/c", "a/b", "a_overlay", "a-2", "a"])
@example(["a.png/b", "A", "c/a.png/b", "C.png", "c/a"])
def test_names_stay_below_and_apart(names):
    allocated = OutputNames(OVERLAYS)
    files = [file for name in names for file in allocated.assign(name).values()]
    folded = [unicodedata.normalize("NFC", file).casefold() for file in files]
    assert len(set(folded)) == len(files) == 2 * len(names)
    parents = {str(parent) for file in folded for parent in Path(file).parents}
    assert not parents & set(folded)
    for file in files:
        parts = file.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert "\0" not in file
        assert max(len(os.fsencode(part)) for part in parts) <= 230
        assert len(os.fsencode(file)) <= 700
        assert Path(os.path.normpath(Path("/out", file))).is_relative_to("/out")


def test_many_images_of_one_name():
    names = OutputNames([".png"])
    assert [names.assign("a")[".png"] for _ in range(20000)][-1] == "a-20000.png"
