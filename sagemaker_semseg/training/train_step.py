"""One training step on every replica: a global batch in, its loss out, the weights updated.

``trainer`` makes the step once and calls it for every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.models.network import normalize
from sagemaker_semseg.training.losses import cross_entropy_sums


def make_train_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    aux_weight: float,
    class_weights: np.ndarray | None,
) -> Callable[[Any, Any], Any]:
    """A function of uint8 images (N, H, W, 3) and labels (N, H, W) that makes one update and returns the loss.

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
