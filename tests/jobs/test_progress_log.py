"""What is taken for done, and what a log can't be made to say."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_semseg.jobs.prediction_inputs import InputImage
from sagemaker_semseg.jobs.progress_log import NAME, ProgressLog
from sagemaker_semseg.storage import FileInfo, LocalFileSystem

ONE, OTHER = ({"model": text, "options": {"scales": (1.0, 0.5)}} for text in ("m", "n"))


def image(identity, stamp):
    return InputImage(LocalFileSystem(Path()), FileInfo(identity, 1, stamp, ""), identity, "")


def files(**stamps):
    return {f"{name}.png": stamp and FileInfo(f"{name}.png", 1, stamp, name) for name, stamp in stamps.items()}


def write(folder, settings, *lines):
    log = ProgressLog(LocalFileSystem(folder), settings)
    for identity, stamp, written in lines:
        log.add(image(identity, stamp), written)
    log.close()


def test_what_was_written_is_done_and_nothing_else(tmp_path):
    write(tmp_path, ONE, ("/a.jpg", "1", {"a.png": "5", "b.png": "6"}))
    log = ProgressLog(LocalFileSystem(tmp_path), ONE)
    assert log.versions == {"a.png": "5", "b.png": "6"}
    assert log.is_done(image("/a.jpg", "1"), files(a="5", b="6"))
    assert not log.is_done(image("/a.jpg", "2"), files(a="5", b="6"))
    assert not log.is_done(image("/b.jpg", "1"), files(a="5", b="6"))
    assert not log.is_done(image("/a.jpg", "1"), files(a="5", b="7"))
    assert not log.is_done(image("/a.jpg", "1"), files(a="5", b=None))
    assert not log.is_done(image("/a.jpg", "1"), files(a="5", c="6"))
    assert not ProgressLog(LocalFileSystem(tmp_path), OTHER).is_done(image("/a.jpg", "1"), files(a="5", b="6"))


def test_the_last_line_about_a_file_counts(tmp_path):
    write(tmp_path, ONE, ("/a.jpg", "1", {"a.png": "5"}), ("/b.jpg", "1", {"b.png": "5"}))
    write(tmp_path, OTHER, ("/a.jpg", "1", {"a.png": "5"}))
    first, second = ProgressLog(LocalFileSystem(tmp_path), ONE), ProgressLog(LocalFileSystem(tmp_path), OTHER)
    a, b = (image("/a.jpg", "1"), files(a="5")), (image("/b.jpg", "1"), files(b="5"))
    assert [first.is_done(*a), first.is_done(*b)] == [False, True]
    assert [second.is_done(*a), second.is_done(*b)] == [True, False]
    write(tmp_path, ONE, ("/c.jpg", "1", {"a.png": "5"}))
    assert not ProgressLog(LocalFileSystem(tmp_path), OTHER).is_done(image("/a.jpg", "1"), files(a="5"))


def test_settings_are_said_once(tmp_path):
    for number in range(3):
        write(tmp_path, ONE, (f"/{number}.jpg", "1", {f"{number}.png": "5"}))
    lines = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert ["model" in line for line in lines] == [True, False, False, False]


def test_a_run_that_does_nothing_writes_nothing(tmp_path):
    write(tmp_path / "out", ONE)
    assert list((tmp_path / "out").iterdir()) == []


def test_names_that_are_no_unicode(tmp_path):
    write(tmp_path, ONE, ("/\udcff.jpg", "1", {"\udcff.png": "5"}))
    assert ProgressLog(LocalFileSystem(tmp_path), ONE).versions == {"\udcff.png": "5"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write(folder, ONE, *((f"/{number}.jpg", "1", {f"{number}.png": f"s{number}"}) for number in range(4)))
    return (folder / NAME).read_bytes()


def done(folder, data):
    (folder / NAME).write_bytes(data)
    log = ProgressLog(LocalFileSystem(folder), ONE)
    entries = {number: FileInfo(f"{number}.png", 1, f"s{number}", "") for number in range(4)}
    return [log.is_done(image(f"/{number}.jpg", "1"), {entry.name: entry}) for number, entry in entries.items()]


def test_every_beginning_of_a_journal(tmp_path, whole):
    for end in range(len(whole) + 1):
        # the last line's end may be missing, but no byte of what it says
        finished = whole[:end].count(b"\n") - 1 + (whole[end : end + 1] == b"\n")
        assert done(tmp_path, whole[:end]) == [number < finished for number in range(4)]


def test_after_a_line_that_was_cut_short(tmp_path, whole):
    (tmp_path / NAME).write_bytes(whole[:-10])
    write(tmp_path, ONE, ("/3.jpg", "1", {"3.png": "s3"}))
    assert done(tmp_path, (tmp_path / NAME).read_bytes()) == [True] * 4


def test_after_a_damaged_line_nothing_is_believed(tmp_path, whole):
    """Else what another model has made, after a line that named it, would pass for this one's."""
    settings, *lines = whole.splitlines()
    assert done(tmp_path, b"\n".join([settings, lines[0], b"{" + settings, *lines[1:]])) == [True, False, False, False]
    assert done(tmp_path, b"\n".join([settings, b"{" + settings, *lines[:2], *lines])) == [False] * 4
    assert done(tmp_path, b"\n".join([b"{" + settings, lines[0], settings, *lines[1:]])) == [False, True, True, True]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "options", "image", "stamp", "files", "a"]), inner, max_size=4)
    ),
)


@given(st.lists(st.binary(max_size=80) | VALUES.map(lambda value: json.dumps(value).encode()), max_size=8))
def test_any_lines_can_be_read(tmp_path_factory, lines):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    assert done(folder, b"\n".join(lines)) == [False] * 4


def test_lines_that_python_cannot_read(tmp_path, whole):
    for line in (b"[" * 10**6, b"1" * 10**5, b'{"image": "\xff"}'):
        assert done(tmp_path, line + b"\n" + whole) == [True] * 4
