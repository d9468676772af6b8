"""Runtime graphs: what they are made of, and their comparison with the network."""

import dataclasses

import numpy as np
import onnx
import pytest

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import AlgorithmError, ArtifactError, DivergedError
from sagemaker_semseg.export import runtime_graph
from sagemaker_semseg.export.onnx_graph import onnx_graph
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.models.weights import get_weights
from tests.export.conftest import CLASSES, network_with_statistics


def artifact_of(network, algorithm, backbone):
    hp = resolve({"algorithm": algorithm, "backbone": backbone, "num_classes": CLASSES, "num_training_samples": 1})
    return Artifact(to_strings(hp), get_weights(network), {"num_classes": CLASSES}, {"best_epoch": 3})


@pytest.fixture(scope="module")
def fcn():
    return network_with_statistics("fcn", "resnet-tiny")


def test_batch_normalization_and_padding_cost_no_nodes(fcn):
    kinds = [node.op_type for node in onnx.load_from_string(onnx_graph(fcn)).graph.node]
    assert kinds.count("Conv") == 14  # 12 of the backbone with its shortcuts, 2 of the decoder
    assert not {"BatchNormalization", "Pad"} & set(kinds)


def test_an_artifact_gets_its_graph_and_the_figures_of_the_comparison(fcn):
    artifact = artifact_of(fcn, "fcn", "resnet-tiny")
    done = runtime_graph.with_graph(artifact)
    figures = done.metrics["runtime_graph"]
    assert 0 <= figures["max_difference"] < 1e-4
    assert figures["argmax_agreement"] > 0.999
    assert done.metrics["best_epoch"] == 3
    assert dataclasses.replace(done, graph=None, metrics=artifact.metrics) != done
    assert onnx.load_from_string(done.graph).producer_name == "sagemaker-semseg"


@pytest.mark.parametrize("value", [3.0, np.nan])
def test_a_graph_that_differs_is_not_given_out(fcn, monkeypatch, value):
    def wrong(network):
        model = onnx.load_from_string(onnx_graph(network))
        (bias,) = [tensor for tensor in model.graph.initializer if tensor.name == "head_block_4.bias"]
        bias.raw_data = np.full(CLASSES, value, np.float32).tobytes()
        return model.SerializeToString()

    monkeypatch.setattr(runtime_graph, "onnx_graph", wrong)
    with pytest.raises(AlgorithmError, match=r"model\.onnx: differs from the network by"):
        runtime_graph.with_graph(artifact_of(fcn, "fcn", "resnet-tiny"))


def test_a_network_without_finite_logits_has_diverged(fcn):
    """Each weight is a finite number, their sums aren't: that is no fault of the graph."""
    artifact = artifact_of(fcn, "fcn", "resnet-tiny")
    name = next(name for name in artifact.weights if name.endswith("head.block.4.weight"))
    huge = {**artifact.weights, name: np.full_like(artifact.weights[name], 3e38)}
    with pytest.raises(DivergedError, match=r"has diverged.*\n.*logits.*lower learning_rate"):
        runtime_graph.with_graph(dataclasses.replace(artifact, weights=huge))


def test_weights_that_do_not_fit_are_refused(fcn):
    with pytest.raises(ArtifactError, match="don't fit"):
        runtime_graph.with_graph(artifact_of(fcn, "psp", "resnet-tiny"))
