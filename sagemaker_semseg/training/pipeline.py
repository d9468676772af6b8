"""Batches for training and evaluation, read by tf.data's threads.

The training stream is endless: position p is sample p % N of epoch p // N, for N samples. Each epoch has every sample
once, in its own random order. A batch of B samples takes the next B positions, also across the end of an epoch, so none
is ragged and no sample is dropped. A sample's crop depends only on the seed, the epoch and the index in it: reading may
start anywhere, and a pipe that sends the samples in that order gives the same batches as the files.

Batches are uint8: the network's first step normalizes them. Decoders and numpy release Python's lock for most of the
time; where that isn't enough, processes read the crops (``reader_processes``).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import starmap
from typing import Any, Final

import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.datasets import Dataset, FileDataset
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.pipe_mode import Cancelled, PipeDataset
from sagemaker_semseg.data.samples import EncodedSample, ImageMaskPair, shuffled_order
from sagemaker_semseg.environment import cpu_count
from sagemaker_semseg.hyperparameters import Hyperparameters
from sagemaker_semseg.training.crop_reader import CropReader
from sagemaker_semseg.training.partial_decode import read_image
from sagemaker_semseg.training.reader_processes import ReaderProcesses, SampleRequest
from sagemaker_semseg.training.reading_threads import ReadErrors, SequentialSource, stop_at_exit
from sagemaker_semseg.training.resample import Pixels

Arrays = tuple[Pixels, Pixels]
Samples = Callable[[int], Iterable[EncodedSample]]

_ENDLESS: Final = 1 << 40  # steps
_READY_BATCHES: Final = 2
_MAX_CHUNK: Final = 8  # samples in one call from TensorFlow to Python, which costs as much as a tenth of a sample
_MAX_CHUNK_OF_PROCESS: Final = 32  # there it costs only the call, and the copy of a chunk that isn't a whole batch
_MAX_EVALUATION_THREADS: Final = 4


@dataclass(frozen=True)
class Share:
    """The part of each batch that is read here: that of ``count`` replicas from ``first`` on, ``of`` all.

    Each of them has its own batch, one after the other.
    """

    first: int = 0
    count: int = 1
    of: int = 1


class Batches:
    """An iterable of batches, pairs of tensors: images and labels.

    It raises what a reading thread raised (DataError, OSError, ...), and ``Cancelled`` where that ends because ``stop``
    is set.

    Attributes:
        dataset: The same batches as a ``tf.data.Dataset``, which raises ``tf.errors.OpError``. With ``readers``, it is
            read within ``with batches.readers``.
        readers: The processes that read, which run during an iteration of this object; None if threads read.
    """

    def __init__(
        self,
        dataset: tf.data.Dataset,
        errors: ReadErrors,
        stop: threading.Event,
        readers: ReaderProcesses | None = None,
    ):
        self.dataset, self.readers, self._errors, self._stop = dataset, readers, errors, stop

    def __iter__(self) -> Iterator[Any]:
        return self._batches(iter(self.dataset))

    def distribute(self, strategy: tf.distribute.Strategy) -> Generator[Any, None, None]:
        """Iterate over batches that are split among the replicas of a strategy."""
        return self._batches(iter(strategy.experimental_distribute_dataset(self.dataset)))

    def distribute_shares(self, strategy: tf.distribute.Strategy) -> Generator[Any, None, None]:
        """Iterate over the batches of a ``Share``, one for each replica of this host."""
        # else the hosts ask each other before each batch whether it is the last one
        endless = self.dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        return self._batches(iter(strategy.distribute_datasets_from_function(lambda _: endless)))

    def _batches(self, iterator: Iterator[Any]) -> Generator[Any, None, None]:
        self._errors.clear()
        with self.readers or contextlib.nullcontext():
            while True:
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
                except tf.errors.OpError as raised:
                    error = Cancelled() if self._stop.is_set() else self._errors.original(raised)
                    vars(error)["__notes__"] = ["while reading the data"]  # add_note is new in Python 3.11
                else:
                    yield batch
                    continue
                raise error


def training_batches(
    dataset: Dataset,
    hp: Hyperparameters,
    *,
    start_step: int = 0,
    stop_step: int | None = None,
    workers: int | None = None,
    processes: int = 0,
    stop: threading.Event | None = None,
    share: Share = Share(),
) -> Batches:
    """Make the batches of a training.

    Args:
        dataset: Files, or a pipe, which can be read once. Its FIFO 0 has to bring the epoch of ``start_step``, as
            ``pipe_simulator.ChannelConfig`` does.
        hp: The global batch size, the crop's size, the seed.
        start_step: The number of the first batch; those before are skipped.
        stop_step: The number of the batch that isn't read any more. None: endless.
        workers: Threads; the batches don't depend on their number. None: ``cpu_count()``.
        processes: Processes that read files, in place of threads; neither do they depend on theirs.
        stop: Ends the reading of FIFOs once it is set.
        share: Of files, the part of each batch that is read here.

    Returns:
        Images (B, crop, crop, 3) uint8 RGB and labels (B, crop, crop) uint8, 255 = ignore.
    """
    batch, crop, workers = hp.mini_batch_size // share.of, hp.padded_crop_size, workers or cpu_count()
    limit = _MAX_CHUNK_OF_PROCESS if processes else _MAX_CHUNK
    chunk = max(size for size in range(1, limit + 1) if batch % size == 0)
    in_step = share.count * batch // chunk
    first, end = (step * in_step for step in (start_step, stop_step or _ENDLESS))
    numbers, errors, stop = tf.data.Dataset.range(first, end), ReadErrors(), stop or threading.Event()
    readers: ReaderProcesses | None = None
    if isinstance(dataset, PipeDataset):
        numbers, samples = _pipe_chunks(dataset, chunk, first * chunk, numbers, errors, stop)
        load = _load_here(hp, dataset, chunk, samples)
    elif processes:
        reader = CropReader(hp, dataset.label_map.lookup)
        readers = ReaderProcesses(reader, _requests(dataset, chunk, hp, share), chunk, processes)
        load, workers = readers.load, processes + 1  # one call waits for the next process
    else:
        requests = _requests(dataset, chunk, hp, share)
        load = _load_here(hp, dataset, chunk, lambda number: starmap(EncodedSample.read, requests(number)))
    chunks = _map(numbers, errors.track_calls(load), ((chunk, crop, crop, 3), (chunk, crop, crop)), workers)
    if chunk < batch:
        chunks = chunks.batch(batch // chunk, drop_remainder=True).map(
            lambda images, labels: (tf.reshape(images, (batch, crop, crop, 3)), tf.reshape(labels, (batch, crop, crop)))
        )
    return Batches(_with_options(chunks, workers), errors, stop, readers)


def _load_here(hp: Hyperparameters, dataset: Dataset, chunk: int, samples: Samples) -> Callable[[np.int64], Arrays]:
    """Return the function that reads the crops of a chunk in the thread that calls it."""
    reader, crop = CropReader(hp, dataset.label_map.lookup, read_image), hp.padded_crop_size

    def load(number: np.int64) -> Arrays:
        images, labels = _aligned_array(chunk, crop, crop, 3), _aligned_array(chunk, crop, crop)
        reader.read(samples(int(number)), images, labels)
        return images, labels

    return load


def _requests(
    dataset: FileDataset, chunk: int, hp: Hyperparameters, share: Share
) -> Callable[[int], list[SampleRequest]]:
    """Return the function that lists the samples of a chunk."""
    pairs, count = dataset.pairs, dataset.count
    if not count:
        raise ValueError("no samples to train on")
    order_of = lru_cache(maxsize=4)(lambda epoch: shuffled_order(hp.seed, epoch, count))
    of_replica = hp.mini_batch_size // share.of
    in_step, offset = share.count * of_replica // chunk, share.first * of_replica

    def requests(number: int) -> list[SampleRequest]:
        step, place = divmod(number, in_step)
        start = step * hp.mini_batch_size + offset + place * chunk
        positions = [divmod(position, count) for position in range(start, start + chunk)]
        return [(pairs[int(order_of(epoch)[index])], epoch, index) for epoch, index in positions]

    return requests


def _pipe_chunks(
    dataset: PipeDataset, chunk: int, start: int, numbers: tf.data.Dataset, errors: ReadErrors, stop: threading.Event
) -> tuple[tf.data.Dataset, Samples]:
    """start: the position of the first sample."""
    if not dataset.count:
        raise ValueError("the number of samples in an epoch is unknown")
    stop_at_exit(stop)
    first_epoch, skip = divmod(start, dataset.count)
    samples = dataset.read_epochs(skip, stop)
    chunks = SequentialSource(iter(lambda: list(itertools.islice(samples, chunk)), []), errors)
    return chunks.numbers(numbers), lambda number: (
        replace(sample, epoch=first_epoch + sample.epoch) for sample in chunks.take(number)
    )


def evaluation_batches(
    dataset: Dataset,
    batch_size: int,
    *,
    max_pixels: int | None = None,
    workers: int | None = None,
    epoch: int = 0,
    stop: threading.Event | None = None,
    part: tuple[int, int] = (0, 1),
) -> Batches:
    """Make batches of every sample once, at its native size.

    Args:
        dataset: Files, of which samples of one size share a batch, in the order in which the sizes first occur; or a
            pipe, of which consecutive samples of one size do.
        batch_size: Samples in a batch, at most.
        max_pixels: Pixels in a batch, at most, unless it has one sample. None: no limit.
        workers: Threads. None: ``cpu_count()``, and a few at most, since batches of whole images are large.
        epoch: The number of the FIFO to read.
        stop: Ends the reading of FIFOs once it is set.
        part: Of files, (i, n): every n-th batch from i on, and at its end one of a single ignored pixel if others have
            a batch more.

    Returns:
        Images (b, H, W, 3) uint8 RGB and labels (b, H, W) uint8, 255 = ignore.
    """

    def capacity(size: tuple[int, int]) -> int:
        return max(1, min(batch_size, max_pixels // math.prod(size)) if max_pixels else batch_size)

    errors, stop = ReadErrors(), stop or threading.Event()
    samples: Callable[[int], list[EncodedSample]]
    if isinstance(dataset, PipeDataset):
        stop_at_exit(stop)
        runs = SequentialSource(_runs_of_one_size(dataset.read_epoch(epoch, stop), capacity), errors)
        numbers, samples = runs.numbers(tf.data.Dataset.range(_ENDLESS)), runs.take
    else:
        groups = list(_groups_of_one_size(dataset, capacity))
        most = -(-len(groups) // part[1])
        groups = groups[part[0] :: part[1]]
        groups += [[]] * (most - len(groups))
        numbers, samples = (
            tf.data.Dataset.range(len(groups)),
            lambda n: list(map(EncodedSample.read, groups[n])),
        )
    lookup = dataset.label_map.lookup

    def load(number: np.int64) -> Arrays:
        batch = samples(int(number))
        if not batch:
            return np.zeros((1, 1, 1, 3), np.uint8), np.full((1, 1, 1), IGNORE, np.uint8)
        images, labels = _aligned_array(len(batch), *batch[0].size, 3), _aligned_array(len(batch), *batch[0].size)
        for i, sample in enumerate(batch):
            images[i], labels[i] = read_image(sample.image), lookup.take(sample.mask_values())
        return images, labels

    workers = min(workers or cpu_count(), _MAX_EVALUATION_THREADS)
    batches = _map(numbers, errors.track_calls(load), ((None, None, None, 3), (None, None, None)), workers)
    return Batches(_with_options(batches, workers), errors, stop)


def _groups_of_one_size(
    dataset: FileDataset, capacity: Callable[[tuple[int, int]], int]
) -> Iterator[list[ImageMaskPair]]:
    groups: dict[tuple[int, int], list[ImageMaskPair]] = {}
    for pair in dataset.pairs:
        assert pair.size  # it has been checked
        groups.setdefault(pair.size, []).append(pair)
    for size, group in groups.items():
        step = capacity(size)
        yield from (group[start : start + step] for start in range(0, len(group), step))


def _runs_of_one_size(
    samples: Iterator[EncodedSample], capacity: Callable[[tuple[int, int]], int]
) -> Iterator[list[EncodedSample]]:
    batch: list[EncodedSample] = []
    for sample in samples:
        if batch and (sample.size != batch[0].size or len(batch) == capacity(sample.size)):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def _aligned_array(*shape: int) -> Pixels:
    """An uninitialized array, aligned so that TensorFlow uses its memory without a copy."""
    size, alignment = math.prod(shape), 64
    memory = np.empty(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].reshape(shape)


def _map(
    numbers: tf.data.Dataset,
    load: Callable[[np.int64], Arrays],
    shapes: tuple[tuple[int | None, ...], tuple[int | None, ...]],
    workers: int,
) -> tf.data.Dataset:
    def call(number: Any) -> tuple[Any, Any]:
        images, labels = tf.numpy_function(load, [number], (tf.uint8, tf.uint8))
        return tf.ensure_shape(images, shapes[0]), tf.ensure_shape(labels, shapes[1])

    return numbers.map(call, num_parallel_calls=workers, deterministic=True)


def _with_options(batches: tf.data.Dataset, workers: int) -> tf.data.Dataset:
    options = tf.data.Options()
    # With autotune, releasing an iterator can block for as long as it was held; all numbers here are set by hand.
    options.autotune.enabled = False
    options.deterministic = True
    # a pool of its own, so that training steps and reading never wait for each other's threads
    options.threading.private_threadpool_size = workers
    # several hosts: each reads the stream and keeps its share; there are no files to distribute
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(_READY_BATCHES).with_options(options)
