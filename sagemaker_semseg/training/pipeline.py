"""Batches for training and for evaluation.

In: a ``Split`` (files that were checked) and hyperparameters. Out: ``tf.data.Dataset``s of images and labels, both
uint8; normalisation is the network's first step. Called by ``trainer`` and ``evaluation``.

The training stream is endless and one: position p belongs to pass p // N over the N samples, in which every sample is
visited once in an order of its own. Batches take it B positions at a time across the ends of passes, so none is ragged
and no sample is left out. What stands at a position depends on nothing but the seed: reading may start anywhere.

The work is done by decoders and numpy in the threads of tf.data, which leave each other the interpreter meanwhile.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.order import order
from sagemaker_semseg.training import pairs
from sagemaker_semseg.training.augment import draw_cut
from sagemaker_semseg.training.farewell import watched
from sagemaker_semseg.training.resample import Pixels
from sagemaker_semseg.training.window import read_image, read_mask

if TYPE_CHECKING:
    from sagemaker_semseg.data.samples import Sample, Split
    from sagemaker_semseg.hyperparameters import Hyperparameters

Pair = tuple[Pixels, Pixels]

_FOR_EVER: Final = 1 << 40  # steps
_READY_BATCHES: Final = 2
_LARGEST_CHUNK: Final = 8  # samples in one call from TensorFlow to Python, which costs as much as a tenth of a sample
_MOST_EVALUATION_THREADS: Final = 4


def training_batches(
    split: Split, hp: Hyperparameters, *, start_step: int = 0, stop_step: int | None = None, workers: int | None = None
) -> tf.data.Dataset:
    """Batches of an endless stream: images (B, crop, crop, 3) uint8 RGB and labels (B, crop, crop) uint8, 255 = ignore.

    B is ``hp.mini_batch_size``, the global batch; crop is ``hp.padded_crop_size``. ``start_step`` counts batches: the
    dataset begins with the batch that a run from 0 would give after that many. Before ``stop_step`` it ends, and what
    lies beyond isn't read ahead. workers: threads; None takes one for each CPU that this process may use. The batches
    are the same for any number of workers.
    A file that can't be read any more raises ``tf.errors.OpError``, whose message names it.
    """
    samples = split.samples
    if not samples:
        raise ValueError("no samples to train on")
    count, batch, crop, lookup = len(samples), hp.mini_batch_size, hp.padded_crop_size, split.labels.lookup
    chunk = max(size for size in range(1, _LARGEST_CHUNK + 1) if batch % size == 0)
    order_of = lru_cache(maxsize=4)(lambda pass_number: order(hp.seed, pass_number, count))

    def visit(position: int, image: Pixels, labels: Pixels) -> None:
        pass_number, place = divmod(position, count)
        sources = pairs.of_sample(samples[int(order_of(pass_number)[place])])
        cut = draw_cut(hp.seed, pass_number, place, *sources[0].header.displayed, hp.base_size, crop)
        cut.image(read_image(sources[0], cut.rows.span, cut.columns.span), image)
        cut.mask(read_mask(sources[1], cut.rows.span[1]), lookup, labels)

    def load(number: np.int64) -> Pair:
        images, labels = _array(chunk, crop, crop, 3), _array(chunk, crop, crop)
        for place in range(chunk):
            visit(int(number) * chunk + place, images[place], labels[place])
        return images, labels

    workers = workers or _usable_cpus()
    first, end = (step * (batch // chunk) for step in (start_step, stop_step or _FOR_EVER))
    numbers = tf.data.Dataset.range(first, end)
    chunks = _mapped(numbers, load, ((chunk, crop, crop, 3), (chunk, crop, crop)), workers)
    if chunk < batch:
        chunks = chunks.batch(batch // chunk, drop_remainder=True).map(
            lambda images, labels: (tf.reshape(images, (batch, crop, crop, 3)), tf.reshape(labels, (batch, crop, crop)))
        )
    return _finished(chunks, workers)


def evaluation_batches(
    split: Split, batch_size: int, *, max_pixels: int | None = None, workers: int | None = None
) -> tf.data.Dataset:
    """Every sample once at its native size: images (b, H, W, 3) uint8 RGB and labels (b, H, W) uint8, 255 = ignore.

    A batch holds up to ``batch_size`` samples of equal size, and fewer where together they would have more than
    ``max_pixels`` pixels. Sizes come in the order in which they first occur, the samples of one size in the order of
    the split.
    """
    groups: dict[tuple[int, int], list[Sample]] = {}
    for sample in split.samples:
        groups.setdefault((sample.height, sample.width), []).append(sample)
    batches = []
    for (height, width), group in groups.items():
        most = min(batch_size, max_pixels // (height * width)) if max_pixels else batch_size
        batches += [group[start : start + max(most, 1)] for start in range(0, len(group), max(most, 1))]
    lookup = split.labels.lookup

    def load(number: np.int64) -> Pair:
        batch = batches[int(number)]
        size = len(batch), batch[0].height, batch[0].width
        images, labels = _array(*size, 3), _array(*size)
        for place, sample in enumerate(batch):
            image, mask = pairs.of_sample(sample)
            images[place], labels[place] = read_image(image), lookup.take(read_mask(mask))
        return images, labels

    # whole batches of whole pictures are large: few at a time
    workers = min(workers or _usable_cpus(), _MOST_EVALUATION_THREADS)
    numbers = tf.data.Dataset.range(len(batches))
    return _finished(_mapped(numbers, load, ((None, None, None, 3), (None, None, None)), workers), workers)


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
    load = watched(load)

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


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
