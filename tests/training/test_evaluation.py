"""Whole images of any size through the evaluator: counts and masks."""

import numpy as np
import pytest

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import ArtifactError
from sagemaker_semseg.hyperparameters import to_strings
from sagemaker_semseg.metrics import confusion_matrix
from sagemaker_semseg.models.network import build_network, network_of, normalize
from sagemaker_semseg.models.weights import get_weights, set_weights
from sagemaker_semseg.training import evaluation
from sagemaker_semseg.training.pipeline import evaluation_batches


@pytest.fixture(scope="module")
def network():
    return build_network("fcn", "resnet-tiny", 2)


def predict(network, images):
    """(N, H, W) labels of (N, H, W, 3) uint8 images."""
    logits, _ = network(normalize(images), training=False)
    return np.argmax(logits.numpy(), axis=-1).astype(np.uint8)


def test_counts_are_the_same_for_every_batch_size_and_limit(network, tiny_channels, monkeypatch):
    evaluator, split = evaluation.Evaluator(network, 2), tiny_channels.train
    by_hand = sum(
        confusion_matrix(labels.numpy()[0], predict(network, images)[0], 2)
        for images, labels in evaluation_batches(split, 1)
    )
    np.testing.assert_array_equal(evaluator.confusion(split, 3), by_hand)
    monkeypatch.setattr(evaluation, "MAX_EVALUATION_PIXELS", 40 * 48 * 2)
    np.testing.assert_array_equal(evaluator.confusion(split, 7), by_hand)


@pytest.mark.parametrize("replicas", [1, 2])
def test_predictions_of_each_image(network, tiny_channels, two_replicas, replicas):
    """Labels, predictions and their probabilities, also where the last batch is filled up for two replicas."""
    split, strategy = tiny_channels.train, None
    if replicas == 2:
        strategy, weights = two_replicas, get_weights(network)
        with strategy.scope():
            network = build_network("fcn", "resnet-tiny", 2)
            set_weights(network, weights)
    found = list(evaluation.Evaluator(network, 2, strategy).predictions(split, 3))
    expected = list(evaluation_batches(split, 1))
    assert len(found) == len(expected) == 7
    for (labels, predictions, probabilities), (images, truth) in zip(found, expected, strict=True):
        logits = network(normalize(images), training=False)[0].numpy()[0]
        softmax = np.exp(logits - logits.max(-1, keepdims=True))
        np.testing.assert_array_equal(labels, truth.numpy()[0])
        np.testing.assert_array_equal(predictions, logits.argmax(-1))
        np.testing.assert_allclose(probabilities, (softmax / softmax.sum(-1, keepdims=True)).max(-1), rtol=1e-5)


def test_an_artifact_of_another_network_is_refused(network, make_hp):
    weights = get_weights(network)
    weights["head.block.4.extra"] = weights.pop("head.block.4.bias")
    artifact = Artifact(to_strings(make_hp()), weights, {"num_classes": 2}, {})
    with pytest.raises(ArtifactError) as caught:
        network_of(artifact)
    assert {fault.where for fault in caught.value.faults} == {"head.block.4.extra", "head.block.4.bias"}
