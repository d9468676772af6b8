"""The segmentation loss and one training step on every replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.models.network import normalize


def cross_entropy_sums(
    logits: Any, auxiliary: Any, labels: Any, aux_weight: float, class_weights: Any
) -> tuple[Any, Any]:
    """Sum the loss and the weights of the valid pixels; their quotient is the loss.

    Sums and not means, so that the valid pixels of all replicas are counted before the division: a replica whose crops
    are mostly padding must not weigh as much as the others. Computed in float32 at least, since softmax in half
    precision loses small probabilities.

    Args:
        logits: (N, H, W, C) float, of the main head.
        auxiliary: (N, H, W, C) float, of the auxiliary head.
        labels: (N, H, W) integers, 255 = ignored.
        aux_weight: The loss of a pixel is CE(main) + aux_weight * CE(auxiliary), times its class weight.
        class_weights: (C,) float, or None: 1 for each class.
    """
    valid = tf.not_equal(labels, IGNORE)
    targets = tf.where(valid, tf.cast(labels, tf.int32), 0)
    weights = tf.cast(valid, logits.dtype)
    if class_weights is not None:
        weights *= tf.gather(tf.cast(class_weights, logits.dtype), targets)
    pixels = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    if aux_weight:
        pixels += aux_weight * tf.nn.sparse_softmax_cross_entropy_with_logits(targets, auxiliary)
    return tf.reduce_sum(pixels * weights), tf.reduce_sum(weights)


def make_train_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    aux_weight: float,
    class_weights: np.ndarray | None,
) -> Callable[[Any, Any], Any]:
    """Make a function of uint8 images (N, H, W, 3) and labels (N, H, W) that makes one update and returns the loss.

    The loss is the mean over the valid pixels of the global batch: their number is summed over the replicas before any
    of them divides. Each replica then holds its part of that mean; the optimizer sums the gradients of the parts.
    """
    variables = network.trainable_variables

    def replica_step(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits, auxiliary = network(normalize(images, network.input.dtype), training=True)
            loss, weight = cross_entropy_sums(logits, auxiliary, labels, aux_weight, class_weights)
            weight = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, weight)
            part = tf.math.divide_no_nan(loss, tf.stop_gradient(weight))  # nothing valid: nothing to learn
            objective = optimizer.scale_loss(part)
        optimizer.apply(tape.gradient(objective, variables), variables)
        return part

    # XLA compiles for minutes and is no faster on a CPU; with several replicas it fails.
    @tf.function(jit_compile=False)
    def step(images: Any, labels: Any) -> Any:
        return strategy.reduce("SUM", strategy.run(replica_step, args=(images, labels)), axis=None)

    return step
