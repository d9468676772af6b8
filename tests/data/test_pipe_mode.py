"""FIFOs written by a thread: what comes out pair by pair, and what is said of whatever is wrong with them."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from sagemaker_semseg.data.fifo import Cancelled, PollConfig, open_fifo
from sagemaker_semseg.data.pipe_mode import PipeDataset, pipe_splits
from sagemaker_semseg.data.recordio import packed
from sagemaker_semseg.errors import DataError, Fault, HyperparameterError


class Sender:
    """Writes each of ``passes`` into a FIFO of its own, each of which it makes only when the one before is through."""

    def __init__(self, folder: Path, passes: list[bytes], channel: str = "train", slowly: float = 0):
        self.folder, self.passes, self.channel, self.slowly = folder, passes, channel, slowly
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self) -> None:
        for number, content in enumerate(self.passes):
            path = self.folder / f"{self.channel}_{number}"
            time.sleep(self.slowly)
            os.mkfifo(path)
            with contextlib.suppress(BrokenPipeError), open(path, "wb", 0) as file:
                for at in range(0, len(content), 1000):
                    time.sleep(self.slowly)
                    file.write(content[at : at + 1000])


def framed(*payloads: bytes) -> bytes:
    return b"".join(b"".join(packed(payload)) for payload in payloads)


def split(folder: Path, count: int = 2, patience: float = 10) -> PipeDataset:
    return pipe_splits(folder, 3, count, splits=("train",), waiting=PollConfig(patience=patience))["train"]


def fault(folder: Path, content: bytes, number: int = 0) -> str:
    sender = Sender(folder, [framed(b"i", b"m")] * number + [content])
    stream = split(folder)
    for before in range(number):
        list(stream.one_pass(before))
    with pytest.raises(DataError) as caught:
        list(stream.one_pass(number))
    sender.thread.join()
    (found,) = caught.value.faults
    return str(found)


@pytest.mark.parametrize("slowly", [0, 0.12])
def test_pairs_pass_after_pass(tmp_path: Path, slowly: float) -> None:
    first, second = (b"i" * 1500, b"m", b"", b"n"), (b"j", b"o" * 70000)
    Sender(tmp_path, [framed(*first), framed(*second)], slowly=slowly / (20 if slowly else 1))
    stream = split(tmp_path)
    pairs = [*stream.one_pass(0), *stream.one_pass(1)]
    assert [(pair.image, pair.mask) for pair in pairs] == [first[:2], first[2:], second]
    assert [(pair.number, pair.place) for pair in pairs] == [(0, 0), (0, 1), (1, 0)]
    assert pairs[1].where == f"{tmp_path}/train_0, pair 2"


def test_a_pass_may_be_left_early(tmp_path: Path) -> None:
    sender = Sender(tmp_path, [framed(*[b"x" * 100_000] * 100), framed(b"i", b"m")])
    stream = split(tmp_path)
    pairs = stream.one_pass(0)
    next(pairs)
    pairs.close()
    assert [pair.image for pair in stream.one_pass(1)] == [b"i"]
    sender.thread.join(10)
    assert not sender.thread.is_alive()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (framed(b"i", b"m", b"i"), "train_0, record 3: an image, after which the stream ends (send an image and"),
        (framed(b"i", b"m") + b"\xff\xd8\xff\xe0" * 2, "train_0, record 3 at byte 24: begins with the bytes ff d8"),
        (framed(b"i", b"m" * 50)[:-4], "train_0, record 2 at byte 12: ends before the 50 bytes of this part have come"),
        (b"", "train_0: the stream ended before its first record (check the channel's data)"),
    ],
    ids=["half a pair", "no RecordIO", "cut short", "empty"],
)
def test_what_is_wrong_with_a_stream(tmp_path: Path, content: bytes, expected: str) -> None:
    assert f"{tmp_path}/{expected}" in fault(tmp_path, content)


def test_a_later_pass_is_named_too(tmp_path: Path) -> None:
    assert f"{tmp_path}/train_2, record 1: an image, after" in fault(tmp_path, framed(b"i"), number=2)


def test_passes_of_another_length_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = framed(b"i", b"m")
    Sender(tmp_path, [one * 2, one * 3, one * 3, one, one])
    pairs = split(tmp_path, count=2).all_passes()
    with caplog.at_level(logging.WARNING):
        assert [pair.number for pair in (next(pairs) for _ in range(10))] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 4]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/train_1 had 3 pairs of image and mask, num_training_samples is 2: an epoch stays at the latter",
        f"{tmp_path}/train_3 had 1 pairs of image and mask, num_training_samples is 2: an epoch stays at the latter",
    ]
    pairs.close()


def test_what_was_seen_before_is_passed_over(tmp_path: Path) -> None:
    Sender(tmp_path, [framed(b"a", b"", b"b", b"", b"c", b""), framed(b"d", b"")])
    pairs = split(tmp_path, count=3).all_passes(skip=2)
    assert [(pair.image, pair.place) for pair in (next(pairs), next(pairs))] == [(b"c", 2), (b"d", 0)]
    pairs.close()


@pytest.mark.parametrize("there", ["nothing", "a FIFO", "a sender"])
def test_waiting_ends_when_it_is_told_to(tmp_path: Path, there: str) -> None:
    halt, done = threading.Event(), threading.Event()

    def open_and_say_nothing() -> None:
        with open(tmp_path / "train_0", "wb"):
            done.wait(20)

    if there != "nothing":
        os.mkfifo(tmp_path / "train_0")
    if there == "a sender":
        threading.Thread(target=open_and_say_nothing, daemon=True).start()
    threading.Timer(0.3, halt.set).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        list(split(tmp_path).one_pass(0, halt))
    assert time.monotonic() - start < 5
    done.set()


@pytest.mark.parametrize(("there", "what"), [(False, "no such FIFO for"), (True, "nothing came for")])
def test_waiting_has_an_end(tmp_path: Path, there: bool, what: str) -> None:
    if there:
        os.mkfifo(tmp_path / "train_0")
    with pytest.raises(DataError, match=f"train_0: {what}"):
        list(split(tmp_path, patience=0.2).one_pass(0))


def test_a_long_wait_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("sagemaker_semseg.data.fifo._TELL_AFTER", 0.1)
    with pytest.raises(DataError):
        list(split(tmp_path, patience=0.5).one_pass(0))
    (record,) = caplog.records
    assert f"{tmp_path}/train_0: no such FIFO for 0 s" in record.getMessage()


def test_a_sender_that_has_failed_is_the_cause(tmp_path: Path) -> None:
    def watch() -> None:
        raise DataError("the sender has failed", [Fault("a.jpg", "is gone")])

    Sender(tmp_path, [framed(b"i")])
    stream = pipe_splits(tmp_path, 3, 1, waiting=PollConfig(watch=watch))["train"]
    for number in (0, 1):  # in the middle of a pair, and before it has come
        with pytest.raises(DataError, match=r"a\.jpg: is gone"):
            list(stream.one_pass(number))


def test_files_do_for_fifos(tmp_path: Path) -> None:
    (tmp_path / "train_0").write_bytes(framed(b"i", b"m" * 300_000))
    (pair,) = split(tmp_path).one_pass(0)
    assert len(pair.mask) == 300_000
    with open_fifo(tmp_path / "train_0", PollConfig()) as file:
        assert isinstance(file, io.BufferedReader)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "label_map"
    folder.mkdir()
    (folder / "train_label_map.json").write_text(json.dumps({"map": {"0": 7, "1": 9}}))
    return folder


def test_label_maps_hold_for_streams_too(tmp_path: Path, maps: Path) -> None:
    splits = pipe_splits(tmp_path, 2, 5, channels={"label_map": maps})
    assert splits["train"].labels.table[[7, 9, 8]].tolist() == [0, 1, 255]
    assert splits["validation"].labels.table[[0, 1, 2]].tolist() == [0, 1, -1]
    assert "no validation_label_map.json" in splits["validation"].notes[0]
    assert (splits["train"].count, splits["validation"].count) == (5, None)
    (maps / "train_label_map.json").write_text("{}")
    with pytest.raises(DataError, match="neither 'scale' nor 'map'"):
        pipe_splits(tmp_path, 2, 5, channels={"label_map": maps})


def test_the_length_of_a_pass_has_to_be_given(tmp_path: Path) -> None:
    with pytest.raises(HyperparameterError, match="num_training_samples: is missing: in Pipe mode"):
        pipe_splits(tmp_path, 2, None)
    assert pipe_splits(tmp_path, 2, None, splits=("validation",))["validation"].count is None
