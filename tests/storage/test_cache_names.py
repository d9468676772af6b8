"""Any keys become paths below a folder, and different ones different paths, on any file system."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagemaker_semseg.storage import cache_names

ODD = [
    "..",
    ".",
    "",
    "a",
    "A",
    "é",
    "e\u0301",
    "É",
    "con",
    "NUL.txt",
    "a.",
    "a ",
    " ",
    "%",
    "%2E",
    "\\",
    "C:",
    "\0",
    "\n",
]
ODD += [
    "a.jpg",
    "A.JPG",
    "a.jpg\n",
    "ß",
    "ss",
    "x" * 300,
    "写" * 120,
    "\ud800",
    "~",
    "/",
    "a%~ca978112.jpg",
    "*?",
    "LPT1.tar",
]
part = st.sampled_from(ODD) | st.text(max_size=6) | st.text(alphabet="aA.%~/\\", max_size=8)
keys = st.lists(st.lists(part, min_size=1, max_size=5).map("/".join), max_size=12, unique=True)
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(10))}


def as_a_mac_sees_it(path: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


@settings(max_examples=400)
@given(keys)
@example(["a/" * 500 + "b", "/" * 1024, "a", "a/b", "a/b/c", "A/b", "a.jpg/x", "a.jpg"])
@example(["a%~ca978112", "a", "A", "a%~ca978112-2"])
def test_any_keys(keys):
    paths = cache_names.below(keys)
    assert sorted(paths) == sorted(keys)
    for path in paths.values():
        parts = path.split("/")
        assert not PurePosixPath(path).is_absolute()
        assert not PureWindowsPath(path).drive
        assert len(path.encode()) < 1500  # no surrogate either
        assert len(parts) <= 30
        for name in parts:
            assert name
            assert len(name.encode()) < 200
            assert not name.startswith((".", " "))
            assert not name.endswith((".", " "))
            assert not set(name) & set('\\:*?"<>|')
            assert all(letter >= " " for letter in name)
            assert name.partition(".")[0].lower() not in RESERVED
    seen = {as_a_mac_sees_it(path) for path in paths.values()}
    assert len(seen) == len(keys)
    folders = {above for path in seen for above in map(str, PurePosixPath(path).parents)}
    assert not folders & seen  # no file is the folder of another


@settings(max_examples=200)
@given(st.lists(part, min_size=1, max_size=3).map("/".join).filter(lambda key: key and key[-1] != "/"))
@example("x" * 700)
@example("a/" * 300 + "b")
def test_an_image_and_its_mask_keep_one_name(key):
    paths = cache_names.below([f"train/{key}.jpg", f"train_annotation/{key}.png"])
    image, mask = (paths[name] for name in (f"train/{key}.jpg", f"train_annotation/{key}.png"))
    assert image == "train/" + mask.removeprefix("train_annotation/").removesuffix(".png") + ".jpg"


@pytest.mark.parametrize(
    "key", ["train/0001.jpg", "train/nord straße/Bild (1)+2=3 ü.JPEG", "label_map/a_b-c.json", "写真"]
)
def test_plain_names_stay(key):
    assert cache_names.below([key]) == {key: key}


def test_those_that_differ_in_case_alone():
    keys = ["train/a.jpg", "train/A.jpg", "Train/a.jpg", "train_annotation/a.png", "train_annotation/A.png"]
    paths = cache_names.below(keys)
    assert [paths[key] for key in keys if key.islower()] == ["train/a.jpg", "train_annotation/a.png"]
    assert paths["train/A.jpg"].startswith("train/A%~")
    assert PurePosixPath(paths["train/A.jpg"]).stem == PurePosixPath(paths["train_annotation/A.png"]).stem
    assert paths["Train/a.jpg"].startswith("Train%~")


@settings(max_examples=300)
@given(part.map(lambda text: text + "/k"), part)
def test_file_names(key, other):
    for name in (
        cache_names.file_name(key, key),
        cache_names.file_name(other, other),
        cache_names.folder_name(other, key),
    ):
        assert "/" not in name
        assert "\\" not in name
        assert len(name.encode()) < 255
        assert name not in (".", "..")
    assert key == other or cache_names.file_name("a.jpg", key) != cache_names.file_name("a.jpg", other)
