"""SageMaker's ManifestFile stands for a channel: its objects, under their names below the prefix."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_semseg.errors import DataError
from sagemaker_semseg.sdk.local.manifest_file import link_objects, read_manifest_file


def write(tmp_path, content):
    path = tmp_path / "list.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_names_and_addresses_in_their_order(tmp_path):
    path = write(tmp_path, [{"prefix": "s3://images/set/"}, "b.jpg", "north/a.jpg"])
    found = read_manifest_file(path, "s3://images/list")
    assert list(found.items()) == [
        ("b.jpg", "s3://images/set/b.jpg"),
        ("north/a.jpg", "s3://images/set/north/a.jpg"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"source-ref": "s3://b/a.jpg"}\n{"source-ref": "s3://b/b.jpg"}', "AugmentedManifestFile"),
        ("{}", "no list"),
        ([], "no list"),
        (["a.jpg"], "its first entry is no prefix"),
        ([{"prefix": "s3://b/"}], "lists no object"),
        ([{"prefix": "s3://b/"}, "a.jpg", "../../etc/passwd", 7, "folder/"], "entry 3.*\n.*entry 4.*\n.*entry 5"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=f"(?s){message}"):
        read_manifest_file(write(tmp_path, content), "s3://images/list")


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        read_manifest_file(tmp_path / "none", "none")


@given(st.binary(max_size=200) | st.recursive(st.text() | st.none(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_bytes(data)
    try:
        found = read_manifest_file(path, "here")
    except DataError:
        return
    assert all(".." not in name.split("/") for name in found)


def test_the_objects_become_a_folder_of_links(tmp_path):
    (tmp_path / "set" / "north").mkdir(parents=True)
    (tmp_path / "set" / "north" / "a.jpg").write_bytes(b"1")
    objects = {"north/a.jpg": f"{tmp_path}/set/north/a.jpg"}
    link_objects(objects, tmp_path / "made")
    assert (tmp_path / "made/north/a.jpg").read_bytes() == b"1"
    with pytest.raises(DataError, match="no such file"):
        link_objects({"b.jpg": f"{tmp_path}/set/b.jpg"}, tmp_path / "again")
