"""What a folder and a prefix in S3 have in common."""

import pytest

from sagemaker_semseg.errors import DataError
from sagemaker_semseg.storage import LocalFileSystem, S3FileSystem, S3Uri, filesystem_at, locate


def everything(name: str) -> bool:
    return True


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "images")
    request.getfixturevalue("bucket")
    return "s3://images/images"


@pytest.fixture
def store(place):
    return filesystem_at(place)


def test_what_is_written_is_found_and_read(store, place):
    stamps = {name: store.write(name, [b"of ", memoryview(name.encode())], "x/y") for name in ("b.jpg", "d/a ü+%.png")}
    faults = []
    entries = list(store.files(everything, faults))
    assert [entry.name for entry in entries] == ["b.jpg", "d/a ü+%.png"]
    assert {entry.name: entry.version for entry in entries} == stamps
    assert [store.read(entry, 100) for entry in entries] == [b"of b.jpg", "of d/a ü+%.png".encode()]
    assert [entry.size for entry in entries] == [8, 15]
    assert store.find("b.jpg") == entries[0]
    assert store.existing(["b.jpg", "c.jpg", "d"]) == {"b.jpg": entries[0]}
    assert store.find("d") is store.find("nothing") is None
    assert store.where("b.jpg") == f"{place}/b.jpg"
    assert [entry.name for entry in store.files(lambda name: "ü" in name, faults)] == ["d/a ü+%.png"]
    assert faults == []


def test_other_bytes_have_another_stamp(store):
    first = store.write("a", [b"one"], "x/y")
    assert store.write("a", [b"two"], "x/y") != first
    assert store.read(store.find("a"), 100) == b"two"


def test_no_more_is_read_than_allowed(store):
    store.write("a", [bytes(1000)], "x/y")
    assert len(store.read(store.find("a"), 1000)) == 1000
    with pytest.raises(DataError, match="1000 bytes; at most 999 are read"):
        store.read(store.find("a"), 999)


def test_a_file_that_has_gone(store, place):
    store.write("a", [b"x"], "x/y")
    entry = store.find("a")
    if isinstance(store, LocalFileSystem):
        (store.root / "a").unlink()
    else:
        from sagemaker_semseg.storage import s3

        s3.client().delete_object(Bucket="images", Key="images/a")
    with pytest.raises(DataError) as caught:
        store.read(entry, 100)
    assert caught.value.faults[0].where == f"{place}/a"


def test_a_place_is_a_file_or_a_folder(store, place):
    store.write("d/a.jpg", [b"x"], "x/y")
    found, entry = locate(f"{place}/d/a.jpg")
    assert (entry.name, found.where(entry.name)) == ("a.jpg", f"{place}/d/a.jpg")
    assert found.identity(entry.name) == store.identity("d/a.jpg")
    assert entry.file == store.find("d/a.jpg").file
    found, entry = locate(f"{place}/d")
    assert entry is None
    assert [entry.name for entry in found.files(everything, [])] == ["a.jpg"]


def test_a_log_goes_on(store):
    log = store.log("log")
    assert log.data == b""
    log.append(b"one")
    log.append(b"two")
    log.close()
    log = store.log("log")
    assert log.data == b"one\ntwo\n"
    log.append(b"three")
    log.close()
    assert store.log("log").data == b"one\ntwo\nthree\n"


def test_a_log_whose_last_line_was_cut_short(store):
    store.write("log", [b"one\ntw"], "x/y")
    log = store.log("log")
    log.append(b"three")
    log.close()
    assert store.log("log").data == b"one\ntw\nthree\n"


def test_a_log_that_nothing_is_said_in_is_not_written(store):
    store.log("log").close()
    assert store.find("log") is None


def test_the_kinds():
    assert isinstance(filesystem_at("S3://images/x"), S3FileSystem)
    assert isinstance(filesystem_at("s3:/images"), LocalFileSystem)
    assert S3FileSystem(S3Uri("b", "x")).where() == S3FileSystem(S3Uri("b", "x/")).where() == "s3://b/x/"
