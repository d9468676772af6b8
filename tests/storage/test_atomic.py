"""A file is replaced whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sagemaker_semseg.storage import atomic_write


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "model.tar.gz"
    with atomic_write(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("model.tar.gz")
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.tar.gz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "report.json"
    target.write_bytes(b"old")

    def fail() -> None:
        with atomic_write(str(target)) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_failure_of_the_last_step_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "a folder"
    target.mkdir()
    with pytest.raises(OSError), atomic_write(target) as temporary:
        temporary.write_bytes(b"new")
    assert os.listdir(tmp_path) == ["a folder"]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "missing" / "a.txt"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_the_mode_is_the_one_of_a_plain_open(tmp_path: Path) -> None:
    for mask in (0o022, 0o027):
        before = os.umask(mask)
        try:
            (tmp_path / "plain").open("w").close()
            with atomic_write(tmp_path / "ours") as temporary:
                temporary.write_bytes(b"x")
        finally:
            os.umask(before)
        assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
        (tmp_path / "ours").unlink()
        (tmp_path / "plain").unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_an_old_file_hands_its_mode_on(tmp_path: Path) -> None:
    target = tmp_path / "script"
    target.write_bytes(b"old")
    target.chmod(0o750)
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_long_names_and_a_path_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "n" * 240 + ".json"
    with atomic_write(name) as temporary:
        assert temporary.suffix == ".json"
        temporary.write_bytes(b"x")
    assert os.listdir(tmp_path) == [name]


def test_two_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as first, atomic_write(tmp_path / "a") as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]
