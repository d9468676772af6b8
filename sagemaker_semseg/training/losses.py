"""The segmentation loss: logits of both heads and labels in, sums over valid pixels out.

Sums and not means, so that the caller can count the valid pixels of all replicas before it divides: a replica whose
crops are mostly padding must not weigh as much as the others. Called by ``trainer``'s step.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from sagemaker_semseg.data.labels import IGNORE


def cross_entropy_sums(
    logits: Any, auxiliary: Any, labels: Any, aux_weight: float, class_weights: Any
) -> tuple[Any, Any]:
    """The summed loss and the summed weight of the valid pixels; their quotient is the loss.

    logits, auxiliary: (N, H, W, C) float. labels: (N, H, W) integers, 255 = ignored. class_weights: (C,) float or None.
    The loss of a pixel is CE(main) + aux_weight * CE(aux), times its label's class weight; its weight is that class
    weight, or 1. Computed in float32 at least (softmax in half precision loses small probabilities).
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
