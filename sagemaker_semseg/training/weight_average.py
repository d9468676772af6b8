"""An exponential moving average of a network's weights, and training with a part of them frozen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from sagemaker_semseg.architectures import is_decoder
from sagemaker_semseg.models.weights import named_variables

STATISTICS = ("moving_mean", "moving_variance")
"""The names of batch normalization's moving statistics."""


class WeightAverage:
    """An exponential moving average of all weights, the statistics of batch normalization included.

    After update t, counted from 0: average = d * average + (1 - d) * weight with d = min(decay, (1 + t) / (10 + t)), as
    TensorFlow's ExponentialMovingAverage has it: the average follows closely while it holds little.

    Args:
        network: A network of ``build_network``; the average starts from its weights.
        decay: From 0 to 1, such as 0.999.
        strategy: Whose replicas hold the network.

    Attributes:
        variables: The averages by structural name.
        statistics: Those of batch normalization's moving statistics, which differ between replicas.
    """

    def __init__(self, network: keras.Model, decay: float, strategy: tf.distribute.Strategy):
        weights = dict(named_variables(network))
        with strategy.scope():
            self.variables = {
                name: tf.Variable(tf.convert_to_tensor(variable), trainable=False) for name, variable in weights.items()
            }
        pairs = [(self.variables[name], variable.value) for name, variable in weights.items()]
        self._weights = list(weights.values())
        self.statistics = [self.variables[name] for name, weight in weights.items() if weight.name in STATISTICS]

        @tf.function(jit_compile=False, autograph=False)
        def add(share: tf.Tensor) -> None:
            for average, weight in pairs:
                average.assign_add(tf.cast(share, average.dtype) * (weight - average))

        self._decay, self._add = decay, add

    def update(self, number: int) -> None:
        """Add the weights after update ``number``, counted from 0."""
        self._add(tf.constant(1 - min(self._decay, (1 + number) / (10 + number)), tf.float64))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the network, and the weights back at the end."""
        kept = [tf.identity(weight.value) for weight in self._weights]
        try:
            for weight, average in zip(self._weights, self.variables.values(), strict=True):
                weight.assign(average)
            yield
        finally:
            for weight, value in zip(self._weights, kept, strict=True):
                weight.assign(value)


def freeze_backbone(network: keras.Model, *, batch_norm: bool, others: bool) -> None:
    """Choose whether steps that are traced from now on leave the backbone's weights as they are.

    batch_norm: of its batch normalizations, which then take their running statistics, as in inference. others: of the
    convolutions.
    """
    for layer in network.layers:
        if layer.weights and not is_decoder(layer.name.replace("_", ".")):
            layer.trainable = not (batch_norm if isinstance(layer, keras.layers.BatchNormalization) else others)
