"""The list of names and shapes, which is made without Keras, held against the networks that Keras builds."""

import pytest

from sagemaker_semseg.models import backbones
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights
from sagemaker_semseg.weights.layout import BACKBONES, shapes


def test_the_same_backbones():
    assert {name: (depth.block, depth.blocks) for name, depth in backbones.BACKBONES.items()} == BACKBONES


@pytest.mark.parametrize(
    ("algorithm", "backbone"),
    [("fcn", "resnet-18"), ("psp", "resnet-18"), ("deeplab", "resnet-18"), ("fcn", "resnet-50")],
)
def test_the_same_names_shapes_and_order(algorithm, backbone):
    weights = get_weights(build_network(algorithm, backbone, 6))
    assert [(name, array.shape) for name, array in weights.items()] == list(shapes(algorithm, backbone, 6).items())
