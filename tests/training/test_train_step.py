"""The loss against GluonCV's numbers and the formula; several replicas against one.

GluonCV reports, for every sample, the mean over all pixels (ignored ones counting 0) of CE(main) + w * CE(aux);
its gradients are those of the mean over the valid pixels of the batch. Sums over valid pixels give both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.models.layers import Dropout
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, named_variables
from sagemaker_semseg.training.losses import Loss
from sagemaker_semseg.training.optimizers import SGD
from sagemaker_semseg.training.train_step import make_averaging, make_train_step


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
        loss, weight = Loss(aux_weight, class_weights).sums(z, a, tf.constant(labels))
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
        loss, weight = Loss(0.4).sums(z, auxiliary, np.full_like(labels, 255))
    assert (float(loss), float(weight)) == (0, 0)
    assert not tape.gradient(loss, z).numpy().any()


def test_ignored_pixels_do_not_count() -> None:
    logits, auxiliary, labels = example(2)
    before = Loss(0.4).sums(logits, auxiliary, labels)
    logits[labels == 255] = 1e30
    auxiliary[labels == 255] = -1e30
    after = Loss(0.4).sums(logits, auxiliary, labels)
    assert [float(x) for x in before] == [float(x) for x in after]


def test_confident_mistakes_stay_finite() -> None:
    """Minus the logarithm of a probability that underflows: the difference of the logits, not infinity."""
    logits = np.array([[[[200.0, -100.0]]]], np.float32)
    loss, _ = Loss(0.5).sums(logits, logits, np.array([[[1]]], np.uint8))
    assert float(loss) == 450


def test_sums_add_up_over_shards() -> None:
    """What makes unequal shares of ignored pixels harmless: the sums of two halves are the sums of the whole."""
    logits, auxiliary, labels = example(3, (4, 5, 7))
    whole = Loss(0.4).sums(logits, auxiliary, labels)
    halves = [Loss(0.4).sums(logits[s], auxiliary[s], labels[s]) for s in (slice(0, 1), slice(1, 4))]
    for i in range(2):
        assert float(whole[i]) == pytest.approx(sum(float(half[i]) for half in halves), rel=1e-6)


@pytest.fixture(scope="module")
def numbers(reference: Callable[[str], Any]) -> dict[str, np.ndarray]:
    """The reference's arrays with the channels last and 255 for what it ignores."""
    numbers = reference("loss_metric.npz")
    numbers = {k: v.transpose(0, 2, 3, 1) if v.ndim == 4 else v for k, v in numbers.items()}
    return {k: np.where(v < 0, 255, v).astype(np.uint8) if k.endswith("label") and v.ndim else v
            for k, v in numbers.items()}  # fmt: skip


@pytest.mark.parametrize("aux_weight", [None, 0.2, 0.4, 0.5])
@pytest.mark.parametrize("update", ["u1", "u2"])
def test_values_of_the_reference(numbers: dict[str, np.ndarray], update: str, aux_weight: float | None) -> None:
    logits, auxiliary, labels = (numbers[f"{update}_{k}"] for k in ("logits", "aux_logits", "label"))
    expected = numbers[f"{update}_loss_{'noaux' if aux_weight is None else f'aux{aux_weight}'}"]
    pixels = labels[0].size
    for i in range(len(labels)):
        one = slice(i, i + 1)
        loss, weight = Loss(aux_weight or 0.0).sums(logits[one], auxiliary[one], labels[one])
        assert float(loss) / pixels == pytest.approx(expected[i], abs=1e-5)
        assert float(weight) == (labels[i] != 255).sum()
    loss, weight = Loss(aux_weight or 0.0).sums(logits, auxiliary, labels)
    assert float(loss) / pixels == pytest.approx(expected.sum(), abs=3e-5)
    assert float(weight) == (labels != 255).sum()


@pytest.mark.parametrize("update", ["u1", "u2"])
def test_gradients_of_the_reference(numbers: dict[str, np.ndarray], update: str) -> None:
    """Its auxiliary gradient is the one of weight 1, whatever weight it reports with; ours follows the weight."""
    logits, auxiliary = (tf.constant(numbers[f"{update}_{k}"]) for k in ("logits", "aux_logits"))
    labels = numbers[f"{update}_label"]
    for aux_weight in (1.0, 0.5):
        with tf.GradientTape() as tape:
            tape.watch([logits, auxiliary])
            loss, weight = Loss(aux_weight).sums(logits, auxiliary, labels)
            mean = loss / weight
        by_main, by_aux = tape.gradient(mean, [logits, auxiliary])
        np.testing.assert_allclose(by_main, numbers[f"{update}_grad_main"], rtol=0, atol=1e-6)
        for key in ("grad_aux_w0.5", "grad_aux_w0.2"):
            np.testing.assert_allclose(by_aux, aux_weight * numbers[f"{update}_{key}"], rtol=0, atol=1e-6)


# ---- replicas

STEPS, BATCH = 4, 4


def batches():
    """Float64-exact batches whose halves differ in how much is ignored: 5 % of the first, 90 % of the second."""
    rng = np.random.default_rng(11)
    for _ in range(STEPS):
        images = rng.integers(0, 256, (BATCH, 24, 24, 3), dtype=np.uint8)
        labels = rng.integers(0, 3, (BATCH, 24, 24), dtype=np.uint8)
        labels[rng.random(labels.shape) < np.array([0.05, 0.05, 0.9, 0.9])[:, None, None]] = 255
        yield images, labels


def run(strategy, syncbn, class_weights=None, dtype="float64"):
    """Losses and final weights, as float64, of a few steps from the same start."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        network = build_network("fcn", "resnet-tiny", 3, syncbn=syncbn, dtype=dtype, dropout=0.0)
        optimizer = SGD(0.01, momentum=0.9, decay=1e-4, head_multiplier=10.0)
        optimizer.build(network.trainable_variables)
    step = make_train_step(network, optimizer, strategy, Loss(0.5, class_weights))
    n = strategy.num_replicas_in_sync
    losses = []
    for images, labels in batches():
        parts = list(zip(np.split(images, n), np.split(labels, n), strict=True))
        shares = strategy.experimental_distribute_values_from_function(
            lambda context, parts=parts: tuple(map(tf.constant, parts[context.replica_id_in_sync_group]))
        )
        losses.append(float(step(*shares) if n > 1 else step(*map(tf.constant, parts[0]))))
    return np.array(losses), {name: np.asarray(variable) for name, variable in named_variables(network)}


WEIGHTS = np.array([0.5, 1.0, 4.0], np.float32)


@pytest.mark.parametrize("class_weights", [pytest.param(None, marks=pytest.mark.slow), WEIGHTS])
def test_two_replicas_with_syncbn_are_one(two_replicas, class_weights):
    one_replica = run(tf.distribute.get_strategy(), False, class_weights)
    losses, weights = run(two_replicas, True, class_weights)
    np.testing.assert_allclose(losses, one_replica[0], rtol=1e-10)
    for name, array in weights.items():
        np.testing.assert_allclose(array, one_replica[1][name], rtol=1e-7, atol=1e-10, err_msg=name)


@pytest.mark.slow
def test_without_syncbn_they_are_not(two_replicas):
    one_replica, shared = run(tf.distribute.get_strategy(), False), run(two_replicas, False)
    assert abs(shared[0][0] / one_replica[0][0] - 1) > 1e-6


def test_moving_statistics_are_averaged_over_replicas(two_replicas):
    """Each replica normalizes by its own images; what validation and the model use is the mean."""
    with two_replicas.scope():
        network = build_network("fcn", "resnet-tiny", 3)
    values = (
        np.random.default_rng(0).integers(0, 256, (2, 1, 24, 24, 3)).astype(np.float32)
        / np.array([99, 999])[:, None, None, None, None]
    )
    shares = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[context.replica_id_in_sync_group], tf.float32)
    )
    two_replicas.run(tf.function(lambda images: network(images, training=True)[0]), args=(shares,))
    statistics = [variable.value for variable in network.non_trainable_variables if "moving" in variable.name]

    def components(variable):
        return [part.numpy() for part in two_replicas.experimental_local_results(variable)]

    before = [components(variable) for variable in statistics]
    assert any(not np.allclose(first, second) for first, second in before)
    make_averaging(network, two_replicas)()
    for variable, (first, second) in zip(statistics, before, strict=True):
        for part in components(variable):
            np.testing.assert_allclose(part, (first + second) / 2, rtol=1e-6, atol=1e-9)


def test_each_replica_drops_others(two_replicas):
    """The first replica drops what a training without others does."""
    ones, masks = tf.ones((1, 16, 16, 8)), []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            layer = Dropout(0.5, seed=3)
            layer.build(ones.shape)
        found = strategy.run(tf.function(lambda layer=layer: layer(ones, training=True)))
        masks += [part.numpy() != 0 for part in strategy.experimental_local_results(found)]
    alone, first, second = masks
    np.testing.assert_array_equal(alone, first)
    assert 0.4 < (first != second).mean() < 0.6
    assert 0.4 < second.mean() < 0.6


def test_a_batch_without_a_valid_pixel_changes_no_weight_but_by_decay(make_hp):
    network = build_network("fcn", "resnet-tiny", 3)
    optimizer = SGD(0.01, momentum=0.9)
    optimizer.build(network.trainable_variables)
    before = get_weights(network)
    step = make_train_step(network, optimizer, tf.distribute.get_strategy(), Loss(0.5))
    assert float(step(tf.zeros((1, 24, 24, 3), tf.uint8), tf.fill((1, 24, 24), tf.constant(255, tf.uint8)))) == 0
    for name, array in get_weights(network).items():
        if "running" not in name:
            np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_lower_precision_follows_float32(precision):
    full = run(tf.distribute.get_strategy(), False, dtype="float32")
    low = run(tf.distribute.get_strategy(), False, dtype=precision)
    np.testing.assert_allclose(low[0][:2], full[0][:2], rtol=0.03)
    assert all(array.dtype == np.float32 for array in low[1].values())
