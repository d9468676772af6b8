"""Evaluates a network on whole images at their native size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.datasets import Dataset
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.pipe_mode import Cancelled
from sagemaker_semseg.memory import MAX_EVALUATION_PIXELS
from sagemaker_semseg.models.network import normalize
from sagemaker_semseg.training.hosts import Hosts
from sagemaker_semseg.training.pipeline import Batches, evaluation_batches


class Evaluator:
    """Runs the main head of a network on images of any size, on every device of a strategy.

    Args:
        network: Its outputs are the logits of the main and the auxiliary head.
        num_classes: The number of classes.
        strategy: None: the current one.
    """

    def __init__(self, network: keras.Model, num_classes: int, strategy: tf.distribute.Strategy | None = None):
        self.num_classes = num_classes
        self.strategy = strategy or tf.distribute.get_strategy()
        self.hosts = Hosts(self.strategy)
        main = keras.Model(network.inputs, network.outputs[0])

        @tf.function(
            input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)], jit_compile=False, autograph=False
        )
        def predict(images: Any) -> Any:
            logits = main(normalize(images, network.input.dtype), training=False)
            finite = tf.math.is_finite(tf.reduce_sum(logits))  # one sum has every NaN and infinity
            return tf.argmax(logits, axis=-1, output_type=tf.int32), finite

        def predict_of_replica(images: Any) -> Any:
            logits = main(normalize(images, network.input.dtype), training=False)
            probabilities = tf.exp(tf.reduce_max(logits, axis=-1) - tf.reduce_logsumexp(logits, axis=-1))
            return tf.argmax(logits, axis=-1, output_type=tf.int32), probabilities

        @tf.function(reduce_retracing=True, jit_compile=False, autograph=False)
        def predictions(images: Any) -> Any:
            return self.strategy.run(predict_of_replica, args=(images,))

        def count_of_replica(images: Any, labels: Any, stop: Any) -> Any:
            predicted, finite = predict(images)
            cells = tf.cast(labels, tf.int32) * num_classes + predicted
            cells = tf.where(labels == IGNORE, num_classes**2, cells)  # a cell of their own, which is cut off
            length = num_classes**2 + 1
            counts = tf.math.bincount(tf.reshape(cells, [-1]), minlength=length, maxlength=length)[:-1]
            return tf.concat([counts, [tf.cast(finite, tf.int32), stop]], 0)

        @tf.function(reduce_retracing=True, jit_compile=False, autograph=False)
        def count(images: Any, labels: Any, stop: Any) -> Any:
            counts = self.strategy.run(count_of_replica, args=(images, labels, stop))
            return self.strategy.reduce("SUM", counts, axis=None)

        self._count, self._predictions = count, predictions

    def confusion(
        self,
        dataset: Dataset,
        batch_size: int,
        progress: Callable[[int], None] | None = None,
        *,
        epoch: int = 0,
        stop: threading.Event | None = None,
    ) -> np.ndarray:
        """Count the pixels of each label and prediction over a whole data set.

        Args:
            dataset: Files or a pipe.
            batch_size: Images in a batch, at most.
            progress: Is called after each batch with the number of images in it.
            epoch: The number of the pipe's FIFO.
            stop: Ends the evaluation once it is set.

        Returns:
            (num_classes, num_classes) int64: rows are labels, columns predictions. Ignored pixels don't count.

        Raises:
            DataError: A sample can't be read.
            OSError: A file can't be read.
            Cancelled: ``stop`` was set.
            FloatingPointError: In every batch there are logits that aren't finite: the network predicts nothing.
        """
        total = np.zeros(self.num_classes**2 + 1, np.int64)  # the last one: batches with finite logits
        max_pixels = MAX_EVALUATION_PIXELS * self.hosts.local_replicas
        part = self.hosts.rank, self.hosts.count
        batches = evaluation_batches(dataset, batch_size, max_pixels=max_pixels, epoch=epoch, stop=stop, part=part)
        waiting = None
        for images, labels, count in self._split(batches):
            stops = tf.constant(bool(stop and stop.is_set()), tf.int32)
            previous, waiting = waiting, self._count(images, labels, stops)
            total += _counted(previous)  # one batch late, so that a GPU always has work
            if progress:
                progress(count)
        total += _counted(waiting)
        if total[:-1].any() and not total[-1]:
            raise FloatingPointError("the logits are NaN or infinite")
        return total[:-1].reshape(self.num_classes, self.num_classes)

    def predictions(self, dataset: Dataset, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield for each image its labels, the predicted ones, and their probabilities.

        Args:
            dataset: Files.
            batch_size: Images in a batch, at most.

        Returns:
            Three arrays (H, W) at a time: uint8 with 255 = ignored, uint8, float32. Raises as ``confusion`` does.
        """
        max_pixels = MAX_EVALUATION_PIXELS * self.strategy.num_replicas_in_sync
        for images, labels, count in self._split(evaluation_batches(dataset, batch_size, max_pixels=max_pixels)):
            found = (labels, *self._predictions(images))
            truth, predicted, probabilities = (
                np.concatenate([part.numpy() for part in self.strategy.experimental_local_results(parts)])[:count]
                for parts in found
            )
            yield from zip(truth, predicted.astype(np.uint8), probabilities, strict=True)

    def _split(self, batches: Batches) -> Iterator[tuple[Any, Any, int]]:
        """Split batches among the replicas, padded with ignored images; and count the images in each batch."""
        replicas = self.hosts.local_replicas
        for images, labels in batches:
            count = int(images.shape[0])
            missing = -count % replicas
            if replicas == 1:
                yield images, labels, count
                continue
            images = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
            labels = tf.pad(labels, [[0, missing], [0, 0], [0, 0]], constant_values=IGNORE)
            parts = list(zip(tf.split(images, replicas), tf.split(labels, replicas), strict=True))
            images, labels = self.strategy.experimental_distribute_values_from_function(
                lambda context, parts=parts: parts[context.replica_id_in_sync_group % replicas]
            )
            yield images, labels, count


def _counted(counts: Any) -> np.ndarray:
    """Return the counts of a batch, 0 without one. Raises ``Cancelled`` if a host was asked to stop."""
    if counts is None:
        return np.zeros(1, np.int64)
    *cells, stops = np.asarray(counts, np.int64)
    if stops:
        raise Cancelled
    return np.array(cells)
