"""The list of names and shapes, which is made without Keras, held against the networks that Keras builds."""

import numpy as np
import pytest

from sagemaker_semseg.models import backbones
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights
from sagemaker_semseg.weight_shapes import BACKBONES, shapes
from sagemaker_semseg.weights.detect_architecture import network_weights
from sagemaker_semseg.weights.files import read_arrays


def test_the_same_backbones():
    assert {name: (depth.block, depth.blocks) for name, depth in backbones.BACKBONES.items()} == BACKBONES


@pytest.mark.parametrize(
    ("algorithm", "backbone"),
    [("fcn", "resnet-18"), ("psp", "resnet-18"), ("deeplab", "resnet-18"), ("fcn", "resnet-50")],
)
def test_the_same_names_shapes_and_order(algorithm, backbone):
    weights = get_weights(build_network(algorithm, backbone, 6))
    assert [(name, array.shape) for name, array in weights.items()] == list(shapes(algorithm, backbone, 6).items())


def test_what_keras_saves_of_a_network_is_read_back(tmp_path):
    """The file is Keras's own: how it names layers inside is its affair, and changes with its releases."""
    network = build_network("psp", "resnet-18", 6)
    path = tmp_path / "net.weights.h5"
    network.save_weights(path)
    architecture, found = network_weights(read_arrays(path), "x")
    assert (architecture.algorithm, architecture.backbone, architecture.num_classes) == ("psp", "resnet-18", 6)
    assert all(np.array_equal(found[name], array) for name, array in get_weights(network).items())
