"""Crops that processes read: those of threads, in memory that is used again, and what happens when one ends."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagemaker_semseg.data.datasets import FileDataset, ImageMaskPair
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.training import devices, pipeline
from sagemaker_semseg.training.crop_reader import CropReader
from sagemaker_semseg.training.pipeline import Batches, training_batches
from sagemaker_semseg.training.reader_processes import ReaderProcesses

DEADLINE = 120.0


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> FileDataset:
    """JPEGs, a turned one and PNGs, of noise: a window that is off by a pixel differs."""
    folder, random, pairs = tmp_path_factory.mktemp("files"), np.random.default_rng(7), []
    for number in range(7):
        height, width = 40 + 3 * number, 64 - 2 * number
        image, mask = folder / f"{number}.{'png' if number == 3 else 'jpg'}", folder / f"{number}_mask.png"
        tags = Image.Exif()
        tags[0x0112] = 3 if number == 5 else 1
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(image, exif=tags)
        mask.write_bytes(encode_mask(random.integers(0, 3, (height, width), np.uint8)))
        pairs.append(ImageMaskPair(str(number), image, mask, size=(height, width)))
    counts = np.ones(3, np.int64)
    return FileDataset("train", tuple(pairs), LabelMap.identity(3), counts, counts, np.zeros(256, np.int64))


def settings(batch: int, **changes: object) -> Hyperparameters:
    values = {"num_classes": 3, "base_size": 48, "crop_size": 24, "mini_batch_size": batch, "seed": 4}
    return resolve({**values, **changes})


def taken(batches: Batches, count: int) -> list[bytes]:
    return [images.numpy().tobytes() + labels.numpy().tobytes() for images, labels in itertools.islice(batches, count)]


def ended(pid: int) -> bool:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("batch", [2, 12])  # one chunk, and several
def test_the_batches_are_those_of_threads(split: FileDataset, batch: int) -> None:
    changes = {"color_jitter": 0.3, "rotation": 20, "class_balanced_crops": 0.5}
    for hp in (settings(batch), settings(batch, **changes)):
        expected = taken(training_batches(split, hp, workers=1), 6)
        assert expected == taken(training_batches(split, hp, processes=3), 6)
        assert expected[4:] == taken(training_batches(split, hp, processes=1, start_step=4), 2)


def test_batches_that_are_kept_stay_as_they_are(split: FileDataset) -> None:
    """The memory of a batch isn't used again while something refers to it."""
    kept = list(itertools.islice(training_batches(split, settings(2), processes=2), 40))
    assert [images.numpy().tobytes() + labels.numpy().tobytes() for images, labels in kept] == taken(
        training_batches(split, settings(2), workers=1), 40
    )


def test_memory_is_used_again(split: FileDataset) -> None:
    requests = [(split.pairs[0], 0, 0), (split.pairs[1], 0, 1)]
    readers = ReaderProcesses(CropReader(settings(2), split.label_map.lookup), lambda number: requests, 2, 1)
    places = set()
    with readers:
        for number in range(20):
            images, labels = readers.load(np.int64(number))
            places.add(images.ctypes.data)
            assert images.ctypes.data % 64 == labels.ctypes.data % 64 == 0, "TensorFlow would copy it"
            del images, labels
        assert len(places) == 1
        both = [readers.load(np.int64(number))[0] for number in range(2)]
        assert both[0].ctypes.data != both[1].ctypes.data


def test_tensorflow_uses_the_memory_without_a_copy(split: FileDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {}
    load = ReaderProcesses.load

    def noted(self: ReaderProcesses, number: np.int64) -> tuple[np.ndarray, np.ndarray]:
        images, labels = load(self, number)
        places[int(number)] = images.ctypes.data  # several threads load at once: the first to end may be any
        return images, labels

    monkeypatch.setattr(ReaderProcesses, "load", noted)
    images, _ = next(iter(training_batches(split, settings(2), processes=1)))
    assert np.asarray(memoryview(images)).ctypes.data == places[0]


def test_what_a_process_raises_names_the_file(split: FileDataset, tmp_path: Path) -> None:
    gone = replace(split, pairs=tuple(replace(pair, mask=tmp_path / "gone.png") for pair in split.pairs))
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        next(iter(training_batches(gone, settings(2), processes=2)))
    changed = replace(split, pairs=tuple(replace(pair, size=(9, 9)) for pair in split.pairs))
    with pytest.raises(DataError, match="but 9 x 9 when it was checked"):
        next(iter(training_batches(changed, settings(2), processes=2)))


def test_a_process_that_is_killed_is_named(split: FileDataset) -> None:
    readers = ReaderProcesses(
        CropReader(settings(1), split.label_map.lookup), lambda number: [(split.pairs[0], 0, 0)], 1, 1
    )
    with readers:
        readers.load(np.int64(0))
        os.kill(readers.pids[0], signal.SIGKILL)
        with pytest.raises(DataError, match=r"a process that reads images: was ended by SIGKILL.*memory"):
            readers.load(np.int64(1))


def test_they_end_with_the_iteration_and_start_again(split: FileDataset) -> None:
    batches = training_batches(split, settings(2), processes=2)
    iterator = iter(batches)
    next(iterator)
    pids = batches.readers.pids
    assert len(pids) == 2
    iterator.close()
    assert all(ended(pid) for pid in pids)
    assert taken(batches, 2) == taken(training_batches(split, settings(2), workers=1), 2)


def test_they_end_with_the_program_even_if_it_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys, time
sys.path[:] = {sys.path!r}
import numpy as np
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.training.crop_reader import CropReader
from sagemaker_semseg.training.reader_processes import ReaderProcesses

hp = resolve({{"num_classes": 3, "crop_size": 24, "base_size": 48}})
readers = ReaderProcesses(CropReader(hp, np.zeros(256, np.uint8)), lambda number: [], 1, 2)
with readers:
    readers.load(np.int64(0))
    print(*readers.pids, "tensorflow" in sys.modules, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        *pids, loaded = process.stdout.readline().split()
        process.kill()
    assert loaded == "False", "a process that reads has no use for TensorFlow"
    assert len(pids) == 2
    assert all(ended(int(pid)) for pid in pids)


def test_several_threads_load_at_once(split: FileDataset) -> None:
    requests = pipeline._requests(split, 1, settings(1), pipeline.Share())
    readers = ReaderProcesses(CropReader(settings(1), split.label_map.lookup), requests, 1, 2)
    results: dict[int, bytes] = {}

    def load(number: int) -> None:
        results[number] = readers.load(np.int64(number))[0].tobytes()

    threads = [threading.Thread(target=load, args=(number,)) for number in range(16)]
    with readers:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        alone = {number: readers.load(np.int64(number))[0].tobytes() for number in range(16)}
    assert results == alone
    with pytest.raises(DataError, match="has ended"):
        readers.load(np.int64(0))


@pytest.mark.parametrize(("cpus", "gpus", "expected"), [(16, 1, 15), (2, 1, 0), (16, 0, 0), (96, 8, 32)])
def test_processes_read_where_a_gpu_is_fed(
    cpus: int, gpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cpu_count", lambda: cpus)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU"] * gpus if kind == "GPU" else [])
    assert devices.reader_processes() == expected
