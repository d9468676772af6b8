"""Names of other libraries, and what network names and shapes mean: compared with the reference's own lists."""

from __future__ import annotations

import numpy as np
import pytest

from sagemaker_semseg.architectures import BACKBONES, ArchitectureSpec
from sagemaker_semseg.errors import ArtifactError
from sagemaker_semseg.weights.detect_architecture import backbone_weights, network_weights, with_auxiliary
from sagemaker_semseg.weights.name_mapping import structural

ZERO = np.zeros((), np.float32)


def arrays_of(expected):
    """Arrays of these shapes that take no memory."""
    return {name: np.broadcast_to(ZERO, shape) for name, shape in expected.items()}


def small():
    """A whole network that is quick to check, every weight different."""
    random = np.random.default_rng(1)
    return {
        name: random.random(shape, np.float32) for name, shape in ArchitectureSpec("resnet-18", "fcn", 3).shapes.items()
    }  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "backbone", "auxiliary"),
    [
        *(
            (algorithm, "resnet-18", auxiliary)
            for algorithm in ("fcn", "psp", "deeplab")
            for auxiliary in (True, False)
        ),
        *(("fcn", backbone, True) for backbone in BACKBONES if backbone != "resnet-18"),
    ],
)
def test_every_network_is_known_by_its_weights(algorithm, backbone, auxiliary):
    expected = ArchitectureSpec(backbone, algorithm, 7, auxiliary=auxiliary).shapes
    architecture, weights = network_weights(arrays_of(expected), "x")
    assert architecture == ArchitectureSpec(backbone, algorithm, 7, auxiliary)
    assert [(name, array.shape) for name, array in weights.items()] == list(expected.items())


# Gluon's own names for the layers of a net, from GluonCV 0.10.5's export: prefix of the net, scope, kinds and roles.
EXPORTED = {
    "conv1.0.weight": "arg:fcn0_resnetv1s_conv0_weight",
    "conv1.4.gamma": "arg:fcn0_resnetv1s_batchnorm1_gamma",
    "bn1.running_var": "aux:fcn0_resnetv1s_batchnorm2_running_var",
    "layer1.0.downsample.0.weight": "arg:fcn0_resnetv1s_down1_conv0_weight",
    "layer3.0.downsample.1.running_mean": "aux:fcn0_resnetv1s_down3_batchnorm0_running_mean",
    "layer1.1.conv1.weight": "arg:fcn0_resnetv1s_layers1_conv3_weight",
    "layer3.5.bn3.beta": "arg:fcn0_resnetv1s_layers3_batchnorm17_beta",
    "head.block.0.weight": "arg:fcn0__fcnhead0_hybridsequential0_conv0_weight",
    "head.block.4.bias": "arg:fcn0__fcnhead0_hybridsequential0_conv1_bias",
    "auxlayer.block.1.running_var": "aux:fcn0__fcnhead1_hybridsequential0_batchnorm0_running_var",
}
PYRAMID = {
    "head.psp.conv1.0.weight": "arg:pspnet3__pyramidpooling0_hybridsequential0_conv0_weight",
    "head.psp.conv4.1.gamma": "arg:pspnet3__pyramidpooling0_hybridsequential3_batchnorm0_gamma",
    "head.psp.conv2.0.weight": "arg:pspnet3__pyramidpooling0_hybridsequential1_conv0_weight",
    "head.psp.conv3.0.weight": "arg:pspnet3__pyramidpooling0_hybridsequential2_conv0_weight",
    "head.block.4.weight": "arg:pspnet3__psphead0_conv1_weight",
    "head.block.1.beta": "arg:pspnet3__psphead0_batchnorm0_beta",
    "auxlayer.block.4.weight": "arg:pspnet3__fcnhead0_hybridsequential0_conv1_weight",
}
ATROUS = {
    **{f"head.aspp.concurent.{i}.0.weight": f"d__deeplabhead0_hybridsequential{i}_conv0_weight" for i in range(4)},
    "head.aspp.concurent.3.1.running_var": "d__deeplabhead0_hybridsequential3_batchnorm0_running_var",
    "head.aspp.concurent.4.gap.1.weight": "d__deeplabhead0_hybridsequential4_conv0_weight",
    "head.aspp.concurent.4.gap.2.gamma": "d__deeplabhead0_hybridsequential4_batchnorm0_gamma",
    "head.aspp.project.0.weight": "d__deeplabhead0_hybridsequential5_conv0_weight",
    "head.aspp.project.1.beta": "d__deeplabhead0_hybridsequential5_batchnorm0_beta",
    "head.block.0.weight": "d__deeplabhead0_conv0_weight",
    "head.block.4.bias": "d__deeplabhead0_conv1_bias",
    "auxlayer.block.0.weight": "d__fcnhead0_hybridsequential0_conv0_weight",
}
BASIC = {
    "conv1.weight": "arg:n_resnetv1b_conv0_weight",
    "bn1.gamma": "arg:n_resnetv1b_batchnorm0_gamma",
    "layer2.1.conv2.weight": "arg:n_resnetv1b_layers2_conv3_weight",
    "layer2.0.downsample.1.beta": "arg:n_resnetv1b_down2_batchnorm0_beta",
}


@pytest.mark.parametrize("names", [EXPORTED, PYRAMID, ATROUS, BASIC], ids=["fcn", "psp", "deeplab", "basic"])
@pytest.mark.parametrize("sync", ["", "sync"])
def test_names_of_an_exported_net(names, sync):
    arrays = {theirs.replace("batchnorm", sync + "batchnorm"): ours for ours, theirs in names.items()}
    found, faults = structural(arrays)
    assert not faults
    assert found == {ours: ours for ours in names}


def test_counters_of_an_exported_net_may_begin_anywhere():
    arrays = {
        name.replace("fcnhead1", "fcnhead12").replace("fcnhead0", "fcnhead9"): ours for ours, name in EXPORTED.items()
    }
    assert structural(arrays)[0] == {ours: ours for ours in EXPORTED}


def test_pytorchs_names():
    arrays = {
        "conv1.0.weight": 0, "conv1.1.weight": 1, "conv1.1.bias": 2, "conv1.1.num_batches_tracked": 3, "bn1.weight": 4,
        "module.layer1.0.bn2.running_var": 5, "layer1.0.downsample.0.weight": 6, "layer1.0.downsample.1.bias": 7,
        "fc.weight": 8, "fc.bias": 9, "layer4.2.conv3.weight": 10,
    }  # fmt: skip
    expected = {
        "conv1.0.weight": 0, "conv1.1.gamma": 1, "conv1.1.beta": 2, "bn1.gamma": 4, "layer1.0.bn2.running_var": 5,
        "layer1.0.downsample.0.weight": 6, "layer1.0.downsample.1.beta": 7, "layer4.2.conv3.weight": 10,
    }  # fmt: skip
    assert structural(arrays) == (expected, [])


def test_a_classifier_s_bias_stays_one():
    assert list(structural({"head.block.4.bias": 0, "auxlayer.block.4.weight": 1, "head.block.1.weight": 2})[0]) == [
        "head.block.4.bias",
        "auxlayer.block.4.weight",
        "head.block.1.gamma",
    ]


def test_two_names_of_one_weight():
    _, faults = structural({"bn1.gamma": 0, "bn1.weight": 1})
    assert [str(fault) for fault in faults] == ["bn1.weight: means bn1.gamma, and so does another array"]


def test_values_go_where_their_names_say():
    weights = small()
    _, found = network_weights({name: array.astype(np.float64) for name, array in weights.items()}, "x")
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == np.float32 for name, array in weights.items()
    )


def test_all_faults_at_once():
    weights = small()
    del weights["bn1.beta"]
    weights["layer2.0.conv1.weight"] = np.zeros((128, 64, 1, 1), np.float32)
    weights["layer4.1.bn2.gamma"] = np.full(512, np.nan, np.float32)
    weights["layer4.1.bn2.running_var"] = np.full(512, -1, np.float32)
    weights["layer1.0.conv1.weight"] = np.zeros((64, 64, 3, 3), np.int32)
    weights["layer3.1.bn1.beta"] = np.full(256, 1e300)
    weights["head.block.9.weight"] = np.zeros(1, np.float32)
    with pytest.raises(ArtifactError) as caught:
        network_weights(weights, "some.params")
    assert [str(fault) for fault in caught.value.faults] == [
        "head.block.9.weight: is not known in this network",
        "bn1.beta: is missing",
        "layer1.0.conv1.weight: is of the type int32, floating-point numbers are expected",
        "layer2.0.conv1.weight: has the shape (128, 64, 1, 1), (128, 64, 3, 3) is expected",
        "layer3.1.bn1.beta: holds NaN or infinite numbers",
        "layer4.1.bn2.gamma: holds NaN or infinite numbers",
        "layer4.1.bn2.running_var: holds negative numbers, and is a variance",
    ]


def test_a_backbone_out_of_a_classifier_and_out_of_a_network():
    weights = small()
    body = {name: weights[name] for name in ArchitectureSpec("resnet-18").shapes}
    classifier = {**body, "fc.weight": np.zeros((1000, 512)), "fc.bias": np.zeros(1000)}
    for arrays in (weights, classifier):
        found = backbone_weights(arrays, "resnet-18", "x")
        assert list(found) == list(body)
        assert all(np.array_equal(found[name], body[name]) for name in body)


def test_another_backbone():
    with pytest.raises(ArtifactError, match="the weights of resnet-18, resnet-50 is to be trained"):
        backbone_weights(small(), "resnet-50", "x")


def test_a_backbone_is_no_network():
    with pytest.raises(ArtifactError, match=r"resnet-18 without a segmentation head \(give it to train"):
        network_weights(arrays_of(ArchitectureSpec("resnet-18").shapes), "x")


def test_torchvisions_resnet_50_has_another_stem():
    theirs = {
        name: shape for name, shape in ArchitectureSpec("resnet-50").shapes.items() if not name.startswith("conv1.")
    }
    theirs["conv1.weight"] = (64, 3, 7, 7)
    with pytest.raises(ArtifactError, match=r"one 7 x 7 convolution .*torchvision's.* give timm's resnet50s"):
        backbone_weights(arrays_of(theirs), "resnet-50", "x")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": (1,), "b": (1,)}, r"no ResNet whose names are known \(its arrays: a, b\)"),
        ({"layer1.0.conv1.weight": (64, 64, 3, 3)}, r"basic blocks \(1, 0, 0, 0\)"),
        ({}, "its arrays: none"),
        (
            {**ArchitectureSpec("resnet-18", "fcn", 2).shapes, "head.block.4.weight": (1, 128, 1, 1)},
            r"shape \(1, 128, 1, 1\)",
        ),
        ({**ArchitectureSpec("resnet-18", "fcn", 2).shapes, "head.block.4.weight": ()}, r"shape \(\)"),
    ],
)
def test_what_is_no_network(arrays, message):
    with pytest.raises(ArtifactError, match=message):
        network_weights(arrays_of(arrays), "x")


def test_a_missing_auxiliary_head_is_a_new_one():
    weights = {name: array for name, array in small().items() if not name.startswith("auxlayer.")}
    architecture, found = network_weights(weights, "x")
    complete = with_auxiliary(architecture, found)
    assert {name: array.shape for name, array in complete.items()} == ArchitectureSpec("resnet-18", "fcn", 3).shapes
    assert all(complete[name] is found[name] for name in found)
    kernel = complete["auxlayer.block.0.weight"]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (256 * 9)), rel=0.02)
    assert (complete["auxlayer.block.1.running_var"] == 1).all()
    assert (complete["auxlayer.block.4.bias"] == 0).all()
