"""The command that lists, empties and deletes the buckets of this machine."""

import json

import pytest

from sagemaker_semseg.cli import main
from sagemaker_semseg.storage.local_buckets import make_bucket


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def printed(capsys, *arguments, status=0):
    assert main(["buckets", *arguments]) == status
    out, err = capsys.readouterr()
    return err if status else out


def test_none_one_and_none_again(capsys, state):
    assert "no buckets" in printed(capsys)
    (make_bucket("mine") / "a.jpg").write_bytes(bytes(2_000_000))
    assert printed(capsys).split() == ["mine", "1", "files", "2.0", "MB"]
    assert json.loads(printed(capsys, "list", "--json")) == [{"name": "mine", "files": 1, "size": 2_000_000}]
    assert printed(capsys, "empty", "mine") == "files deleted: 1\n"
    assert list((state / "buckets" / "mine").iterdir()) == []
    assert printed(capsys, "delete", "mine") == "bucket deleted, and its files: 0\n"
    assert not (state / "buckets" / "mine").exists()


def test_what_can_not_be_done(capsys):
    assert "the name of a bucket is missing" in printed(capsys, "empty", status=2)
    assert "list takes no name" in printed(capsys, "list", "mine", status=2)
    assert "mine: is no bucket of this machine" in printed(capsys, "delete", "mine", status=2)
