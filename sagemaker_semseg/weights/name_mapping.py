"""Names of other libraries made structural ones: named arrays as a file has them come in, the same arrays under the
reference engine's names (``layer3.2.bn2.running_mean``) go out. Called by ``infer``; shapes are judged there.

    GluonCV, save_parameters    conv1.0.weight, layer1.0.bn1.gamma, head.block.4.bias      the structural names
    GluonCV, net.export         arg:fcn0_resnetv1s_layers1_batchnorm0_gamma                by the order of construction
    timm, torchvision           conv1.0.weight, layer1.0.bn1.weight, .bias
    Keras, our own networks     layer1_0_bn1/gamma, kernels as (height, width, in, out)    done by ``hdf5``
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.weights.mxnet import Array

# What classifiers carry beyond a backbone, and PyTorch's counters of batches: of no use here, and no fault.
_UNUSED = re.compile(r"fc\.(weight|bias)|(.*\.)?num_batches_tracked|(.*_)?dense\d+_(weight|bias)")
_PYTORCH = {"weight": "gamma", "bias": "beta"}
_STRUCTURAL_NORM = re.compile(
    r"bn[123]|conv1\.[14]|.*\.(bn[123]|downsample\.1|block\.1|psp\.conv\d\.1|concurent\.\d\.1|gap\.2|project\.1)"
)

# Gluon's names: the net's prefix, which counts the nets of a process, then the path of construction.
_GLUON = re.compile(r"(.*?)(conv|(?:sync)?batchnorm)(\d+)_(weight|bias|gamma|beta|running_mean|running_var)")
_Parts = dict[str, tuple[str, ...]]
_STEMS: dict[str, _Parts] = {
    "resnetv1s": {"conv": ("conv1.0", "conv1.3", "conv1.6"), "batchnorm": ("conv1.1", "conv1.4", "bn1")},
    "resnetv1b": {"conv": ("conv1",), "batchnorm": ("bn1",)},
}
_IN_BLOCK = {"resnetv1s": 3, "resnetv1b": 2}
_CLASSIFIER: _Parts = {"conv": ("block.0", "block.4"), "batchnorm": ("block.1",)}
_PAIR: _Parts = {"conv": ("0",), "batchnorm": ("1",)}
_GAP: _Parts = {"conv": ("gap.1",), "batchnorm": ("gap.2",)}
_ASPP = [(f"aspp.concurent.{i}.", _PAIR) for i in range(4)] + [("aspp.concurent.4.", _GAP), ("aspp.project.", _PAIR)]


def structural(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], list[Fault]]:
    """The arrays under structural names, in the file's order, without those that a classifier has beyond a backbone.

    A name that is known to none of the libraries stays as it is, for shapes to be judged with all the others. Faults:
    two names that mean the same weight.
    """
    plain = {re.sub(r"^(arg|aux):", "", name): name for name in arrays}
    kept = [name for name in plain if not _UNUSED.fullmatch(name)]
    translate = _Gluon(kept).translate if any(_GLUON.fullmatch(name) for name in kept) else _pytorch
    result: dict[str, Array] = {}
    faults = []
    for name in kept:
        target = translate(name)
        if target in result:
            faults.append(Fault(name, f"means {target}, and so does another array"))
        result[target] = arrays[plain[name]]
    return result, faults


def _pytorch(name: str) -> str:
    """The name with PyTorch's words for a batch normalisation's scale and shift replaced; Gluon's own are left."""
    layer, _, role = name.removeprefix("module.").rpartition(".")
    if _STRUCTURAL_NORM.fullmatch(layer):
        role = _PYTORCH.get(role, role)
    return f"{layer}.{role}" if layer else role


class _Gluon:
    """Gluon's names, which count layers of a kind within each part of a net: their ranks tell the layers apart.

    Where a count begins differs between releases and with what a process has built before; the order doesn't.
    """

    def __init__(self, names: Iterable[str]):
        scopes = {match[1] for name in names if (match := _GLUON.fullmatch(name))}
        self.fcn_heads = _ranks(scopes, r".*_fcnhead(\d+)_.*")
        self.psp_branches = _ranks(scopes, r".*_pyramidpooling\d+_hybridsequential(\d+)_")
        self.aspp_branches = _ranks(scopes, r".*_deeplabhead\d+_hybridsequential(\d+)_")
        self.has_own_head = any(re.search(r"_(psphead|deeplabhead)\d+_", scope) for scope in scopes)

    def translate(self, name: str) -> str:
        """The structural name; a name that has none here stays as it is."""
        match = _GLUON.fullmatch(name)
        if not match:
            return name
        scope, kind, number = match[1], match[2].removeprefix("sync"), int(match[3])
        if block := re.fullmatch(r".*(resnetv1[bs])\d*_layers([1-4])_", scope):
            count, layer = divmod(number, _IN_BLOCK[block[1]])
            place = f"layer{block[2]}.{count}.{'bn' if kind == 'batchnorm' else 'conv'}{layer + 1}"
        else:
            prefix, parts = self.part(scope, kind)
            if number >= len(parts):
                return name
            place = prefix + parts[number]
        return f"{place}.{match[4]}"

    def part(self, scope: str, kind: str) -> tuple[str, tuple[str, ...]]:
        """The part of the net that a scope is, and in it the layers of a kind by their numbers."""
        if match := re.fullmatch(r".*(resnetv1[bs])\d*_", scope):
            return "", _STEMS[match[1]][kind]
        if match := re.fullmatch(r".*resnetv1[bs]\d*_down([1-4])_", scope):
            return f"layer{match[1]}.0.downsample.", _PAIR[kind]
        if match := re.fullmatch(r".*_fcnhead(\d+)_hybridsequential\d+_", scope):
            main = self.fcn_heads[match[1]] == 0 and not self.has_own_head
            return "head." if main else "auxlayer.", _CLASSIFIER[kind]
        if match := re.fullmatch(r".*_pyramidpooling\d+_hybridsequential(\d+)_", scope):
            return f"head.psp.conv{self.psp_branches[match[1]] + 1}.", _PAIR[kind]
        if match := re.fullmatch(r".*_deeplabhead\d+_hybridsequential(\d+)_", scope):
            rank = self.aspp_branches[match[1]]
            return (f"head.{_ASPP[rank][0]}", _ASPP[rank][1][kind]) if rank < len(_ASPP) else ("", ())
        if re.fullmatch(r".*_(psphead|deeplabhead)\d+_", scope):
            return "head.", _CLASSIFIER[kind]
        return "", ()


def _ranks(scopes: Iterable[str], pattern: str) -> dict[str, int]:
    """The numbers that the pattern finds in scopes, and the rank of each."""
    found = {match[1] for scope in scopes if (match := re.fullmatch(pattern, scope))}
    return {number: rank for rank, number in enumerate(sorted(found, key=int))}
