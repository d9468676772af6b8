"""The terms of the loss against their formulas in float64 numpy."""

import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.training.losses import Loss, dice_loss


def example(seed, shape=(3, 6, 7), classes=4):
    rng = np.random.default_rng(seed)
    logits, auxiliary = (2 * rng.standard_normal((*shape, classes)) for _ in range(2))
    labels = rng.integers(0, classes, shape).astype(np.uint8)
    labels[rng.random(shape) < 0.3] = 255
    return logits, auxiliary, labels


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def of_pixels(logits, labels, smoothing=0.0, gamma=0.0):
    """The loss of each pixel in the definition's own terms: one-hot targets, smoothed, and probabilities."""
    classes = logits.shape[-1]
    onehot = np.eye(classes)[np.where(labels == 255, 0, labels)]
    targets = (1 - smoothing) * onehot + smoothing / classes
    log_p = log_softmax(logits)
    p = np.exp((onehot * log_p).sum(-1))
    return (1 - p) ** gamma * -(targets * log_p).sum(-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.0, 2.0, 0.5])])
def test_smoothing_and_focal_loss(smoothing, gamma, weights):
    logits, auxiliary, labels = example(1)
    weight_of = np.append(np.ones(4) if weights is None else weights, np.zeros(252))[labels]
    pixels = of_pixels(logits, labels, smoothing, gamma) + 0.4 * of_pixels(auxiliary, labels, smoothing, gamma)
    loss = Loss(0.4, weights, label_smoothing=smoothing, focal_gamma=gamma)
    total, count = loss.sums(tf.constant(logits), tf.constant(auxiliary), labels)
    assert float(total) == pytest.approx((pixels * weight_of).sum(), rel=1e-9)
    assert float(count) == pytest.approx(weight_of.sum())


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.999])
def test_the_hardest_pixels_alone_count(fraction):
    logits, auxiliary, labels = example(2)
    pixels = (of_pixels(logits, labels) + 0.5 * of_pixels(auxiliary, labels))[labels != 255]
    count = int(np.ceil(fraction * pixels.size))
    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        total, weight = Loss(0.5, ohem_fraction=fraction).sums(z, tf.constant(auxiliary), labels)
    assert float(weight) == count
    assert float(total) == pytest.approx(np.sort(pixels)[-count:].sum(), rel=1e-9)
    assert np.count_nonzero(np.abs(tape.gradient(total, z)).sum(-1)) == count


def test_nothing_valid():
    logits, auxiliary, labels = example(3)
    ignored, z = np.full_like(labels, 255), tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = Loss(0.5, ohem_fraction=0.5, focal_gamma=0.5, label_smoothing=0.1)
        total, weight = loss.sums(z, tf.constant(auxiliary), ignored)
        total += dice_loss(z, ignored)
    assert (float(total), float(weight)) == (0, 0)
    assert not tape.gradient(total, z).numpy().any()


def test_a_certain_pixel_has_a_finite_gradient():
    """Below gamma 1 the derivative of (1 - p)^gamma is infinite at p = 1."""
    z = tf.constant([[[[200.0, -200.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        total, _ = Loss(0.0, focal_gamma=0.5).sums(z, z, np.zeros((1, 1, 1), np.uint8))
    assert np.isfinite(tape.gradient(total, z)).all()


def test_dice():
    """Class by class, in a loop; a class that no label has doesn't count."""
    logits, _, labels = example(4)
    labels[labels == 2] = 255
    p, valid = np.exp(log_softmax(logits)), labels != 255
    expected = []
    for label in (0, 1, 3):
        of_class = labels == label
        expected.append(1 - 2 * p[..., label][of_class].sum() / (p[..., label][valid].sum() + of_class.sum()))
    assert float(dice_loss(tf.constant(logits), labels)) == pytest.approx(np.mean(expected), rel=1e-9)


def test_a_perfect_mask_has_no_dice_loss():
    labels = np.array([[[0, 1], [1, 255]]], np.uint8)
    logits = 100.0 * np.eye(2)[np.where(labels == 255, 0, labels)]
    assert float(dice_loss(tf.constant(logits), labels)) == pytest.approx(0, abs=1e-12)
