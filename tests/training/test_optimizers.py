"""Every optimizer against MXNet's own, on one replica and two; what is decayed and multiplied."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import named_variables
from sagemaker_semseg.training import optimizers

NUMBERS = json.loads((Path(__file__).parent / "mxnet_optimizers.json").read_text())
W, A, B = (np.array(NUMBERS[key], np.float32) for key in "wab")
CLASSES = {
    "sgd": optimizers.SGD,
    "nag": optimizers.NAG,
    "adam": optimizers.Adam,
    "adagrad": optimizers.Adagrad,
    "rmsprop": optimizers.RMSprop,
}


def make(name, **more):
    options = dict(NUMBERS["cases"][name]["options"])
    options.pop("centered", None)
    return CLASSES[name](NUMBERS["learning_rate"], decay=options.pop("wd", 0.0), **options, **more)


@pytest.mark.parametrize("name", CLASSES)
def test_six_updates_are_mxnets(name):
    variable = keras.Variable(W, name="kernel")
    optimizer = make(name)
    for expected in NUMBERS["cases"][name]["weights"]:
        optimizer.apply([A * (variable - B)], [variable])
        np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-5, atol=1e-6)


def test_nag_decays_by_the_documented_formula():
    variable = keras.Variable(W, name="kernel")
    optimizer = optimizers.NAG(0.05, momentum=0.9, decay=0.01)
    weight, state = W.astype(np.float64), 0.0
    for _ in range(6):
        optimizer.apply([A * (variable - B)], [variable])
        gradient = A * (weight - B) + 0.01 * weight  # MXNet: state = momentum * state + grad + wd * weight
        state = 0.9 * state + gradient
        weight = weight - 0.05 * (gradient + 0.9 * state)
        np.testing.assert_allclose(variable.numpy(), weight, rtol=2e-5)


def test_adamw_is_keras_own():
    """Kernels decay, all else doesn't."""
    ours, theirs = ([keras.Variable(W, name=name) for name in ("kernel", "bias")] for _ in range(2))
    optimizer = optimizers.AdamW(0.05, decay=0.3)
    reference = keras.optimizers.AdamW(0.05, weight_decay=0.3, epsilon=1e-8)
    reference.exclude_from_weight_decay(var_names=["bias"])
    for _ in range(6):
        for updated, variables in ((optimizer, ours), (reference, theirs)):
            updated.apply([A * (variable - B) for variable in variables], variables)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CLASSES)
def test_two_replicas_sum_their_gradients(name, two_replicas):
    with two_replicas.scope():
        variable = keras.Variable(W, name="kernel")
        optimizer = make(name)
        optimizer.build([variable])

    @tf.function
    def step():
        def replica():
            share = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, "float32")
            optimizer.apply([(0.25 + 0.5 * share) * A * (variable - B)], [variable])  # a quarter and three quarters

        two_replicas.run(replica)

    for expected in NUMBERS["cases"][name]["weights"]:
        step()
        np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-5, atol=1e-6)


def test_heads_learn_faster_and_only_kernels_decay():
    def variable(layer, name):
        with keras.name_scope(layer):
            return keras.Variable(np.ones(2, "float32"), name=name)

    names = [("layer1_0_conv1", "kernel"), ("head_block_0", "kernel"), ("auxlayer_block_1", "gamma"), ("bn1", "beta")]
    variables = [variable(*pair) for pair in names]
    optimizer = optimizers.SGD(0.1, momentum=0.9, decay=0.5, head_multiplier=10.0)
    optimizer.apply([np.full(2, 0.2, "float32")] * 4, variables)
    rates_and_decays = [(0.1, 0.5), (1.0, 0.5), (1.0, 0.0), (0.1, 0.0)]
    for v, (rate, decay) in zip(variables, rates_and_decays, strict=True):
        np.testing.assert_allclose(v.numpy(), 1 - rate * (0.2 + decay * 1), rtol=1e-6)


def test_heads_of_a_real_network():
    network = build_network("deeplab", "resnet-tiny", 3)
    optimizer = optimizers.SGD(0.1, momentum=0.9, head_multiplier=10.0, decay=0.5)
    optimizer.build(network.trainable_variables)
    names = {id(variable): name for name, variable in named_variables(network)}
    for i, variable in enumerate(network.trainable_variables):
        name = names[id(variable)]
        assert optimizer._multipliers[i] == (10.0 if name.startswith(("head.", "auxlayer.")) else 1.0), name
        assert optimizer._decays[i] == (0.5 if name.endswith(".weight") else 0.0), name


@pytest.mark.parametrize("name", CLASSES)
def test_hyperparameters_choose_it(name, make_hp):
    hp = make_hp(optimizer=name, learning_rate=0.25, head_learning_rate_multiplier=3.0)
    optimizer = optimizers.make_optimizer(hp)
    assert type(optimizer) is CLASSES[name]
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer.head_multiplier == 3.0
    assert optimizer.decay == (0.0001 if name in ("sgd", "nag") else 0.0)


def test_float16_scales_the_loss_and_skips_overflow(make_hp):
    optimizer = optimizers.make_optimizer(make_hp(precision="mixed_float16"))
    variable = keras.Variable(np.ones(2, "float32"), name="kernel")
    optimizer.build([variable])
    before = float(optimizer.dynamic_scale)
    optimizer.apply([tf.constant([np.inf, 1.0])], [variable])
    np.testing.assert_array_equal(variable.numpy(), 1)
    assert float(optimizer.dynamic_scale) == before / 2
