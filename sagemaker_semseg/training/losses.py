"""The segmentation loss: cross entropy of the valid pixels, and the terms that hyperparameters add to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.hyperparameters import Hyperparameters


@dataclass(frozen=True)
class Loss:
    """The settings of the loss.

    The loss of a pixel is CE(main) + aux_weight * CE(auxiliary), times the weight of its class.

    Attributes:
        aux_weight: Of the auxiliary head.
        class_weights: (C,) float32, or None: 1 for each class.
        ohem_fraction: The share of the valid pixels of a replica that count, those with the largest loss: online hard
            example mining (Shrivastava et al. 2016, arXiv:1604.03540, for pixels).
        dice_weight: Of 1 - the mean Dice coefficient, which is added to the mean over the pixels (``dice_loss``).
        focal_gamma: CE is multiplied by (1 - p)^gamma, p = probability of the label (Lin et al. 2017,
            arXiv:1708.02002, eq. 4).
        label_smoothing: The label's share in CE is 1 - this; the rest is spread evenly over all classes
            (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    """

    aux_weight: float = 0.5
    class_weights: np.ndarray | None = None
    ohem_fraction: float = 1.0
    dice_weight: float = 0.0
    focal_gamma: float = 0.0
    label_smoothing: float = 0.0

    @classmethod
    def of(cls, hp: Hyperparameters, class_weights: np.ndarray | None) -> Loss:
        """Take the settings from hyperparameters."""
        return cls(hp.aux_weight, class_weights, hp.ohem_fraction, hp.dice_weight, hp.focal_gamma, hp.label_smoothing)

    def sums(self, logits: Any, auxiliary: Any, labels: Any) -> tuple[Any, Any]:
        """Sum the loss and the weights of the valid pixels; their quotient is the loss without the Dice term.

        Sums and not means, so that the valid pixels of all replicas are counted before the division: a replica whose
        crops are mostly padding must not weigh as much as the others. Computed in float32 at least, since softmax in
        half precision loses small probabilities.

        Args:
            logits: (N, H, W, C) float, of the main head.
            auxiliary: (N, H, W, C) float, of the auxiliary head.
            labels: (N, H, W) integers, 255 = ignored.
        """
        valid = tf.not_equal(labels, IGNORE)
        targets = tf.where(valid, tf.cast(labels, tf.int32), 0)
        weights = tf.cast(valid, logits.dtype)
        if self.class_weights is not None:
            weights *= tf.gather(tf.cast(self.class_weights, logits.dtype), targets)
        pixels = self._of_pixels(targets, logits)
        if self.aux_weight:
            pixels += self.aux_weight * self._of_pixels(targets, auxiliary)
        if self.ohem_fraction < 1:
            weights *= tf.cast(self._hardest(pixels, valid), logits.dtype)
        return tf.reduce_sum(pixels * weights), tf.reduce_sum(weights)

    def _of_pixels(self, targets: Any, logits: Any) -> Any:
        """Return the cross entropy of each pixel, smoothed and focused, (N, H, W)."""
        plain = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        pixels = plain
        if self.label_smoothing:
            # the mean of -log p over the classes
            even = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
            pixels = (1 - self.label_smoothing) * plain + self.label_smoothing * even
        if self.focal_gamma:
            # 1 - p from below by rounding's size: the derivative of 0 ** gamma is infinite where gamma < 1
            pixels *= tf.maximum(-tf.math.expm1(-plain), 1e-7) ** self.focal_gamma
        return pixels

    def _hardest(self, pixels: Any, valid: Any) -> Any:
        """Return (N, H, W) bool: the valid pixels whose loss is among the largest; ties count, too."""
        losses = tf.stop_gradient(tf.where(valid, pixels, -1.0))  # a loss is 0 at least
        count = tf.cast(tf.math.ceil(self.ohem_fraction * tf.cast(tf.math.count_nonzero(valid), tf.float64)), tf.int32)
        largest = tf.math.top_k(tf.reshape(losses, [-1]), tf.maximum(count, 1)).values
        return valid & (losses >= largest[-1])


def dice_loss(logits: Any, labels: Any) -> Any:
    """Return 1 - the mean Dice coefficient over the classes that occur in the labels; 0 where no pixel is valid.

    The coefficient of a class is 2 sum(p y) / (sum(p) + sum(y)) over the valid pixels of all images, with its
    probabilities p and y = 1 where it is the label (Sudre et al. 2017, arXiv:1707.03237, without class weights).

    Args:
        logits: (N, H, W, C) float.
        labels: (N, H, W) integers, 255 = ignored.
    """
    classes = logits.shape[-1]
    valid = tf.cast(tf.not_equal(labels, IGNORE), logits.dtype)[..., None]
    truth = tf.one_hot(tf.cast(labels, tf.int32), classes, dtype=logits.dtype)  # 255 is no class: zeros
    probabilities = tf.nn.softmax(logits) * valid
    axes = [0, 1, 2]
    both, size = tf.reduce_sum(probabilities * truth, axes), tf.reduce_sum(truth, axes)
    coefficients = tf.math.divide_no_nan(2 * both, tf.reduce_sum(probabilities, axes) + size)
    present = tf.cast(size > 0, logits.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum((1 - coefficients) * present), tf.reduce_sum(present))
