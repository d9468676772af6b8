"""Pipe mode with real FIFOs and a real process at the other end: the batches of files, errors by number, no waiting."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.data.channels import Pair
from sagemaker_semseg.data.fifo import Waiting
from sagemaker_semseg.data.player import Programme, playing
from sagemaker_semseg.data.samples import Channels
from sagemaker_semseg.data.stream import Streams, pipe_splits
from sagemaker_semseg.training.pipeline import evaluation_batches, training_batches

SEED = 3  # that of ``make_hp``
Played = Callable[..., Streams]


def pairs_of(channels: Channels, split: str) -> list[Pair]:
    return [Pair(sample.name, sample.image, sample.mask) for sample in getattr(channels, split).samples]


@pytest.fixture
def played(tiny_channels: Channels) -> Iterator[Played]:
    """Plays ``tiny_channels``; a test closes what it has opened by ending."""
    with contextlib.ExitStack() as stack:

        def play(first_pass: int = 0, count: int = 7, **changes: object) -> Streams:
            programmes = [
                Programme("train", pairs_of(tiny_channels, "train"), SEED, first_pass),
                Programme("validation", pairs_of(tiny_channels, "validation")),
            ]
            player = stack.enter_context(playing(programmes))
            waiting = Waiting(watch=player.check, patience=60)
            return Streams(**pipe_splits(player.folder, 2, count, waiting=waiting))

        yield play


def taken(dataset: tf.data.Dataset, count: int = 99) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(images.numpy(), labels.numpy()) for images, labels in dataset.take(count)]


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
        halt = threading.Event()
        batches = training_batches(played().train, hp, stop_step=stop, workers=workers, halt=halt)
        assert equal(expected, taken(batches))
    assert len(expected) == stop


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
        assert equal(expected, taken(evaluation_batches(stream, batch, max_pixels=5000, pass_number=number)))
