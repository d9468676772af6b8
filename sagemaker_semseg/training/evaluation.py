"""A network measured and used: whole images at their own size in, confusion counts or masks out.

``trainer`` calls ``Evaluator`` after every epoch, the command line for ``evaluate`` and ``predict``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.datasets import Dataset
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.memory import MAX_EVALUATION_PIXELS
from sagemaker_semseg.models.network import normalize
from sagemaker_semseg.training.pipeline import evaluation_batches


class Evaluator:
    """Runs the main head of a network over images of any size, on every device of a strategy."""

    def __init__(self, network: keras.Model, num_classes: int, strategy: tf.distribute.Strategy | None = None):
        self.num_classes = num_classes
        self.strategy = strategy or tf.distribute.get_strategy()
        main = keras.Model(network.inputs, network.outputs[0])
        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8), tf.TensorSpec((None, None, None), tf.uint8)]

        @tf.function(input_signature=signature[:1], jit_compile=False)
        def predict(images: Any) -> Any:
            logits = main(normalize(images, network.input.dtype), training=False)
            return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)

        @tf.function(reduce_retracing=True, jit_compile=False)
        def count(images: Any, labels: Any) -> Any:
            return self.strategy.reduce("SUM", self.strategy.run(self._count, args=(images, labels)), axis=None)

        self.predict_batch, self._predict, self._counts = predict, predict, count

    def _count(self, images: Any, labels: Any) -> Any:
        """Pixels of every (label, prediction), flat; ignored ones fall into a cell of their own, the last."""
        cells = tf.cast(labels, tf.int32) * self.num_classes + tf.cast(self._predict(images), tf.int32)
        cells = tf.where(labels == IGNORE, self.num_classes**2, cells)
        length = self.num_classes**2 + 1
        return tf.math.bincount(tf.reshape(cells, [-1]), minlength=length, maxlength=length)[:-1]

    def confusion(
        self,
        split: Dataset,
        batch_size: int,
        progress: Callable[[int], None] | None = None,
        *,
        pass_number: int = 0,
        halt: threading.Event | None = None,
    ) -> np.ndarray:
        """The confusion matrix over a whole split, (num_classes, num_classes) int64, every pixel counted.

        progress: called after each batch with the number of images in it. pass_number, halt: of a stream, which FIFO is
        read, and what ends it (``evaluation_batches``).
        """
        total = np.zeros(self.num_classes**2, np.int64)
        replicas = self.strategy.num_replicas_in_sync
        batches = evaluation_batches(
            split, batch_size, max_pixels=MAX_EVALUATION_PIXELS * replicas, pass_number=pass_number, halt=halt
        )
        for images, labels, count in self._shares(batches):
            total += np.asarray(self._counts(images, labels), np.int64)
            if progress:
                progress(count)
        return total.reshape(self.num_classes, self.num_classes)

    def _shares(self, batches: tf.data.Dataset) -> Iterator[tuple[Any, Any, int]]:
        """Batches, one share for each replica, filled up with ignored images; and the images in each."""
        replicas = self.strategy.num_replicas_in_sync
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
                lambda context, parts=parts: parts[context.replica_id_in_sync_group]
            )
            yield images, labels, count

    def predict(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8 labels."""
        return np.asarray(self.predict_batch(image[None]))[0]
