"""The runtime graph beside the network that it was made from, and in the runtimes that are to run it."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest

from sagemaker_semseg import export
from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import AlgorithmError, ArtifactError
from sagemaker_semseg.export.onnx_graph import onnx_graph
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.models.network import build_network, normalize
from sagemaker_semseg.models.weights import get_weights

CLASSES = 5


def network_with_statistics(algorithm, backbone):
    """Batch statistics as after a training: with zeros and ones, folding them wrongly would go unnoticed."""
    network, random = build_network(algorithm, backbone, CLASSES), np.random.default_rng(0)
    for variable in network.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(random.normal(0, 0.2, variable.shape))
    return network


def artifact_of(network, algorithm, backbone):
    hp = resolve({"algorithm": algorithm, "backbone": backbone, "num_classes": CLASSES, "num_training_samples": 1})
    return Artifact(to_strings(hp), get_weights(network), {"num_classes": CLASSES}, {"best_epoch": 3})


@pytest.fixture(scope="module")
def fcn():
    return network_with_statistics("fcn", "resnet-18")


every = [(a, f"resnet-{depth}") for a in ("fcn", "psp", "deeplab") for depth in (18, 34, 50, 101, 152)]


@pytest.mark.parametrize(
    ("algorithm", "backbone"),
    [pytest.param(*pair, marks=[] if pair[1] in ("resnet-18", "resnet-50") else pytest.mark.slow) for pair in every],
)
def test_every_network_gives_the_same_logits_at_any_size(algorithm, backbone):
    network = network_with_statistics(algorithm, backbone)
    session = onnxruntime.InferenceSession(onnx_graph(network))
    for shape in ((1, 72, 90, 3), (2, 33, 17, 3), (1, 1, 1, 3), (1, 1, 50, 3)):
        images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        expected = np.asarray(network(normalize(images), training=False)[0])
        logits, coarse = session.run(["logits", "coarse_logits"], {"image": images})
        cells = [-(-length // 8) for length in shape[1:3]]
        assert (logits.dtype, coarse.dtype, coarse.shape) == (np.float32, np.float32, (shape[0], CLASSES, *cells))
        np.testing.assert_allclose(np.moveaxis(logits, 1, -1), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_batch_normalisation_and_padding_cost_no_nodes(fcn):
    kinds = [node.op_type for node in onnx.load_from_string(onnx_graph(fcn)).graph.node]
    assert kinds.count("Conv") == 22  # 20 of ResNet-18 with its shortcuts, 2 of the head
    assert not {"BatchNormalization", "Pad"} & set(kinds)


def test_an_artifact_gets_its_graph_and_the_figures_of_the_comparison(fcn):
    artifact = artifact_of(fcn, "fcn", "resnet-18")
    done = export.with_graph(artifact)
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

    monkeypatch.setattr(export, "onnx_graph", wrong)
    with pytest.raises(AlgorithmError, match=r"model\.onnx: differs from the network by"):
        export.with_graph(artifact_of(fcn, "fcn", "resnet-18"))


def test_weights_that_do_not_fit_are_refused(fcn):
    with pytest.raises(ArtifactError, match="don't fit"):
        export.with_graph(artifact_of(fcn, "psp", "resnet-18"))
