"""Several replicas against one: the same losses and weights, to many digits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, named_variables
from sagemaker_semseg.training.optimizers import SGD
from sagemaker_semseg.training.train_step import make_train_step

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
    step = make_train_step(network, optimizer, strategy, 0.5, class_weights)
    n = strategy.num_replicas_in_sync
    losses = []
    for images, labels in batches():
        parts = list(zip(np.split(images, n), np.split(labels, n), strict=True))
        shares = strategy.experimental_distribute_values_from_function(
            lambda context, parts=parts: tuple(map(tf.constant, parts[context.replica_id_in_sync_group]))
        )
        losses.append(float(step(*shares) if n > 1 else step(*map(tf.constant, parts[0]))))
    return np.array(losses), {name: np.asarray(variable) for name, variable in named_variables(network)}


@pytest.fixture(scope="module")
def one_replica():
    return run(tf.distribute.get_strategy(), syncbn=False)


def test_two_replicas_with_syncbn_are_one(one_replica, two_replicas):
    losses, weights = run(two_replicas, syncbn=True)
    np.testing.assert_allclose(losses, one_replica[0], rtol=1e-10)
    for name, array in weights.items():
        np.testing.assert_allclose(array, one_replica[1][name], rtol=1e-7, atol=1e-10, err_msg=name)


def test_without_syncbn_they_are_not(one_replica, two_replicas):
    losses, _ = run(two_replicas, syncbn=False)
    assert abs(losses[0] / one_replica[0][0] - 1) > 1e-6


def test_class_weights_too(two_replicas):
    weights = np.array([0.5, 1.0, 4.0], np.float32)
    alone, shared = run(tf.distribute.get_strategy(), False, weights), run(two_replicas, True, weights)
    np.testing.assert_allclose(shared[0], alone[0], rtol=1e-10)


def test_a_batch_without_a_valid_pixel_changes_no_weight_but_by_decay(make_hp):
    network = build_network("fcn", "resnet-tiny", 3)
    optimizer = SGD(0.01, momentum=0.9)
    optimizer.build(network.trainable_variables)
    before = get_weights(network)
    step = make_train_step(network, optimizer, tf.distribute.get_strategy(), 0.5, None)
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
