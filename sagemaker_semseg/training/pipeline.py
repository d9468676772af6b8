"""Batches for training and for evaluation.

In: a ``Split`` (files that were checked) or a ``PipeSplit`` (FIFOs) and hyperparameters. Out: ``tf.data.Dataset``s of
images and labels, both uint8; normalisation is the network's first step. Called by ``trainer`` and ``evaluation``.

The training stream is endless and one: position p belongs to pass p // N over the N samples, in which every sample is
visited once in an order of its own. Batches take it B positions at a time across the ends of passes, so none is ragged
and no sample is left out. What becomes of a sample depends on the seed, the pass and the place in it alone: reading may
start anywhere, and a pipe that sends the samples in that order gives the batches that the files give.

The work is done by decoders and numpy in the threads of tf.data, which leave each other the interpreter meanwhile.
"""

from __future__ import annotations

import atexit
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.pipe_mode import PipeDataset
from sagemaker_semseg.data.samples import EncodedSample, shuffled_order
from sagemaker_semseg.environment import cpu_count
from sagemaker_semseg.training.augment import sample_crop
from sagemaker_semseg.training.partial_decode import read_image
from sagemaker_semseg.training.resample import Pixels
from sagemaker_semseg.training.sequential_source import SequentialSource
from sagemaker_semseg.training.shutdown import track_calls

if TYPE_CHECKING:
    from sagemaker_semseg.data.datasets import Dataset, FileDataset
    from sagemaker_semseg.data.samples import ImageMaskPair
    from sagemaker_semseg.hyperparameters import Hyperparameters

Pair = tuple[Pixels, Pixels]
Visits = Callable[[int], Iterable[EncodedSample]]
Most = Callable[[tuple[int, int]], int]

_FOR_EVER: Final = 1 << 40  # steps
_READY_BATCHES: Final = 2
_LARGEST_CHUNK: Final = 8  # samples in one call from TensorFlow to Python, which costs as much as a tenth of a sample
_MOST_EVALUATION_THREADS: Final = 4


def training_batches(
    split: Dataset,
    hp: Hyperparameters,
    *,
    start_step: int = 0,
    stop_step: int | None = None,
    workers: int | None = None,
    halt: threading.Event | None = None,
) -> tf.data.Dataset:
    """Batches of an endless stream: images (B, crop, crop, 3) uint8 RGB and labels (B, crop, crop) uint8, 255 = ignore.

    B is ``hp.mini_batch_size``, the global batch; crop is ``hp.padded_crop_size``. ``start_step`` counts batches: the
    dataset begins with the batch that a run from 0 would give after that many. Before ``stop_step`` it ends, and what
    lies beyond isn't read ahead. workers: threads; None takes one for each CPU that this process may use. The batches
    are the same for any number of workers.

    A ``PipeSplit`` can be gone through once. Its FIFO 0 has to bring the pass in which ``start_step`` lies, as its
    ``first_pass`` says. halt: ends the reading of FIFOs once it is set.

    What can't be read, or not any more, raises ``tf.errors.OpError``, whose message names it.
    """
    batch, crop, lookup = hp.mini_batch_size, hp.padded_crop_size, split.label_map.lookup
    chunk = max(size for size in range(1, _LARGEST_CHUNK + 1) if batch % size == 0)
    first, end = (step * (batch // chunk) for step in (start_step, stop_step or _FOR_EVER))
    numbers = tf.data.Dataset.range(first, end)
    if isinstance(split, PipeDataset):
        numbers, visits = _chunks_of_pipe(split, chunk, first * chunk, numbers, halt)
    else:
        visits = _chunks_of_files(split, chunk, hp.seed)

    def load(number: np.int64) -> Pair:
        images, labels = _array(chunk, crop, crop, 3), _array(chunk, crop, crop)
        for at, visit in enumerate(visits(int(number))):
            cut = sample_crop(hp.seed, visit.epoch, visit.index, *visit.size, hp.base_size, crop)
            cut.image(read_image(visit.image, cut.rows.span, cut.columns.span), images[at])
            cut.mask(visit.mask_values(cut.rows.span[1]), lookup, labels[at])
        return images, labels

    workers = workers or cpu_count()
    chunks = _mapped(numbers, load, ((chunk, crop, crop, 3), (chunk, crop, crop)), workers)
    if chunk < batch:
        chunks = chunks.batch(batch // chunk, drop_remainder=True).map(
            lambda images, labels: (tf.reshape(images, (batch, crop, crop, 3)), tf.reshape(labels, (batch, crop, crop)))
        )
    return _finished(chunks, workers)


def _chunks_of_files(split: FileDataset, chunk: int, seed: int) -> Visits:
    pairs, count = split.pairs, split.count
    if not count:
        raise ValueError("no samples to train on")
    order_of = lru_cache(maxsize=4)(lambda pass_number: shuffled_order(seed, pass_number, count))

    def visits(number: int) -> Iterator[EncodedSample]:
        for position in range(number * chunk, (number + 1) * chunk):
            pass_number, place = divmod(position, count)
            yield EncodedSample.read(pairs[int(order_of(pass_number)[place])], pass_number, place)

    return visits


def _chunks_of_pipe(
    split: PipeDataset, chunk: int, start: int, numbers: tf.data.Dataset, halt: threading.Event | None
) -> tuple[tf.data.Dataset, Visits]:
    """start: the position of the first sample that is wanted."""
    if not split.count:
        raise ValueError("the length of a pass is unknown")
    first_pass, skip = divmod(start, split.count)
    samples = split.read_epochs(skip, _until_exit(halt))
    turns = SequentialSource(iter(lambda: list(itertools.islice(samples, chunk)), []))
    return turns.numbers(numbers), lambda number: (
        replace(sample, epoch=first_pass + sample.epoch) for sample in turns.take(number)
    )


def evaluation_batches(
    split: Dataset,
    batch_size: int,
    *,
    max_pixels: int | None = None,
    workers: int | None = None,
    pass_number: int = 0,
    halt: threading.Event | None = None,
) -> tf.data.Dataset:
    """Every sample once at its native size: images (b, H, W, 3) uint8 RGB and labels (b, H, W) uint8, 255 = ignore.

    A batch holds up to ``batch_size`` samples of equal size, and fewer where together they would have more than
    ``max_pixels`` pixels. Sizes come in the order in which they first occur, the samples of one size in the order of
    the split. Of a ``PipeSplit``, FIFO ``pass_number`` is read, and samples share a batch that follow each other; halt
    ends the reading once it is set.
    """

    def most(size: tuple[int, int]) -> int:
        return max(1, min(batch_size, max_pixels // math.prod(size)) if max_pixels else batch_size)

    if isinstance(split, PipeDataset):
        turns = SequentialSource(_runs(split, pass_number, most, _until_exit(halt)))
        numbers, visits = turns.numbers(tf.data.Dataset.range(_FOR_EVER)), turns.take
    else:
        groups = list(_groups(split, most))
        numbers, visits = (
            tf.data.Dataset.range(len(groups)),
            lambda number: list(map(EncodedSample.read, groups[number])),
        )
    lookup = split.label_map.lookup

    def load(number: np.int64) -> Pair:
        batch = visits(int(number))
        images, labels = _array(len(batch), *batch[0].size, 3), _array(len(batch), *batch[0].size)
        for place, visit in enumerate(batch):
            images[place], labels[place] = read_image(visit.image), lookup.take(visit.mask_values())
        return images, labels

    # whole batches of whole pictures are large: few at a time
    workers = min(workers or cpu_count(), _MOST_EVALUATION_THREADS)
    return _finished(_mapped(numbers, load, ((None, None, None, 3), (None, None, None)), workers), workers)


def _groups(split: FileDataset, most: Most) -> Iterator[list[ImageMaskPair]]:
    """Samples of one size, as many as fit into a batch."""
    groups: dict[tuple[int, int], list[ImageMaskPair]] = {}
    for pair in split.pairs:
        assert pair.size  # it has been checked
        groups.setdefault(pair.size, []).append(pair)
    for size, group in groups.items():
        yield from (group[start : start + most(size)] for start in range(0, len(group), most(size)))


def _runs(split: PipeDataset, pass_number: int, most: Most, halt: threading.Event) -> Iterator[list[EncodedSample]]:
    """Consecutive pairs of one size, as many as fit into a batch."""
    batch: list[EncodedSample] = []
    for visit in split.read_epoch(pass_number, halt):
        if batch and (visit.size != batch[0].size or len(batch) == most(visit.size)):
            yield batch
            batch = []
        batch.append(visit)
    if batch:
        yield batch


def _until_exit(halt: threading.Event | None) -> threading.Event:
    """``halt``, or a new one, that the program's end sets: it would wait for what waits for a sender (``farewell``)."""
    halt = halt or threading.Event()
    atexit.register(halt.set)
    return halt


def _array(*shape: int) -> Pixels:
    """An uninitialised array, aligned so that TensorFlow takes it over without copying it."""
    size, alignment = math.prod(shape), 64
    memory = np.empty(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].reshape(shape)


def _mapped(
    numbers: tf.data.Dataset,
    load: Callable[[np.int64], Pair],
    shapes: tuple[tuple[int | None, ...], tuple[int | None, ...]],
    workers: int,
) -> tf.data.Dataset:
    load = track_calls(load)

    def call(number: Any) -> tuple[Any, Any]:
        image, labels = tf.numpy_function(load, [number], (tf.uint8, tf.uint8))
        return tf.ensure_shape(image, shapes[0]), tf.ensure_shape(labels, shapes[1])

    return numbers.map(call, num_parallel_calls=workers, deterministic=True)


def _finished(batches: tf.data.Dataset, workers: int) -> tf.data.Dataset:
    options = tf.data.Options()
    # With autotune, releasing an iterator can block for as long as it was held; all numbers here are set by hand.
    options.autotune.enabled = False
    options.deterministic = True
    # a pool apart, so that a training step and the reading never wait for each other's threads
    options.threading.private_threadpool_size = workers
    # several hosts: each reads the stream and keeps its share; there are no files that could be dealt out
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(_READY_BATCHES).with_options(options)
