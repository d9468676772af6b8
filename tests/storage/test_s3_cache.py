"""What lies in S3 has a true copy here, fetched once."""

import os
import random
from pathlib import Path

import pytest

from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.storage import S3Uri, s3, s3_cache
from sagemaker_semseg.storage.s3_cache import S3Cache


@pytest.fixture
def cache(tmp_path):
    return S3Cache(tmp_path / "cache")


@pytest.fixture
def asked(bucket):
    """The requests that the client under test has sent: operation and key or prefix."""
    requests = []

    def note(params, model, **_):
        requests.append((model.name, params.get("Key", params.get("Prefix"))))

    s3.client().meta.events.register("before-parameter-build.s3", note)
    return requests


def put(bucket, **objects: bytes) -> None:
    for key, data in objects.items():
        bucket.put_object(Bucket="images", Key=key, Body=data)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


DATA = {"set/train/a.jpg": b"1", "set/train/north/b.JPG": b"22", "set/train_annotation/a.png": b"333"}


def test_a_prefix_becomes_a_folder(bucket, cache, asked):
    put(
        bucket,
        **DATA,
        **{"set/": b"", "set/train/": b"", "set/.DS_Store": b"x", "set/train/.a/b": b"x", "set2/a": b"x"},
    )
    seen = []
    folder = cache.prefix("s3://images/set", lambda *counts: seen.append(counts))
    assert tree(folder) == {"train/a.jpg": b"1", "train/north/b.JPG": b"22", "train_annotation/a.png": b"333"}
    assert (seen[0], seen[-1]) == ((0, 3), (3, 3))
    del asked[:]
    assert cache.prefix("s3://images/set/") == folder
    assert asked == [("ListObjectsV2", "set/")]


def test_a_changed_prefix_is_another_folder_and_only_what_is_new_is_fetched(bucket, cache, asked):
    put(bucket, **DATA)
    first = cache.prefix("s3://images/set")
    del asked[:]
    put(bucket, **{"set/train/a.jpg": b"2", "set/train/c.jpg": b"4"})
    bucket.delete_object(Bucket="images", Key="set/train_annotation/a.png")
    second = cache.prefix("s3://images/set")
    assert tree(second) == {"train/a.jpg": b"2", "train/north/b.JPG": b"22", "train/c.jpg": b"4"}
    assert tree(first)["train/a.jpg"] == b"1"  # a reader there isn't disturbed
    assert sorted(key for name, key in asked if name == "GetObject") == ["set/train/a.jpg", "set/train/c.jpg"]


def test_what_is_lost_is_fetched_again(bucket, cache):
    put(bucket, **DATA)
    folder = cache.prefix("s3://images/set")
    (folder / "train/a.jpg").unlink()
    (folder / "train/north/b.JPG").write_bytes(b"")
    assert cache.prefix("s3://images/set") == folder
    assert tree(folder) == {"train/a.jpg": b"1", "train/north/b.JPG": b"22", "train_annotation/a.png": b"333"}


def test_only_what_is_wanted(bucket, cache):
    put(bucket, **DATA)
    assert set(tree(cache.prefix("s3://images/set", wanted=lambda name: name.endswith(".png")))) == {
        "train_annotation/a.png"
    }


def test_objects_of_several_buckets_in_their_order(bucket, cache, asked):
    bucket.create_bucket(Bucket="others")
    bucket.put_object(Bucket="others", Key="set/train/a.jpg", Body=b"other")
    put(bucket, **DATA)
    uris = ["s3://images/set/train_annotation/a.png", "s3://others/set/train/a.jpg", "s3://images/set/train/a.jpg"]
    seen = []
    files = cache.objects([*uris, uris[0]], lambda *counts: seen.append(counts))
    assert [file.read_bytes() for file in files] == [b"333", b"other", b"1", b"333"]
    assert [file.suffix for file in files] == [".png", ".jpg", ".jpg", ".png"]
    assert seen[-1] == (3, 3)
    assert sorted(name for name, _ in asked) == ["GetObject"] * 3 + ["HeadObject"] * 3
    del asked[:]
    assert cache.objects([*uris, uris[0]]) == files
    assert {name for name, _ in asked} == {"HeadObject"}


def test_many_objects_of_one_folder_are_found_in_its_listing(bucket, cache, asked):
    keys = [f"many/deep/{number:03}.jpg" for number in range(120)]
    put(bucket, **{key: key.encode() for key in keys}, **{f"many/deep/{n}/x.jpg": b"" for n in range(50)})
    random.Random(0).shuffle(keys)
    files = cache.objects(f"s3://images/{key}" for key in keys)
    assert [file.read_bytes().decode() for file in files] == keys
    assert [name for name, _ in asked if name != "GetObject"] == ["ListObjectsV2"]


def test_every_fault_of_every_object(bucket, cache):
    put(bucket, a=b"x")
    uris = ["s3://images/none", "s3://images/a", "http://images/a", "s3://images/", "s3://images/folder/"]
    with pytest.raises(DataError) as caught:
        cache.objects(uris)
    assert {fault.where for fault in caught.value.faults} == set(uris) - {"s3://images/a"}
    assert "s3://images/none: there is no such object" in str(caught.value)


def test_a_file_or_a_folder(bucket, cache):
    put(bucket, **DATA, **{"set.manifest": b"{}", "marker": b"", "marker/a.jpg": b"x"})
    assert cache.at("s3://images/set.manifest").read_bytes() == b"{}"
    assert cache.at("s3://images/set.manifest").name == "set.manifest"
    assert cache.at("s3://images/set") == cache.prefix("s3://images/set")
    assert set(tree(cache.at("s3://images/marker"))) == {"a.jpg"}


@pytest.mark.parametrize("uri", ["s3://images/nothing", "s3://images"])
def test_nothing_there(bucket, cache, uri):
    with pytest.raises(DataError, match=f"{uri}: there is nothing"):
        cache.prefix(uri)


def test_a_bucket_that_is_not_there_is_reported_once(bucket, cache):
    for call in (
        lambda: cache.prefix("s3://nobodys/set"),
        lambda: cache.objects(f"s3://nobodys/{number}" for number in range(500)),
    ):
        with pytest.raises(UserError, match="there is no such bucket") as caught:
            call()
        assert len(caught.value.faults) == 1


def test_the_disk_is_checked_first(bucket, cache, asked, monkeypatch):
    put(bucket, **DATA)
    monkeypatch.setattr(s3_cache.shutil, "disk_usage", lambda path: s3_cache.shutil._ntuple_diskusage(10**9, 10**9, 5))
    with pytest.raises(UserError, match=r"GB are free .*SAGEMAKER_SEMSEG_CACHE"):
        cache.prefix("s3://images/set")
    assert "GetObject" not in {name for name, _ in asked}


def test_a_folder_that_can_not_be_written(bucket, cache):
    put(bucket, **DATA)
    cache.root.write_bytes(b"a file")
    with pytest.raises(UserError, match=r"can't be written: .*SAGEMAKER_SEMSEG_CACHE"):
        cache.prefix("s3://images/set")
    with pytest.raises(UserError, match=r"can't be written: .*SAGEMAKER_SEMSEG_CACHE"):
        cache.objects(["s3://images/set/train/a.jpg"])


def test_a_disk_without_links(bucket, cache, monkeypatch):
    def refuse(*arguments):
        raise PermissionError

    put(bucket, **DATA)
    monkeypatch.setattr(os, "link", refuse)
    assert set(tree(cache.prefix("s3://images/set"))) == {
        "train/a.jpg",
        "train/north/b.JPG",
        "train_annotation/a.png",
    }


def test_one_file_for_one_object(bucket, cache):
    put(bucket, **DATA)
    folder = cache.prefix("s3://images/set")
    assert (folder / "train/a.jpg").stat().st_nlink == 2
    assert cache.objects(["s3://images/set/train/a.jpg"])[0].samefile(folder / "train/a.jpg")


def test_keys_that_are_no_names_stay_below_the_root(bucket, cache, tmp_path):
    keys = [
        "x/../../y.jpg",
        "/z.jpg",
        "a",
        "a/b",
        "A.jpg",
        "a.jpg",
        "back\\slash",
        "tab\t.jpg",
        "l" * 900,
        "a//b",
        "CON",
    ]
    put(bucket, **{f"odd/{key}": key.encode() for key in keys})
    folder = cache.prefix("s3://images/odd")
    shown = [key for key in keys if ".." not in key]  # hidden
    assert sorted(tree(folder).values()) == sorted(key.encode() for key in shown)
    files = cache.objects(str(S3Uri("images", f"odd/{key}")) for key in keys)
    assert [file.read_bytes() for file in files] == [key.encode() for key in keys]
    assert all(cache.root in path.resolve().parents for path in [folder, *files])
    assert os.listdir(tmp_path) == ["cache"]
