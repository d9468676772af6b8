"""Models of random weights with both graphs, each made once."""

import functools

import numpy as np
import pytest

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.export.onnx_graph import onnx_graph
from sagemaker_semseg.export.quantization import quantized_graph
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights

CLASSES = 5


def network_with_statistics(algorithm, backbone, **more):
    """Batch statistics as after a training: with zeros and ones, folding them wrongly would go unnoticed."""
    network, random = build_network(algorithm, backbone, CLASSES, **more), np.random.default_rng(0)
    for variable in network.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(random.normal(0, 0.2, variable.shape))
    return network


def make_model(algorithm, backbone="resnet-tiny", **settings):
    """A model with both graphs, and with batch statistics as after a training."""
    hp = resolve({"algorithm": algorithm, "backbone": backbone, "num_classes": CLASSES, **settings})
    network = network_with_statistics(algorithm, backbone, output_stride=hp.stride)
    graph, image = onnx_graph(network), np.random.default_rng(7).integers(0, 256, (97, 131, 3), np.uint8)
    graphs = {"graph": graph, "int8_graph": quantized_graph(graph, [image])}
    return Artifact(to_strings(hp), get_weights(network), {"num_classes": CLASSES}, {}, **graphs)


@pytest.fixture(scope="session")
def model():
    """A function from a decoder's name to a model, which is made once."""
    return functools.cache(make_model)
