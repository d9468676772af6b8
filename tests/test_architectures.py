"""The table of networks, against the networks' description and against the reference's own lists of weights."""

import dataclasses
import itertools

import numpy as np
import pytest

from sagemaker_semseg.architectures import BACKBONES, DECODERS, VISIBLE_BACKBONES, ArchitectureSpec
from sagemaker_semseg.errors import HyperparameterError
from sagemaker_semseg.hyperparameters import TABLE, resolve

COUNTS = {
    "resnet-18": (2, 2, 2, 2),
    "resnet-34": (3, 4, 6, 3),
    "resnet-50": (3, 4, 6, 3),
    "resnet-101": (3, 4, 23, 3),
    "resnet-152": (3, 8, 36, 3),
    "resnet-tiny": (1, 1, 1, 1),
}


def described(algorithm: str, backbone: str, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and (OIHW) shapes of all weights, in the reference's order, from the description of the networks.

    ResNets: He et al. 2016, the deep stem of "v1s"; PSP: Zhao et al. 2017; DeepLabV3: Chen et al. 2017.
    """
    arrays: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, into: int, size: int) -> None:
        arrays[f"{name}.weight"] = (out, into, size, size)

    def norm(name: str, channels: int) -> None:
        arrays.update({f"{name}.{part}": (channels,) for part in ("gamma", "beta", "running_mean", "running_var")})

    counts = COUNTS[backbone]
    deep = backbone in ("resnet-50", "resnet-101", "resnet-152")
    if deep:
        for i, (out, into) in ((0, (64, 3)), (3, (64, 64)), (6, (128, 64))):
            conv(f"conv1.{i}", out, into, 3)
            norm(f"conv1.{i + 1}" if i < 6 else "bn1", out)
    else:
        conv("conv1", 64, 3, 7)
        norm("bn1", 64)
    channels = 128 if deep else 64
    for stage, count in enumerate(counts, start=1):
        planes = 64 * 2 ** (stage - 1)
        out = planes * (4 if deep else 1)
        for i in range(count):
            name = f"layer{stage}.{i}"
            sizes = ((planes, channels, 1), (planes, planes, 3), (out, planes, 1))
            for j, (o, c, k) in enumerate(sizes if deep else ((planes, channels, 3), (planes, planes, 3)), start=1):
                conv(f"{name}.conv{j}", o, c, k)
                norm(f"{name}.bn{j}", o)
            if channels != out:
                conv(f"{name}.downsample.0", out, channels, 1)
                norm(f"{name}.downsample.1", out)
            channels = out

    def block(name: str, into: int, middle: int) -> None:
        conv(f"{name}.block.0", middle, into, 3)
        norm(f"{name}.block.1", middle)
        conv(f"{name}.block.4", num_classes, middle, 1)
        arrays[f"{name}.block.4.bias"] = (num_classes,)

    if algorithm == "fcn":
        block("head", channels, channels // 4)
    elif algorithm == "psp":
        for i in (1, 2, 3, 4):
            conv(f"head.psp.conv{i}.0", channels // 4, channels, 1)
            norm(f"head.psp.conv{i}.1", channels // 4)
        block("head", 2 * channels, channels // 4)
    else:
        aspp = "head.aspp.concurent"
        for i, size in enumerate((1, 3, 3, 3)):
            conv(f"{aspp}.{i}.0", 256, channels, size)
            norm(f"{aspp}.{i}.1", 256)
        conv(f"{aspp}.4.gap.1", 256, channels, 1)
        norm(f"{aspp}.4.gap.2", 256)
        conv("head.aspp.project.0", 256, 5 * 256, 1)
        norm("head.aspp.project.1", 256)
        block("head", 256, 256)
    block("auxlayer", channels // 2, channels // 8)
    return arrays


@pytest.mark.parametrize(("algorithm", "backbone"), list(itertools.product(DECODERS, BACKBONES)))
def test_names_shapes_and_order(algorithm, backbone):
    spec = ArchitectureSpec(backbone, algorithm, 7)
    expected = described(algorithm, backbone, 7)
    assert list(spec.shapes.items()) == list(expected.items())
    without = dataclasses.replace(spec, auxiliary=False).shapes
    assert list(without) == [name for name in expected if not name.startswith("auxlayer.")]
    assert list(ArchitectureSpec(backbone).shapes) == [name for name in without if not name.startswith("head.")]


@pytest.mark.parametrize(
    ("algorithm", "backbone", "arrays", "values"),
    [
        ("fcn", "resnet-50", 289, 35_488_714),
        ("psp", "resnet-50", 309, 49_128_394),
        ("deeplab", "resnet-50", 319, 42_177_226),
        ("fcn", "resnet-101", 544, 54_533_066),
    ],
)
def test_sizes_of_the_reference(algorithm, backbone, arrays, values):
    """The reference's totals, for 5 classes."""
    shapes = ArchitectureSpec(backbone, algorithm, 5).shapes.values()
    assert len(shapes) == arrays
    assert sum(int(np.prod(shape)) for shape in shapes) == values


def test_a_hidden_backbone_is_accepted_and_not_shown():
    hidden = [name for name in BACKBONES if name not in VISIBLE_BACKBONES]
    assert hidden == ["resnet-tiny"]
    assert resolve({"num_classes": 2, "backbone": "resnet-tiny"}).backbone == "resnet-tiny"
    (row,) = [row for row in TABLE if row.name == "backbone"]
    assert "resnet-tiny" not in (*row.choices, *row.added_choices, row.expected)
    with pytest.raises(HyperparameterError) as error:
        resolve({"num_classes": 2, "backbone": "resnet-tin"})
    assert "resnet-tiny" not in str(error.value)


@pytest.mark.parametrize(
    ("net", "spec"),
    [
        ("fcn_resnet50", ArchitectureSpec("resnet-50", "fcn", 5)),
        ("psp_resnet50", ArchitectureSpec("resnet-50", "psp", 5)),
        ("deeplab_resnet50", ArchitectureSpec("resnet-50", "deeplab", 5)),
        ("fcn_resnet101", ArchitectureSpec("resnet-101", "fcn", 5)),
        ("backbone_resnet18", ArchitectureSpec("resnet-18")),
    ],
)
def test_the_references_own_lists(reference, net, spec):
    assert [[name, list(shape)] for name, shape in spec.shapes.items()] == reference("weights.json")[net]
