"""The player as a process: what it sends, and that it neither stays behind nor fails without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.data.channels import ImageMaskPair
from sagemaker_semseg.data.images import decode_mask, encode_mask
from sagemaker_semseg.data.pipe_mode import PipeDataset, PollConfig, pipe_datasets
from sagemaker_semseg.data.pipe_simulator import ChannelConfig, PipeSimulator, running
from sagemaker_semseg.data.shuffle import order
from sagemaker_semseg.errors import DataError


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImageMaskPair]:
    noise, found = np.random.default_rng(0).integers(0, 256, (270, 270)).astype(np.uint8), []
    for number in range(9):
        image, mask = tmp_path / f"{number} \u00e4.jpg", tmp_path / f"{number}.png"
        image.write_bytes(encode_mask(noise))
        mask.write_bytes(
            encode_mask(np.full_like(noise, number)) + b"\x0a\x23\xd7\xce" * number
        )  # RecordIO's magic number
        found.append(ImageMaskPair(str(number), image, mask))
    return found


def stream(player: PipeSimulator, channel: str = "train") -> PipeDataset:
    return pipe_datasets(player.folder, 3, 9, polling=PollConfig(health_check=player.check, timeout=600))[channel]


def numbers(split: PipeDataset, number: int) -> list[int]:
    found = []
    for sample in split.read_epoch(number):
        assert len(sample.image.stream) > 70_000
        found.append(int(decode_mask(sample.mask)[0, 0]))
    return found


def test_each_pass_has_an_order_of_its_own(pairs: list[ImageMaskPair]) -> None:
    programmes = [ChannelConfig("train", pairs, seed=5, first_pass=2), ChannelConfig("validation", pairs[:3])]
    with running(programmes) as player:
        train, validation = stream(player), stream(player, "validation")
        assert numbers(validation, 0) == [0, 1, 2]
        for number in range(3):
            assert numbers(train, number) == order(5, 2 + number, 9).tolist()
        assert numbers(validation, 1) == [0, 1, 2]
        expected = ["train_3", "validation_2"]
        end = time.monotonic() + 30  # a FIFO's end is seen before its name goes
        while sorted(os.listdir(player.folder)) != expected and time.monotonic() < end:
            time.sleep(0.01)
        assert sorted(os.listdir(player.folder)) == expected
    assert not player.folder.exists()


def test_a_reader_may_have_enough(pairs: list[ImageMaskPair]) -> None:
    with running([ChannelConfig("train", pairs)]) as player:
        train = stream(player)
        first = train.read_epoch(0)
        next(first)
        first.close()
        assert numbers(train, 1) == list(range(9))


def test_a_missing_file_is_the_readers_error(pairs: list[ImageMaskPair]) -> None:
    pairs[4].mask.unlink()
    pairs[4] = replace(pairs[4], where="train.manifest, line 5")
    text = r"the data can't be played\n  - .*4\.png \(train\.manifest, line 5\): can't be read: No such file"
    with running([ChannelConfig("train", pairs)]) as player, pytest.raises(DataError, match=text):
        numbers(stream(player), 0)


def test_a_player_that_is_killed_is_missed(pairs: list[ImageMaskPair]) -> None:
    with running([ChannelConfig("train", pairs)]) as player:
        os.kill(player._process.pid, signal.SIGKILL)
        with pytest.raises(DataError, match="the player: has ended without a word"):
            numbers(stream(player), 0)


def test_ctrl_c_doesnt_end_it(pairs: list[ImageMaskPair]) -> None:
    with running([ChannelConfig("train", pairs)]) as player:
        train = stream(player)
        numbers(train, 0)  # it runs by now
        os.kill(player._process.pid, signal.SIGINT)
        assert numbers(train, 1) == list(range(9))


ORPHAN = """
import os, sys
from pathlib import Path
from sagemaker_semseg.data.channels import ImageMaskPair
from sagemaker_semseg.data.pipe_simulator import ChannelConfig, PipeSimulator
player = PipeSimulator(Path(sys.argv[1]), [ChannelConfig("train", [ImageMaskPair("a", Path("a"), Path("b"))])])
while not os.listdir(sys.argv[1]):
    pass
print(player._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_it_goes_with_whoever_started_it(tmp_path: Path) -> None:
    folder = tmp_path / "fifos"
    folder.mkdir()
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", ORPHAN, str(folder)], cwd=root, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    end = time.monotonic() + 20
    while time.monotonic() < end and (folder.exists() or _runs(int(done.stdout))):
        time.sleep(0.05)
    assert not folder.exists()
    assert not _runs(int(done.stdout))


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
