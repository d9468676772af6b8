"""The loss against the reference engine's values and gradients, and against the formula in numpy.

The reference reports, for every sample, the mean over all pixels (ignored ones counting 0) of CE(main) + w * CE(aux);
its gradients are those of the mean over the valid pixels of the batch. Sums over valid pixels give both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.training.losses import cross_entropy_sums

REFERENCE = Path(__file__).resolve().parents[2] / "../shared/reference/gluoncv/loss_metric.npz"


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    z = logits.astype(np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of every pixel, in float64; 0 where the label is 255."""
    safe = np.where(labels == 255, 0, labels)[..., None]
    return -np.take_along_axis(log_probabilities(logits), safe, -1)[..., 0] * (labels != 255)


def gradient(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the summed cross entropy by the logits: softmax - onehot at valid pixels."""
    onehot = np.eye(logits.shape[-1])[np.where(labels == 255, 0, labels)]
    return (np.exp(log_probabilities(logits)) - onehot) * (labels != 255)[..., None]


def example(seed: int, shape: tuple[int, ...] = (3, 5, 7), classes: int = 4) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    logits, auxiliary = (3 * rng.standard_normal((*shape, classes)).astype(np.float32) for _ in range(2))
    labels = rng.integers(0, classes, shape).astype(np.uint8)
    labels[rng.random(shape) < 0.3] = 255
    labels[-1] = 255
    return logits, auxiliary, labels


@pytest.mark.parametrize("aux_weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("class_weights", [None, np.array([0.5, 0.0, 2.0, 1.25], np.float32)])
def test_like_the_formula(aux_weight: float, class_weights: np.ndarray | None) -> None:
    logits, auxiliary, labels = example(0)
    table = np.append(np.ones(4) if class_weights is None else class_weights, np.zeros(252))
    weights = table[labels]
    expected = (weights * (cross_entropy(logits, labels) + aux_weight * cross_entropy(auxiliary, labels))).sum()
    z, a = tf.constant(logits), tf.constant(auxiliary)
    with tf.GradientTape() as tape:
        tape.watch([z, a])
        loss, weight = cross_entropy_sums(z, a, tf.constant(labels), aux_weight, class_weights)
    assert loss.dtype == weight.dtype == tf.float32
    assert float(weight) == pytest.approx(weights.sum(), rel=1e-6)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    by_main, by_aux = tape.gradient(loss, [z, a], unconnected_gradients="zero")
    np.testing.assert_allclose(by_main, weights[..., None] * gradient(logits, labels), rtol=0, atol=1e-6)
    np.testing.assert_allclose(by_aux, aux_weight * weights[..., None] * gradient(auxiliary, labels), rtol=0, atol=1e-6)


def test_nothing_valid() -> None:
    """Sums of 0, gradients of 0, no NaN: the caller divides."""
    logits, auxiliary, labels = example(1)
    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss, weight = cross_entropy_sums(z, auxiliary, np.full_like(labels, 255), 0.4, None)
    assert (float(loss), float(weight)) == (0, 0)
    assert not tape.gradient(loss, z).numpy().any()


def test_ignored_pixels_are_not_looked_at() -> None:
    logits, auxiliary, labels = example(2)
    before = cross_entropy_sums(logits, auxiliary, labels, 0.4, None)
    logits[labels == 255] = 1e30
    auxiliary[labels == 255] = -1e30
    after = cross_entropy_sums(logits, auxiliary, labels, 0.4, None)
    assert [float(x) for x in before] == [float(x) for x in after]


def test_confident_mistakes_stay_finite() -> None:
    """Minus the logarithm of a probability that underflows: the difference of the logits, not infinity."""
    logits = np.array([[[[200.0, -100.0]]]], np.float32)
    loss, _ = cross_entropy_sums(logits, logits, np.array([[[1]]], np.uint8), 0.5, None)
    assert float(loss) == 450


def test_sums_add_up_over_shards() -> None:
    """What makes unequal shares of ignored pixels harmless: the sums of two halves are the sums of the whole."""
    logits, auxiliary, labels = example(3, (4, 5, 7))
    whole = cross_entropy_sums(logits, auxiliary, labels, 0.4, None)
    halves = [cross_entropy_sums(logits[s], auxiliary[s], labels[s], 0.4, None) for s in (slice(0, 1), slice(1, 4))]
    for i in range(2):
        assert float(whole[i]) == pytest.approx(sum(float(half[i]) for half in halves), rel=1e-6)


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    """Its arrays with the channels last and 255 for what it ignores."""
    if not REFERENCE.is_file():
        pytest.skip("the reference engine's numbers (../shared/reference/gluoncv) are not beside this checkout")
    with np.load(REFERENCE, allow_pickle=False) as file:
        numbers = {k: v.transpose(0, 2, 3, 1) if v.ndim == 4 else v for k, v in file.items()}
    return {k: np.where(v < 0, 255, v).astype(np.uint8) if k.endswith("label") and v.ndim else v
            for k, v in numbers.items()}  # fmt: skip


@pytest.mark.parametrize("aux_weight", [None, 0.2, 0.4, 0.5])
@pytest.mark.parametrize("update", ["u1", "u2"])
def test_values_of_the_reference(reference: dict[str, np.ndarray], update: str, aux_weight: float | None) -> None:
    logits, auxiliary, labels = (reference[f"{update}_{k}"] for k in ("logits", "aux_logits", "label"))
    expected = reference[f"{update}_loss_{'noaux' if aux_weight is None else f'aux{aux_weight}'}"]
    pixels = labels[0].size
    for i in range(len(labels)):
        one = slice(i, i + 1)
        loss, weight = cross_entropy_sums(logits[one], auxiliary[one], labels[one], aux_weight or 0.0, None)
        assert float(loss) / pixels == pytest.approx(expected[i], abs=1e-5)
        assert float(weight) == (labels[i] != 255).sum()
    loss, weight = cross_entropy_sums(logits, auxiliary, labels, aux_weight or 0.0, None)
    assert float(loss) / pixels == pytest.approx(expected.sum(), abs=3e-5)
    assert float(weight) == (labels != 255).sum()


@pytest.mark.parametrize("update", ["u1", "u2"])
def test_gradients_of_the_reference(reference: dict[str, np.ndarray], update: str) -> None:
    """Its auxiliary gradient is the one of weight 1, whatever weight it reports with; ours follows the weight."""
    logits, auxiliary = (tf.constant(reference[f"{update}_{k}"]) for k in ("logits", "aux_logits"))
    labels = reference[f"{update}_label"]
    for aux_weight in (1.0, 0.5):
        with tf.GradientTape() as tape:
            tape.watch([logits, auxiliary])
            loss, weight = cross_entropy_sums(logits, auxiliary, labels, aux_weight, None)
            mean = loss / weight
        by_main, by_aux = tape.gradient(mean, [logits, auxiliary])
        np.testing.assert_allclose(by_main, reference[f"{update}_grad_main"], rtol=0, atol=1e-6)
        for key in ("grad_aux_w0.5", "grad_aux_w0.2"):
            np.testing.assert_allclose(by_aux, aux_weight * reference[f"{update}_{key}"], rtol=0, atol=1e-6)
