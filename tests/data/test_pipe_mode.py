"""Pipe mode: samples of FIFOs that a thread writes, and the faults of streams."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.data import pipe_mode
from sagemaker_semseg.data.images import decode_image, encode_mask
from sagemaker_semseg.data.pipe_mode import Cancelled, Counts, PipeDataset, PollConfig, open_fifo, pipe_datasets
from sagemaker_semseg.data.recordio import packed
from sagemaker_semseg.data.samples import EncodedSample
from sagemaker_semseg.errors import DataError, HyperparameterError


def png(label: int, side: int = 1) -> bytes:
    return encode_mask(np.full((side, side), label, np.uint8))


ONE, TWO, THREE, FOUR = map(png, range(1, 5))
NOISE = encode_mask(np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8))


class Sender:
    """Writes each of ``epochs`` into a FIFO of its own, which it makes only when the one before has been read."""

    def __init__(self, folder: Path, epochs: list[bytes], channel: str = "train", slowly: float = 0):
        self.folder, self.epochs, self.channel, self.slowly = folder, epochs, channel, slowly
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self) -> None:
        for number, content in enumerate(self.epochs):
            path = self.folder / f"{self.channel}_{number}"
            time.sleep(self.slowly)
            os.mkfifo(path)
            with contextlib.suppress(BrokenPipeError), open(path, "wb", 0) as file:
                for at in range(0, len(content), 1000):
                    time.sleep(self.slowly)
                    file.write(content[at : at + 1000])


def framed(*payloads: bytes) -> bytes:
    return b"".join(b"".join(packed(payload)) for payload in payloads)


def dataset(folder: Path, count: int = 2, **polling: float) -> PipeDataset:
    return pipe_datasets(folder, 3, count, splits=("train",), polling=PollConfig(**{"timeout": 600, **polling}))[
        "train"
    ]


def content(sample: EncodedSample) -> tuple[bytes, bytes]:
    return sample.image.stream, sample.mask.stream


def fault(folder: Path, content: bytes, number: int = 0) -> str:
    sender = Sender(folder, [framed(ONE, TWO)] * number + [content])
    stream = dataset(folder)
    for before in range(number):
        list(stream.read_epoch(before))
    with pytest.raises(DataError) as caught:
        list(stream.read_epoch(number))
    sender.thread.join()
    (found,) = caught.value.faults
    return str(found)


@pytest.mark.parametrize("slowly", [0, 0.006])
def test_samples_epoch_after_epoch(tmp_path: Path, slowly: float) -> None:
    first, second = (NOISE, png(5, 300), THREE, FOUR), (ONE, TWO)
    Sender(tmp_path, [framed(*first), framed(*second)], slowly=slowly)
    stream = dataset(tmp_path)
    samples = [*stream.read_epoch(0), *stream.read_epoch(1)]
    assert [content(sample) for sample in samples] == [first[:2], first[2:], second]
    assert [sample.size for sample in samples] == [(300, 300), (1, 1), (1, 1)]
    assert [(sample.epoch, sample.index) for sample in samples] == [(0, 0), (0, 1), (1, 0)]
    assert samples[1].mask.where == f"{tmp_path}/train_0, pair 2, mask (record 4)"
    assert [sample.label_map for sample in samples] == [stream.label_map, stream.label_map, None]


def test_an_epoch_may_be_left_early(tmp_path: Path) -> None:
    sender = Sender(tmp_path, [framed(*[NOISE] * 100), framed(ONE, TWO)])
    stream = dataset(tmp_path)
    samples = stream.read_epoch(0)
    next(samples)
    samples.close()
    assert [content(sample) for sample in stream.read_epoch(1)] == [(ONE, TWO)]
    sender.thread.join(600)
    assert not sender.thread.is_alive()


HEAD = len(framed(ONE, TWO))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (framed(ONE, TWO, ONE), "train_0, record 3: an image, after which the stream ends (send an image and"),
        (framed(ONE, TWO) + b"\xff\xd8\xff\xe0" * 2, f"train_0, record 3 at byte {HEAD}: begins with the bytes ff d8"),
        (framed(ONE, b"m" * 50)[:-4], "ends before the 50 bytes of this part have come"),
        (b"", "train_0: the stream ended before its first record (check the channel's data)"),
        (framed(ONE, b"m"), "train_0, pair 1, mask (record 2): not a JPEG or PNG file (it begins with b'm')"),
        (
            framed(ONE, TWO, ONE, png(1, 2)),
            "train_0, pair 2, mask (record 4): 2 x 2 pixels, but the image has 1 x 1 as displayed",
        ),
    ],
    ids=["half a pair", "no RecordIO", "cut short", "empty", "no image", "two sizes"],
)
def test_what_is_wrong_with_a_stream(tmp_path: Path, content: bytes, expected: str) -> None:
    found = fault(tmp_path, content)
    assert found.startswith(f"{tmp_path}/train_0")
    assert expected in found


def test_a_later_epoch_is_named_too(tmp_path: Path) -> None:
    assert f"{tmp_path}/train_2, record 1: an image, after" in fault(tmp_path, framed(ONE), number=2)


def test_epochs_of_another_length_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = framed(ONE, TWO)
    Sender(tmp_path, [one * 2, one * 3, one * 3, one, one])
    samples = dataset(tmp_path, count=2).read_epochs()
    with caplog.at_level(logging.WARNING):
        assert [sample.epoch for sample in (next(samples) for _ in range(10))] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 4]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/train_1 had 3 pairs of image and mask, num_training_samples is 2: an epoch stays at the latter",
        f"{tmp_path}/train_3 had 1 pairs of image and mask, num_training_samples is 2: an epoch stays at the latter",
    ]
    samples.close()


def test_samples_at_the_start_are_skipped(tmp_path: Path) -> None:
    Sender(tmp_path, [framed(ONE, TWO, TWO, TWO, THREE, TWO), framed(FOUR, TWO)])
    samples = dataset(tmp_path, count=3).read_epochs(skip=2)
    found = [next(samples), next(samples)]
    assert [(sample.image.stream, sample.epoch, sample.index) for sample in found] == [(THREE, 0, 2), (FOUR, 1, 0)]
    samples.close()


@pytest.mark.parametrize("there", ["nothing", "a FIFO", "a sender"])
def test_waiting_can_be_cancelled(tmp_path: Path, there: str) -> None:
    cancelled, done = threading.Event(), threading.Event()

    def open_and_say_nothing() -> None:
        with open(tmp_path / "train_0", "wb"):
            done.wait(600)

    if there != "nothing":
        os.mkfifo(tmp_path / "train_0")
    if there == "a sender":
        threading.Thread(target=open_and_say_nothing, daemon=True).start()
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(Cancelled):
        list(dataset(tmp_path).read_epoch(0, cancelled))
    done.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the clock is ten seconds later."""
    monkeypatch.setattr(pipe_mode.time, "monotonic", itertools.count(0, 10).__next__)


@pytest.mark.parametrize(("there", "what"), [(False, "no such FIFO for 30 s"), (True, "nothing came for 30 s")])
def test_waiting_has_an_end(tmp_path: Path, clock: None, there: bool, what: str) -> None:
    if there:
        os.mkfifo(tmp_path / "train_0")
    with pytest.raises(DataError, match=f"train_0: {what}"):
        list(dataset(tmp_path, timeout=25).read_epoch(0))


def test_a_long_wait_is_reported_once(tmp_path: Path, clock: None, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError):
        list(dataset(tmp_path, timeout=45, warn_after=15).read_epoch(0))
    (record,) = caplog.records
    assert record.getMessage() == f"{tmp_path}/train_0: no such FIFO for 20 s; waiting for 45"


def test_a_file_may_stand_for_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "train_0").write_bytes(framed(NOISE, png(1, 300)))
    (sample,) = dataset(tmp_path).read_epoch(0)
    assert decode_image(sample.image).shape == (300, 300, 3)
    assert (sample.mask_values() == 1).all()
    with open_fifo(tmp_path / "train_0", PollConfig()) as file:
        assert isinstance(file, io.BufferedReader)


def test_masks_of_the_first_epoch_are_checked(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"train_{number}").write_bytes(framed(ONE, png(7)))
    stream = dataset(tmp_path)
    (new,), (seen) = stream.read_epoch(0), stream.read_epoch(1)
    with pytest.raises(DataError, match=r"record 2\): no label for pixel value 7 \(1 pixels\)"):
        new.mask_values()
    assert next(seen).mask_values().tolist() == [[7]]


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "label_map"
    folder.mkdir()
    (folder / "train_label_map.json").write_text(json.dumps({"map": {"0": 7, "1": 9}}))
    return folder


def test_label_maps_hold_for_streams_too(tmp_path: Path, maps: Path) -> None:
    splits = pipe_datasets(tmp_path, 2, 5, channels={"label_map": maps})
    assert splits["train"].label_map.table[[7, 9, 8]].tolist() == [0, 1, 255]
    assert splits["validation"].label_map.table[[0, 1, 2]].tolist() == [0, 1, -1]
    assert "no validation_label_map.json" in splits["validation"].notes[0]
    assert (splits["train"].count, splits["validation"].count) == (5, None)
    (maps / "train_label_map.json").write_text("{}")
    with pytest.raises(DataError, match="neither 'scale' nor 'map'"):
        pipe_datasets(tmp_path, 2, 5, channels={"label_map": maps})


def test_the_length_of_an_epoch_has_to_be_given(tmp_path: Path) -> None:
    with pytest.raises(HyperparameterError, match="num_training_samples: is missing: in Pipe mode"):
        pipe_datasets(tmp_path, 2, None)
    assert pipe_datasets(tmp_path, 2, None, splits=("validation",))["validation"].count is None


def test_the_values_of_the_first_epoch_are_counted(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"train_{number}").write_bytes(framed(NOISE, png(1, 300), ONE, TWO))
    counted: list[tuple[str, dict[int, int]]] = []

    def check(stream: PipeDataset, counts: Counts) -> None:
        counted.append((stream.channel, {int(value): int(counts[value]) for value in np.flatnonzero(counts)}))
        raise DataError("doubtful")

    stream = pipe_datasets(tmp_path, 3, 2, splits=("train",), check_counts=check)["train"]
    samples = stream.read_epoch(0)
    next(samples)
    with pytest.raises(DataError, match="doubtful"):  # before the last pair is used
        next(samples)
    assert counted == [("train", {1: 300 * 300, 2: 1})]
    assert len(list(stream.read_epoch(1))) == 2
    assert len(counted) == 1
    with pytest.raises(DataError, match="doubtful"):
        list(replace(stream, count=None).read_epoch(0))
