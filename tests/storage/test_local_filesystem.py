"""A folder: which names are one file, and what is not a file."""

import os
import sys
from pathlib import Path

import pytest

from sagemaker_semseg.errors import DataError
from sagemaker_semseg.storage import LocalFileSystem, locate

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


def test_names_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "same")
    (tmp_path / "b").write_bytes(b"x")
    folder = LocalFileSystem(tmp_path)
    assert folder.find("a").file == folder.find("link").file == folder.find("same").file != folder.find("b").file
    assert folder.identity("a") == folder.identity("link") != folder.identity("same")
    assert folder.identity("none/../a") == folder.identity("a")


def test_the_time_is_part_of_the_stamp(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    first = LocalFileSystem(tmp_path).find("a").version
    os.utime(tmp_path / "a", ns=(0, 1))
    assert LocalFileSystem(tmp_path).find("a").version == "1-1" != first


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "folder.jpg").mkdir()
    assert list(LocalFileSystem(tmp_path).files(lambda name: True, [])) == []
    for name in ("pipe.jpg", "broken.jpg", "nowhere"):
        with pytest.raises(DataError, match="no such file"):
            locate(str(tmp_path / name))


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path) -> None:
    faults: list = []
    assert list(LocalFileSystem(tmp_path / "none").files(lambda name: True, faults)) == []
    assert [(fault.where, "No such file" in fault.what) for fault in faults] == [(str(tmp_path / "none"), True)]


def test_a_log_line_is_there_at_once(tmp_path: Path) -> None:
    log = LocalFileSystem(tmp_path / "new").log("log")
    log.append(b"one")
    assert (tmp_path / "new" / "log").read_bytes() == b"one\n"
    log.close()
