"""Pipe mode with real FIFOs and a real process at the other end: the batches of files, errors by number, no waiting."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from sagemaker_semseg.data.datasets import Datasets, read_channels
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.data.pipe_mode import PipeDataset, PollConfig, pipe_datasets
from sagemaker_semseg.data.recordio import write_record
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.errors import DataError, HyperparameterError
from sagemaker_semseg.sdk.local.pipe_inputs import PipeChannel, PipeWriter
from sagemaker_semseg.training import checkpoint, trainer
from sagemaker_semseg.training.pipeline import Batches, evaluation_batches, training_batches

SEED = 3  # that of ``make_hp``
Played = Callable[..., Datasets]


class Losses(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.losses.append((logs or {})["loss"])


class Signal(keras.callbacks.Callback):
    """SIGTERM, some seconds after a number of batches."""

    def __init__(self, after: int, seconds: float = 0):
        super().__init__()
        self.left, self.seconds = after, seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.left -= 1
        if not self.left and not self.seconds:
            os.kill(os.getpid(), signal.SIGTERM)
        elif not self.left:
            threading.Timer(self.seconds, os.kill, (os.getpid(), signal.SIGTERM)).start()


def pairs_of(channels: Datasets, split: str) -> list[ImageMaskPair]:
    return [ImageMaskPair(sample.name, sample.image, sample.mask) for sample in getattr(channels, split).pairs]


@pytest.fixture
def played(tiny_channels: Datasets) -> Iterator[Played]:
    """Sends ``tiny_channels`` through FIFOs; a test closes what it has opened by ending.

    first_pass: which one FIFO 0 is, for the order.
    """
    with contextlib.ExitStack() as stack:

        def play(first_pass: int = 0, count: int = 7) -> Datasets:
            folder, links = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
            channels = [
                PipeChannel("train", pairs_of(tiny_channels, "train"), SEED),
                PipeChannel("validation", pairs_of(tiny_channels, "validation")),
            ]
            stack.enter_context(PipeWriter(folder, channels))
            polling = PollConfig(timeout=600)
            for number in range(first_pass):
                list(pipe_datasets(folder, 2, count, polling=polling)["train"].read_epoch(number))
            for number in range(20):
                (links / f"train_{number}").symlink_to(folder / f"train_{first_pass + number}")
                (links / f"validation_{number}").symlink_to(folder / f"validation_{number}")
            return Datasets(**pipe_datasets(links, 2, count, polling=polling))

        yield play


def taken(batches: Batches, count: int = 99) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(images.numpy(), labels.numpy()) for images, labels in itertools.islice(batches, count)]


def equal(one: list[tuple[np.ndarray, np.ndarray]], other: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    return len(one) == len(other) and all(
        a.tobytes() == c.tobytes() and b.tobytes() == d.tobytes() and a.shape == c.shape
        for (a, b), (c, d) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("batch", [1, 2, 3, 12])
def test_the_batches_are_those_of_the_files(batch, played, tiny_channels, make_hp):
    """Over three passes of 7, at the end of which batches go on into the next."""
    hp, stop = make_hp(mini_batch_size=batch), 21 // batch + 1
    expected = taken(training_batches(tiny_channels.train, hp, stop_step=stop))
    for workers in (1, 4):
        batches = training_batches(played().train, hp, stop_step=stop, workers=workers, stop=threading.Event())
        assert equal(expected, taken(batches))
    assert len(expected) == stop


def test_the_batches_are_those_of_a_manifest_too(played, tiny_channels, make_hp, tmp_path):
    manifests = {}
    for split in ("train", "validation"):
        lines = [{"source-ref": str(pair.image), "x-ref": str(pair.mask)} for pair in pairs_of(tiny_channels, split)]
        manifests[split] = tmp_path / f"{split}.manifest"
        manifests[split].write_text("\n".join(map(json.dumps, lines)))
    of_lines, hp = read_channels(manifests, 2), make_hp(mini_batch_size=4)
    expected = taken(training_batches(of_lines.train, hp, stop_step=5))
    assert equal(expected, taken(training_batches(tiny_channels.train, hp, stop_step=5)))
    assert equal(expected, taken(training_batches(played().train, hp, stop_step=5)))


@pytest.mark.parametrize("start", [1, 4, 6])
def test_a_stream_is_entered_where_a_training_goes_on(start, played, tiny_channels, make_hp):
    hp = make_hp(mini_batch_size=2)
    expected = taken(training_batches(tiny_channels.train, hp, start_step=start, stop_step=12))
    stream = played(first_pass=start * 2 // 7).train
    assert equal(expected, taken(training_batches(stream, hp, start_step=start, stop_step=12)))


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_each_evaluation_reads_the_next_fifo(batch, played, tiny_channels):
    stream = played().validation
    expected = taken(evaluation_batches(tiny_channels.validation, batch, max_pixels=5000))
    for number in (0, 1):
        assert equal(expected, taken(evaluation_batches(stream, batch, max_pixels=5000, epoch=number)))


def test_pairs_of_one_size_that_follow_each_other_share_a_batch(tmp_path):
    sizes = [(30, 40), (30, 40), (20, 40), (30, 40), (30, 40), (30, 40)]
    sent = Sent(tmp_path, train=[[png(*size) for size in sizes for _ in range(2)], []])
    batches = taken(evaluation_batches(streams(tmp_path)["train"], 2))
    assert [images.shape for images, _ in batches] == [(2, 30, 40, 3), (1, 20, 40, 3), (2, 30, 40, 3), (1, 30, 40, 3)]
    sent.ended.set()


class Sent:
    """FIFOs whose content a test decides; each is made when the one before is through, the last stays open."""

    def __init__(self, folder: Path, **passes: list[list[bytes]]):
        self.folder, self.ended = folder, threading.Event()
        for channel, contents in passes.items():
            threading.Thread(target=self.send, args=(channel, contents), daemon=True).start()

    def send(self, channel: str, contents: list[list[bytes]]) -> None:
        for number, records in enumerate(contents):
            path = self.folder / f"{channel}_{number}"
            os.mkfifo(path)
            with contextlib.suppress(BrokenPipeError), open(path, "wb") as file:
                for record in records:
                    write_record(file, record)
                file.flush()
                if number == len(contents) - 1 and not self.ended.wait(0.1):
                    self.ended.wait(900)


def records_of(channels: Datasets, split: str = "train") -> list[bytes]:
    return [path.read_bytes() for pair in pairs_of(channels, split) for path in (pair.image, pair.mask)]


def streams(folder: Path) -> dict[str, PipeDataset]:
    return pipe_datasets(folder, 2, 7, polling=PollConfig(timeout=600))


def png(height: int, width: int, value: int = 0) -> bytes:
    return encode_mask(np.full((height, width), value, np.uint8))


@pytest.mark.parametrize(
    ("place", "record", "expected"),
    [
        (4, b"nothing", r"train_0, pair 3, image \(record 5\): not a JPEG or PNG file \(it begins with b'nothing'\)"),
        (5, None, r"train_0, pair 3, mask \(record 6\): a JPEG can't be a mask"),
        (5, png(40, 47), r"train_0, pair 3, mask \(record 6\): 47 x 40 pixels, but the image has 48 x 40 as displayed"),
        (5, png(40, 48, 2), r"pair 3, mask \(record 6\): no label for pixel value 2 \(1920 pixels\); num_classes 2"),
        (5, png(40, 48)[:-30], r"train_0, pair 3, mask \(record 6\): .*"),
        (4, b"", r"train_0, pair 3, image \(record 5\): the file is empty"),
    ],
    ids=["no image", "image for mask", "other size", "no label", "damaged", "empty"],
)
@pytest.mark.parametrize("what", ["training", "evaluation"])
def test_a_bad_record_is_named(what, place, record, expected, tiny_channels, make_hp, tmp_path):
    records = records_of(tiny_channels)
    records[place] = records[0] if record is None else record
    sent = Sent(tmp_path, train=[records, records])
    stream = streams(tmp_path)["train"]
    batches = training_batches(stream, make_hp(), stop_step=4) if what == "training" else evaluation_batches(stream, 4)
    with pytest.raises(DataError, match=expected):
        list(iter(batches))
    sent.ended.set()


def test_a_label_out_of_range_is_found_outside_of_the_crop_too(tiny_channels, make_hp, tmp_path):
    records = records_of(tiny_channels)
    labels = np.zeros((40, 48), np.uint8)
    labels[-1, -1] = 77
    records[1] = encode_mask(labels)
    sent = Sent(tmp_path, train=[records])
    stream = streams(tmp_path)["train"]
    with pytest.raises(DataError, match=r"pixel value 77 \(1 pixels\)"):
        list(iter(training_batches(stream, make_hp(), stop_step=1)))
    sent.ended.set()


def test_a_stream_is_gone_through_once(played, make_hp):
    batches = training_batches(played().train, make_hp(), stop_step=2)
    taken(batches)
    with pytest.raises(RuntimeError, match="read once"):
        taken(batches)


def test_a_training_of_the_pipe_is_that_of_the_files(played, tiny_channels, make_hp, tmp_path):
    """Stopped in the second epoch and resumed, for which the platform starts with FIFO 0 again."""
    expected, first, second = (Losses() for _ in range(3))
    result = trainer.train(make_hp(), tiny_channels, tmp_path / "files", callbacks=[expected])
    trainer.train(make_hp(), played(), tmp_path / "stopped", callbacks=[first, Signal(after=4)])
    first_pass = checkpoint.read_state(tmp_path / "stopped/checkpoints/last.safetensors").step * 2 // 7
    assert first_pass == 1
    other = trainer.train(make_hp(), played(first_pass), tmp_path / "stopped", callbacks=[second])
    np.testing.assert_allclose(first.losses + second.losses, expected.losses, rtol=1e-5)
    np.testing.assert_array_equal(other.scores.confusion.sum(1), result.scores.confusion.sum(1))


@pytest.mark.parametrize("validation", [pytest.param(False, marks=pytest.mark.slow), True])
def test_sigterm_ends_a_training_that_waits_for_a_stream(validation, tiny_channels, make_hp, tmp_path):
    """In the middle of an epoch, and of the validation after it, which is repeated when the training resumes."""
    folders = [tmp_path / "fifos", tmp_path / "again"]
    for folder in folders:
        folder.mkdir()
    train, measured = records_of(tiny_channels), records_of(tiny_channels, "validation")
    if validation:
        sent = Sent(folders[0], train=[train] * 3, validation=[measured[:3]])
    else:
        sent = Sent(folders[0], train=[train[:9]], validation=[measured])
    before = Datasets(**streams(folders[0]))
    threads = threading.active_count()
    losses, stop = Losses(), Signal(after=4 if validation else 1, seconds=2)
    result = trainer.train(make_hp(epochs=1), before, tmp_path / "out", callbacks=[losses, stop])
    assert (result.stopped, result.signal, result.history) == (True, signal.SIGTERM, [])
    assert len(losses.losses) == (4 if validation else 2)
    sent.ended.set()
    deadline = time.monotonic() + 300
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= threads

    sent = Sent(folders[1], train=[train] * 3, validation=[measured, []])
    after = Datasets(**streams(folders[1]))
    ended = trainer.train(make_hp(epochs=1), after, tmp_path / "out", callbacks=[losses])
    assert len(losses.losses) == 4
    assert [row["epoch"] for row in ended.history] == [0]
    assert ended.history[0]["loss"] == pytest.approx(np.mean(losses.losses))
    sent.ended.set()


def test_class_weights_cant_be_counted(played, make_hp, tmp_path):
    with pytest.raises(HyperparameterError, match="class_weights: is 'auto', which counts"):
        trainer.train(make_hp(class_weights="auto"), played(), tmp_path)


def test_replicas_share_the_batches_of_a_stream(played, tiny_channels, make_hp, two_replicas):
    expected = taken(training_batches(tiny_channels.train, make_hp(), stop_step=5))
    batches = training_batches(played().train, make_hp(), stop_step=5)
    for (images, _), (shared, _) in zip(expected, batches.distribute(two_replicas), strict=True):
        parts = two_replicas.experimental_local_results(shared)
        assert (np.concatenate([part.numpy() for part in parts]) == images).all()


LEAVE_EARLY = """
import os, sys, threading, time
from pathlib import Path
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.data.recordio import write_record
from sagemaker_semseg.data.pipe_mode import pipe_datasets
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.training.pipeline import np, training_batches

def send():
    file = open(sys.argv[1] + "/train_0", "wb")
    for _ in range(8):
        write_record(file, encode_mask(np.zeros((30, 30), np.uint8)))
    file.flush()
    time.sleep(3600)

os.mkfifo(sys.argv[1] + "/train_0")
threading.Thread(target=send, daemon=True).start()
hp = resolve({"num_classes": 2, "base_size": 40, "crop_size": 24, "mini_batch_size": 2})
batches = iter(training_batches(pipe_datasets(Path(sys.argv[1]), 2, 7)["train"], hp))
next(batches)
time.sleep(0.5)
"""


def test_a_program_may_end_while_a_stream_is_waited_for(tmp_path):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", LEAVE_EARLY, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "still being read" not in done.stderr
