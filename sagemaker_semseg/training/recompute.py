"""A forward pass that keeps the outputs of the residual blocks alone; the backward pass computes the rest once more."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from sagemaker_semseg.models.layers import keeping_statistics, layer_name


def recomputing(network: keras.Model) -> Callable[[Any], list[Any]]:
    """Return a function that computes ``network(images, training=True)``, with less memory for its gradient.

    The gradient runs the stem and each block forward a second time (Chen et al. 2016, arXiv:1604.06174), which leaves
    the moving statistics alone. Loss and gradients are the same, bit by bit. The decoder isn't run again: its dropout
    draws once.

    Example:
        logits, auxiliary = recomputing(network)(normalize(images))
    """
    stages = list(network.architecture.body.stages())
    ends = ["maxpool", *(f"{block.name}_relu" for blocks in stages for block in blocks)]
    tensors = [network.input, *(network.get_layer(layer_name(name)).output for name in ends)]
    parts = [keras.Model(x, y) for x, y in itertools.pairwise(tensors)]
    third = len(ends) - len(stages[3])
    decoder = keras.Model([network.input, tensors[third], tensors[-1]], network.outputs)

    def forward(images: Any) -> list[Any]:
        outputs = [images]
        for part in parts:
            outputs.append(_recomputed(part)(outputs[-1]))
        return decoder([images, outputs[third], outputs[-1]], training=True)

    return forward


def _recomputed(part: keras.Model) -> Callable[[Any], Any]:
    """Return the part as a function that the gradient calls again."""
    again = itertools.chain([False], itertools.repeat(True))

    def call(x: Any) -> Any:
        with keeping_statistics(next(again)):
            return part(x, training=True)

    return tf.recompute_grad(call)
