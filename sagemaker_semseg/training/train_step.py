"""One training step on every replica."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from sagemaker_semseg.models.network import normalize
from sagemaker_semseg.training.losses import Loss, dice_loss
from sagemaker_semseg.training.recompute import recomputing
from sagemaker_semseg.training.weight_average import STATISTICS, WeightAverage


def make_train_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    loss: Loss,
    *,
    recompute: bool = False,
) -> Callable[..., Any]:
    """Make a function of uint8 images (N, H, W, 3) and labels (N, H, W) that makes one update and returns the loss.

    More arguments, scalars of each replica, are summed over all of them, and returned after the loss in one vector.

    The loss is the mean over the valid pixels of the global batch: their number is summed over the replicas before any
    of them divides. Each replica then holds its part of that mean; the optimizer sums the gradients of the parts. The
    Dice term is the mean of the replicas' own. The network's ``trainable_variables`` of now are updated.
    recompute: see ``recomputing``.
    """
    variables = network.trainable_variables
    forward = recomputing(network) if recompute else functools.partial(network, training=True)

    def replica_step(images: Any, labels: Any, *flags: Any) -> Any:
        with tf.GradientTape() as tape:
            logits, auxiliary = forward(normalize(images, network.input.dtype))
            total, weight = loss.sums(logits, auxiliary, labels)
            weight = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, weight)
            part = tf.math.divide_no_nan(total, tf.stop_gradient(weight))  # nothing valid: nothing to learn
            if loss.dice_weight:
                part += loss.dice_weight / strategy.num_replicas_in_sync * dice_loss(logits, labels)
            objective = optimizer.scale_loss(part)
        optimizer.apply(tape.gradient(objective, variables), variables)
        return tf.stack([part, *(tf.cast(flag, part.dtype) for flag in flags)]) if flags else part

    # XLA compiles for minutes and is no faster on a CPU; with several replicas it fails.
    @tf.function(jit_compile=False, autograph=False)
    def step(images: Any, labels: Any, *flags: Any) -> Any:
        return strategy.reduce("SUM", strategy.run(replica_step, args=(images, labels, *flags)), axis=None)

    return step


def make_averaging(
    network: keras.Model, strategy: tf.distribute.Strategy, average: WeightAverage | None = None
) -> Callable[[], None]:
    """Make a function that sets each moving statistic, and its ``average``, to its mean over the replicas.

    Without ``syncbn`` every replica collects those of its own images. The mean of the averages is the average of the
    means, so it doesn't matter how often they are averaged.
    """
    variables = [variable.value for variable in network.variables if variable.name in STATISTICS]
    variables += average.statistics if average else []
    if strategy.num_replicas_in_sync == 1:
        return lambda: None

    def average_replica() -> None:
        means = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN, [tf.identity(variable) for variable in variables]
        )
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)

    return tf.function(lambda: strategy.run(average_replica), jit_compile=False, autograph=False)
