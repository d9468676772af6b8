"""Pipe mode on this machine: what is sent, and that nothing stays behind or fails silently."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.data.images import decode_mask, encode_mask
from sagemaker_semseg.data.pipe_mode import Cancelled, PipeDataset, PollConfig, pipe_datasets
from sagemaker_semseg.data.samples import ImageMaskPair, shuffled_order
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.sdk.local.pipe_inputs import PipeChannel, PipeWriter
from tests.sdk.local.conftest import eventually


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImageMaskPair]:
    noise, found = np.random.default_rng(0).integers(0, 256, (270, 270)).astype(np.uint8), []
    for number in range(9):
        image, mask = tmp_path / f"{number} \u00e4.jpg", tmp_path / f"{number}.png"
        image.write_bytes(encode_mask(noise))
        magic = b"\x0a\x23\xd7\xce"  # the magic number of RecordIO
        mask.write_bytes(encode_mask(np.full_like(noise, number)) + magic * number)
        found.append(ImageMaskPair(str(number), image, mask))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fifos").mkdir()
    return tmp_path / "fifos"


def stream(folder: Path, channel: str = "train") -> PipeDataset:
    return pipe_datasets(folder, 3, 9, polling=PollConfig(timeout=600))[channel]


def numbers(split: PipeDataset, number: int) -> list[int]:
    found = []
    for sample in split.read_epoch(number):
        assert len(sample.image.stream) > 70_000
        found.append(int(decode_mask(sample.mask)[0, 0]))
    return found


def test_each_epoch_has_an_order_of_its_own(pairs: list[ImageMaskPair], folder: Path) -> None:
    channels = [PipeChannel("train", pairs, seed=5), PipeChannel("validation", pairs[:3])]
    with PipeWriter(folder, channels):
        train, validation = stream(folder), stream(folder, "validation")
        assert numbers(validation, 0) == [0, 1, 2]
        for number in range(3):
            assert numbers(train, number) == shuffled_order(5, number, 9).tolist()
        assert numbers(validation, 1) == [0, 1, 2]
        expected = ["train_3", "validation_2"]
        eventually(lambda: sorted(os.listdir(folder)) == expected)  # a FIFO's end is seen before its name goes
    assert not os.listdir(folder)


def test_a_reader_may_have_enough(pairs: list[ImageMaskPair], folder: Path) -> None:
    with PipeWriter(folder, [PipeChannel("train", pairs)]):
        train = stream(folder)
        first = train.read_epoch(0)
        next(first)
        first.close()
        assert numbers(train, 1) == list(range(9))


def test_it_ends_while_somebody_reads(pairs: list[ImageMaskPair], folder: Path) -> None:
    threads = threading.active_count()
    with PipeWriter(folder, [PipeChannel("train", pairs)]):
        first = stream(folder).read_epoch(0)
        next(first)
        assert threading.active_count() == threads + 1
        first.close()
    assert threading.active_count() == threads
    assert not os.listdir(folder)


def fault_of(writer: PipeWriter, folder: Path) -> str:
    """What ``check`` raises while a thread reads the first epoch, which keeps waiting."""
    cancelled = threading.Event()

    def read() -> None:
        with contextlib.suppress(Cancelled):
            list(stream(folder).read_epoch(0, cancelled))
            ended.append(True)

    ended: list[bool] = []
    reader = threading.Thread(target=read)
    reader.start()
    try:
        with pytest.raises(DataError) as caught:
            eventually(lambda: bool(writer.check()))
    finally:
        cancelled.set()
        reader.join()
    assert not ended
    return str(caught.value)


def test_a_missing_file_is_found_by_the_check(pairs: list[ImageMaskPair], folder: Path) -> None:
    pairs[4].mask.unlink()
    pairs[4] = replace(pairs[4], where="train.manifest, line 5")
    with PipeWriter(folder, [PipeChannel("train", pairs)]) as writer:
        text = fault_of(writer, folder)
    assert re.search(r"the data can't be sent\n  - .*4\.png \(train\.manifest, line 5\): can't be read: No such", text)


def test_a_folder_that_is_gone_is_reported(pairs: list[ImageMaskPair], folder: Path) -> None:
    folder.rmdir()
    with PipeWriter(folder, [PipeChannel("train", pairs)]) as writer:
        text = fault_of(writer, folder)
    assert re.search(r"the data can't be sent\n  - .*train_0: can't be written: No such file or directory", text)
