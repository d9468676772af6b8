"""With ``recompute`` a step gives the same bytes, and its gradient computes each block a second time."""

from __future__ import annotations

import os
import signal
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagemaker_semseg.architectures import BACKBONES, DECODERS
from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.models import layers
from sagemaker_semseg.models.network import build_network, normalize
from sagemaker_semseg.models.weights import get_weights, named_variables
from sagemaker_semseg.training import trainer
from sagemaker_semseg.training.losses import Loss
from sagemaker_semseg.training.optimizers import SGD
from sagemaker_semseg.training.recompute import recomputing
from sagemaker_semseg.training.train_step import make_train_step

NETWORKS = [("fcn", "resnet-tiny", "float32"), ("deeplab", "resnet-tiny", "float32")]
OTHERS = [
    ("psp", "resnet-tiny", "float32"),
    ("fcn", "resnet-tiny", "mixed_bfloat16"),
    ("fcn", "resnet-tiny", "float64"),
]
OTHERS += [(algorithm, backbone, "float32") for algorithm in DECODERS for backbone in ("resnet-18", "resnet-50")]
ALONE = tf.distribute.get_strategy()


def steps(algorithm, backbone, dtype, *, recompute, strategy=ALONE, syncbn=False):
    """Losses and variables of two steps from the same start, dropout included."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        network = build_network(algorithm, backbone, 3, dtype=dtype, syncbn=syncbn)
        optimizer = SGD(0.01, momentum=0.9, decay=1e-4)
        optimizer.build(network.trainable_variables)
    step = make_train_step(network, optimizer, strategy, Loss(0.5), recompute=recompute)
    random, losses = np.random.default_rng(0), []
    for _ in range(2):
        images = random.integers(0, 256, (4, 40, 48, 3), np.uint8)
        labels = random.integers(0, 3, (4, 40, 48)).astype(np.uint8)
        if strategy is ALONE:
            losses.append(float(step(tf.constant(images), tf.constant(labels))))
        else:
            shares = strategy.experimental_distribute_values_from_function(
                lambda context, images=images, labels=labels: tuple(
                    tf.constant(np.split(array, 2)[context.replica_id_in_sync_group]) for array in (images, labels)
                )
            )
            losses.append(float(step(*shares)))
    return losses, {name: np.asarray(variable) for name, variable in named_variables(network)}


@pytest.mark.parametrize(
    ("algorithm", "backbone", "dtype"),
    [*NETWORKS, *(pytest.param(*network, marks=pytest.mark.slow) for network in OTHERS)],
)
def test_the_same_bytes(algorithm, backbone, dtype):
    """Moving statistics among them: the second pass leaves them alone."""
    (losses, before), (again, after) = (
        steps(algorithm, backbone, dtype, recompute=recompute) for recompute in (False, True)
    )
    assert again == losses
    assert losses[0] != losses[1]
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("syncbn", [False, True])
def test_on_two_replicas_too(two_replicas, syncbn):
    (losses, before), (again, after) = (
        steps("fcn", "resnet-tiny", "float64", recompute=recompute, strategy=two_replicas, syncbn=syncbn)
        for recompute in (False, True)
    )
    np.testing.assert_allclose(again, losses, rtol=1e-12)
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("algorithm", DECODERS)
def test_the_gradient_computes_the_backbone_again_and_the_decoder_not(algorithm):
    network = build_network(algorithm, "resnet-tiny", 3)
    counts = []
    for forward in (lambda x: network(x, training=True), recomputing(network)):

        @tf.function(input_signature=[tf.TensorSpec((1, 40, 48, 3))], autograph=False)
        def gradients(x, forward=forward):
            with tf.GradientTape() as tape:
                loss = sum(tf.reduce_sum(y) for y in forward(x))
            return tape.gradient(loss, network.trainable_variables)

        operations = gradients.get_concrete_function().graph.get_operations()
        counts.append(Counter(each.type for each in operations))
    without, with_it = counts
    convolutions = sum(isinstance(layer, layers.Conv2D) for layer in network.layers)
    assert without["Conv2D"] == convolutions
    assert with_it["Conv2D"] == convolutions + len(list(BACKBONES["resnet-tiny"].convolutions()))
    assert with_it["AssignVariableOp"] == without["AssignVariableOp"]


def test_the_forward_pass_is_the_networks_own_at_any_size():
    network = build_network("deeplab", "resnet-tiny", 3, dropout=0.0)
    images = normalize(np.random.default_rng(0).integers(0, 256, (2, 33, 17, 3), np.uint8))
    for ours, expected in zip(recomputing(network)(images), network(images, training=True), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [{"freeze_backbone_epochs": 1}, {"freeze_batch_norm": True}])
def test_a_training_from_weights_with_frozen_layers(tiny_channels, make_hp, tmp_path, frozen):
    given, found = get_weights(build_network("fcn", "resnet-tiny", 2)), []
    for recompute in (False, True):
        hp = make_hp(recompute=recompute, ema_decay=0.9, **frozen)
        result = trainer.train(hp, tiny_channels, tmp_path / str(recompute), weights=given)
        found.append(read_artifact(result.artifact).weights)
    for name, array in found[0].items():
        np.testing.assert_array_equal(found[1][name], array, err_msg=name)


def test_it_may_be_set_for_the_rest_of_a_training(tiny_channels, make_hp, tmp_path, monkeypatch):
    """Such as after a training that ran out of memory."""
    make, asked = trainer.make_train_step, []

    def recorded(*given, recompute):
        asked.append(recompute)
        return make(*given, recompute=recompute)

    monkeypatch.setattr(trainer, "make_train_step", recorded)

    class Interrupted(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            os.kill(os.getpid(), signal.SIGTERM)

    trainer.train(make_hp(), tiny_channels, tmp_path / "a", callbacks=[Interrupted()])
    resumed = trainer.train(make_hp(recompute=True), tiny_channels, tmp_path / "a")
    whole = trainer.train(make_hp(), tiny_channels, tmp_path / "b")
    assert asked == [False, True, False]
    assert len(resumed.history) == 2
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
