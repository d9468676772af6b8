"""Detects which network named arrays belong to, and checks their names, shapes and values.

The blocks of each stage identify the backbone, the decoder's parts the algorithm, the last convolution's filters the
number of classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sagemaker_semseg.architectures import BACKBONES, DECODERS, VISIBLE_BACKBONES, ArchitectureSpec, Shapes, is_decoder
from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.hyperparameters import MAX_CLASSES
from sagemaker_semseg.weights.mxnet import Array
from sagemaker_semseg.weights.name_mapping import structural

CLASSES = range(2, MAX_CLASSES + 1)


def network_weights(arrays: Mapping[str, Array], where: str) -> tuple[ArchitectureSpec, dict[str, Array]]:
    """Detects the network of a file's arrays.

    Args:
        arrays: by any library's names.
        where: the file, for messages.

    Returns:
        The network, and its weights by structural names, in the reference's order, float32.

    Raises:
        ArtifactError: with all faults, also where there is only a backbone.
    """
    named, faults = structural(arrays)
    _raise(faults, where)
    architecture = _detect(named, where)
    if architecture.algorithm is None:
        what = f"holds a {architecture.backbone} without a segmentation head"
        remedy = "give it to train, as --pretrained-weights"
        _raise([Fault(where, what, remedy)], where)
    return architecture, _checked(named, architecture.shapes, where)


def backbone_weights(arrays: Mapping[str, Array], backbone: str, where: str) -> dict[str, Array]:
    """The weights of ``backbone`` in a file that holds it, with a decoder or without. Raises as ``network_weights``."""
    named, faults = structural(arrays)
    _raise(faults, where)
    found = _detect(named, where).backbone
    if found != backbone:
        remedy = f"give weights of {backbone}, or train with --backbone {found}"
        _raise([Fault(where, f"holds the weights of {found}, {backbone} is to be trained", remedy)], where)
    body = {name: array for name, array in named.items() if not is_decoder(name)}
    return _checked(body, ArchitectureSpec(backbone).shapes, where)


def with_auxiliary(architecture: ArchitectureSpec, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights and, where the auxiliary decoder is missing, random ones for it, the same every time.

    Predictions don't use it; training, which needs one, starts from it as from a new network's.
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


def _detect(named: Mapping[str, Array], where: str) -> ArchitectureSpec:
    """The network, by names and one shape; ``_checked`` checks all others."""
    blocks = [match for name in named if (match := re.match(r"layer([1-4])\.(\d{1,3})\.", name))]
    counts = tuple(len({match[2] for match in blocks if match[1] == stage}) for stage in "1234")
    kind = "bottleneck" if "layer1.0.conv3.weight" in named else "basic"
    found = (kind, counts, "conv1.0.weight" in named)
    backbone = next((k for k, spec in BACKBONES.items() if (spec.block, spec.counts, spec.deep_stem) == found), None)
    if backbone is None:
        _raise([_foreign(named, *found, where)], where)
        raise AssertionError
    if "head.block.4.weight" not in named:
        return ArchitectureSpec(backbone, auxiliary=False)
    algorithm = next((a for a, spec in DECODERS.items() if spec.joined and _has(named, f"{spec.joined}.")), "fcn")
    weight = named["head.block.4.weight"]
    if weight.ndim != 4 or len(weight) not in CLASSES:
        what = f"has the shape {weight.shape}, (classes, channels, 1, 1) is expected with {CLASSES[0]} to {CLASSES[-1]}"
        _raise([Fault("head.block.4.weight", f"{what} classes")], where)
    return ArchitectureSpec(backbone, algorithm, len(weight), _has(named, "auxlayer."))


def _has(named: Mapping[str, Array], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in named)


def _foreign(named: Mapping[str, Array], kind: str, counts: tuple[int, ...], deep: bool, where: str) -> Fault:
    """The fault of weights that are of none of the known backbones."""
    if not any(counts):
        names = ", ".join(name[:40] for name in list(named)[:3]) or "none"
        what = f"holds no ResNet whose names are known (its arrays: {names}{', ...' if len(named) > 3 else ''})"
        return Fault(where, what, "give weights of GluonCV, timm, torchvision or this package")
    stem = "three 3 x 3 convolutions" if deep else "one 7 x 7 convolution"
    what = f"holds a ResNet of {kind} blocks {counts} whose stem is {stem}"
    wanted = "; ".join(f"{name}: {BACKBONES[name].block} {BACKBONES[name].counts}" for name in VISIBLE_BACKBONES)
    if kind == "bottleneck" and not deep:
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
