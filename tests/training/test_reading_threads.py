"""Python functions in tf.data's threads: their exceptions, and one iterator for several threads."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.training.reading_threads import ReadErrors, SequentialSource


def test_the_exception_of_the_first_element_is_kept() -> None:
    """Those of later elements, which other threads read meanwhile, may be raised before it."""
    errors, later = ReadErrors(), threading.Event()

    def fail(number: np.int64) -> np.int64:
        if number == 2:
            later.wait(600)
        if number == 3:
            later.set()
        if number >= 2:
            raise FileNotFoundError(2, "gone", f"{number}.png")
        return number

    numbers = tf.data.Dataset.range(8).map(
        lambda number: tf.numpy_function(errors.track_calls(fail), [number], tf.int64), num_parallel_calls=4
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = 4  # where there is one core, too
    numbers = numbers.with_options(options)
    found = []
    with pytest.raises(tf.errors.OpError) as caught:
        found.extend(int(number) for number in numbers)
    assert found == [0, 1]
    original = errors.original(caught.value)
    assert isinstance(original, FileNotFoundError)
    assert original.filename == "2.png"
    errors.clear()
    assert errors.original(caught.value) is caught.value


def test_one_iterator_for_several_threads() -> None:
    source = SequentialSource(iter("abcde"), ReadErrors())
    taken = [source.take(int(number)) for number in source.numbers(tf.data.Dataset.range(3, 100))]
    assert taken == list("abcde")


def test_items_that_were_taken_are_released() -> None:
    class Item:
        pass

    source = SequentialSource((Item() for _ in range(2)), ReadErrors())
    numbers = iter(source.numbers(tf.data.Dataset.range(9)))
    item = weakref.ref(source.take(int(next(numbers))))
    assert item() is None
