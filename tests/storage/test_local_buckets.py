"""Buckets of this machine: s3:// without S3."""

import pytest

from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.storage import S3FileSystem, copy_files, filesystem_at, local_bucket_path, locate
from sagemaker_semseg.storage.local_buckets import DEFAULT_BUCKET, delete_bucket, local_buckets, make_bucket
from sagemaker_semseg.storage.s3_cache import S3Cache


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def mine():
    folder = make_bucket("mine")
    (folder / "set").mkdir()
    (folder / "set" / "a.jpg").write_bytes(b"1")
    return folder


def test_an_address_is_a_path_below_the_state_folder(mine, state):
    assert local_bucket_path("s3://mine/set/a.jpg") == state / "buckets" / "mine" / "set" / "a.jpg"
    assert local_bucket_path("s3://other/set/a.jpg") is None
    assert local_bucket_path("set/a.jpg") is None
    assert local_bucket_path("s3://") is None
    assert isinstance(filesystem_at("s3://other/set"), S3FileSystem)


def test_the_default_bucket_never_is_one_in_s3():
    assert local_bucket_path(f"s3://{DEFAULT_BUCKET}/a") is not None
    with pytest.raises(DataError, match="no such file"):
        locate(f"s3://{DEFAULT_BUCKET}/a")


@pytest.mark.parametrize("key", ["../../../etc/passwd", "a/../../b", "./a", "a\0b"])
def test_a_key_leads_nowhere_else(mine, key):
    with pytest.raises(DataError, match="no bucket on this machine has such a key"):
        local_bucket_path(f"s3://mine/{key}")


def test_the_cache_gives_what_is_there_where_it_is(mine, tmp_path):
    cache = S3Cache(tmp_path / "cache")
    assert cache.at("s3://mine/set") == cache.prefix("s3://mine/set/") == mine / "set"
    assert cache.at("s3://mine/set/a.jpg") == mine / "set" / "a.jpg"
    assert cache.objects(["s3://mine/set/a.jpg"]) == [mine / "set" / "a.jpg"]
    with pytest.raises(DataError, match="s3://mine/none: there is nothing"):
        cache.at("s3://mine/none")
    with pytest.raises(DataError) as caught:
        cache.objects(["s3://mine/set/b.jpg", "s3://mine/../x", "s3://mine/set/a.jpg"])
    assert [fault.where for fault in caught.value.faults] == ["s3://mine/set/b.jpg", "s3://mine/../x"]
    assert not (tmp_path / "cache").exists()


def test_files_are_known_by_their_addresses(mine, tmp_path):
    store, entry = locate("s3://mine/set/a.jpg")
    assert store.where(entry.name) == "s3://mine/set/a.jpg"
    target = filesystem_at("s3://mine/out/")
    assert copy_files(filesystem_at("s3://mine/set"), target) == 1
    assert target.where("a.jpg") == "s3://mine/out/a.jpg"
    assert (mine / "out" / "a.jpg").read_bytes() == b"1"


def test_they_are_listed_and_deleted(mine):
    make_bucket("empty")
    assert [(bucket.name, bucket.files, bucket.size) for bucket in local_buckets()] == [("empty", 0, 0), ("mine", 1, 1)]
    delete_bucket("mine")
    assert [bucket.name for bucket in local_buckets()] == ["empty"]
    with pytest.raises(UserError, match="mine: is no bucket of this machine"):
        delete_bucket("mine")
    with pytest.raises(UserError):
        delete_bucket("../..")
