"""Arrays held against what networks have: named arrays from a file come in; what network they are, and float32 arrays
of exactly its names and shapes, go out. Called by the commands and by ``sources``.

Names and shapes say everything about these networks: the blocks of each stage name the backbone, the head's parts name
the algorithm, the last convolution has a row for each class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.weight_shapes import BACKBONES, BASIC, BOTTLENECK, Shapes, backbone_shapes, shapes
from sagemaker_semseg.weights.mxnet import Array
from sagemaker_semseg.weights.name_mapping import structural

CLASSES = range(2, 255)


@dataclass(frozen=True)
class Architecture:
    """What weights say about their network. algorithm and num_classes: None where there is a backbone alone."""

    backbone: str
    algorithm: str | None
    num_classes: int | None
    auxiliary: bool

    @property
    def shapes(self) -> Shapes:
        if self.algorithm is None or self.num_classes is None:
            return backbone_shapes(self.backbone)
        return shapes(self.algorithm, self.backbone, self.num_classes, auxiliary=self.auxiliary)


def network_weights(arrays: Mapping[str, Array], where: str) -> tuple[Architecture, dict[str, Array]]:
    """The network that the arrays of a file are, and its weights in the reference's order, checked, in float32.

    Raises ArtifactError with all faults, also where there is only a backbone.
    """
    named, faults = structural(arrays)
    _raise(faults, where)
    architecture = _infer(named, where)
    if architecture.algorithm is None:
        what = f"holds a {architecture.backbone} without a segmentation head"
        remedy = "give it to train, as --pretrained-weights"
        _raise([Fault(where, what, remedy)], where)
    return architecture, _checked(named, architecture.shapes, where)


def backbone_weights(arrays: Mapping[str, Array], backbone: str, where: str) -> dict[str, Array]:
    """The weights of ``backbone`` out of a file that holds it, with a head or without; else as ``network_weights``."""
    named, faults = structural(arrays)
    _raise(faults, where)
    found = _infer(named, where).backbone
    if found != backbone:
        remedy = f"give weights of {backbone}, or train with --backbone {found}"
        _raise([Fault(where, f"holds the weights of {found}, {backbone} is to be trained", remedy)], where)
    body = {name: array for name, array in named.items() if not name.startswith(("head.", "auxlayer."))}
    return _checked(body, backbone_shapes(backbone), where)


def with_auxiliary(architecture: Architecture, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights and, where the auxiliary head is missing, one that has not learned anything.

    It takes no part in predictions; training, which needs one, begins with it as with a new network's. The same every
    time.
    """
    complete: dict[str, Array] = dict(weights)
    random = np.random.default_rng(0)
    for name, shape in replace(architecture, auxiliary=True).shapes.items():
        if name not in complete:
            complete[name] = _fresh(name, shape, random)
    return complete


def _fresh(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if len(shape) == 4:  # as He et al. 2015 begin
        return (random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    return np.full(shape, float(name.endswith(("gamma", "running_var"))), np.float32)


def _raise(faults: list[Fault], where: str) -> None:
    if faults:
        raise ArtifactError(f"{where} can't be used as weights:", faults)


def _infer(named: Mapping[str, Array], where: str) -> Architecture:
    """The architecture, by names and two shapes; ``_checked`` judges all others."""
    blocks = [match for name in named if (match := re.match(r"layer([1-4])\.(\d{1,3})\.", name))]
    counts = tuple(len({match[2] for match in blocks if match[1] == stage}) for stage in "1234")
    kind = BOTTLENECK if "layer1.0.conv3.weight" in named else BASIC
    deep = "conv1.0.weight" in named
    backbone = next((name for name, depth in BACKBONES.items() if depth == (kind, counts)), None)
    if backbone is None or deep != (kind == BOTTLENECK):
        _raise([_foreign(named, kind, counts, deep, where)], where)
        raise AssertionError
    if "head.block.4.weight" not in named:
        return Architecture(backbone, None, None, False)
    algorithm = next((a for a, part in (("psp", "psp"), ("deeplab", "aspp")) if f"head.{part}" in _parts(named)), "fcn")
    weight = named["head.block.4.weight"]
    if weight.ndim != 4 or len(weight) not in CLASSES:
        what = f"has the shape {weight.shape}, (classes, channels, 1, 1) is expected with {CLASSES[0]} to {CLASSES[-1]}"
        _raise([Fault("head.block.4.weight", f"{what} classes")], where)
    return Architecture(backbone, algorithm, len(weight), any(name.startswith("auxlayer.") for name in named))


def _parts(named: Mapping[str, Array]) -> set[str]:
    return {".".join(name.split(".")[:2]) for name in named}


def _foreign(named: Mapping[str, Array], kind: str, counts: tuple[int, ...], deep: bool, where: str) -> Fault:
    """A fault that says what it is instead of one of the known backbones."""
    if not any(counts):
        names = ", ".join(name[:40] for name in list(named)[:3]) or "none"
        what = f"holds no ResNet whose names are known (its arrays: {names}{', ...' if len(named) > 3 else ''})"
        return Fault(where, what, "give weights of GluonCV, timm, torchvision or this package")
    stem = "three 3 x 3 convolutions" if deep else "one 7 x 7 convolution"
    what = f"holds a ResNet of {kind} blocks {counts} whose stem is {stem}"
    wanted = "; ".join(f"{name}: {depth[0]} {depth[1]}" for name, depth in BACKBONES.items())
    if kind == BOTTLENECK and not deep:
        remedy = (
            "the networks here have a stem of three 3 x 3 convolutions, which torchvision's ResNets of 50 layers and "
            "more don't have: give timm's resnet50s, resnet101s or resnet152s"
        )
        return Fault(where, what, remedy)
    return Fault(where, what, f"backbones here are {wanted}; bottleneck ones with the stem of three convolutions")


def _checked(named: Mapping[str, Array], expected: Shapes, where: str) -> dict[str, Array]:
    """The arrays in the order of ``expected``, as float32. Raises ArtifactError with all that don't fit."""
    faults = [Fault(name, "is not known in this network") for name in named if name not in expected]
    weights = {}
    for name, shape in expected.items():
        array = named.get(name)
        if array is None:
            faults.append(Fault(name, "is missing"))
        elif array.shape != shape:
            faults.append(Fault(name, f"has the shape {array.shape}, {shape} is expected"))
        elif array.dtype.kind != "f":
            faults.append(Fault(name, f"is of the type {array.dtype}, floating-point numbers are expected"))
        else:
            with np.errstate(over="ignore"):
                weights[name] = np.array(array, np.float32)
            if not np.isfinite(weights[name]).all():
                faults.append(Fault(name, "holds NaN or infinite numbers"))
            elif name.endswith("running_var") and (weights[name] < 0).any():
                faults.append(Fault(name, "holds negative numbers, and is a variance"))
    _raise(faults, where)
    return weights
