"""Maps the names of other libraries to structural ones, the reference implementation's (``layer3.2.bn2.running_mean``).

GluonCV, save_parameters    conv1.0.weight, layer1.0.bn1.gamma, head.block.4.bias      the structural names
GluonCV, net.export         arg:fcn0_resnetv1s_layers1_batchnorm0_gamma                by the order of construction
timm, torchvision           conv1.0.weight, layer1.0.bn1.weight, .bias
Keras, our own networks     layer1_0_bn1/gamma, kernels as (height, width, in, out)    done by ``hdf5``
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from sagemaker_semseg.architectures import BACKBONES, DECODERS, ArchitectureSpec, Convolution, classifier
from sagemaker_semseg.errors import Fault
from sagemaker_semseg.weights.mxnet import Array

# What classifiers have beyond a backbone, and PyTorch's counters of batches: of no use here, and no fault.
_UNUSED = re.compile(r"fc\.(weight|bias)|(.*\.)?num_batches_tracked|(.*_)?dense\d+_(weight|bias)")
_PYTORCH = {"weight": "gamma", "bias": "beta"}
_TO_PYTORCH = {structural: theirs for theirs, structural in _PYTORCH.items()}

# Gluon's names: the net's prefix, which counts the nets of a process, then the path of construction.
_GLUON = re.compile(r"(.*?)(conv|(?:sync)?batchnorm)(\d+)_(weight|bias|gamma|beta|running_mean|running_var)")
_GLUON_RESNETS = {"resnetv1s": BACKBONES["resnet-50"], "resnetv1b": BACKBONES["resnet-18"]}


def structural(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], list[Fault]]:
    """Renames arrays, and leaves out those that a classifier has beyond a backbone.

    A name that no library is known to use stays as it is; the check of shapes reports it.

    Returns:
        The arrays by structural names, in the file's order, and a fault for each second name of one weight.
    """
    plain = {re.sub(r"^(arg|aux):", "", name): name for name in arrays}
    kept = [name for name in plain if not _UNUSED.fullmatch(name)]
    translate = _GluonNames(kept).translate if any(_GLUON.fullmatch(name) for name in kept) else _pytorch
    result: dict[str, Array] = {}
    faults = []
    for name in kept:
        target = translate(name)
        if target in result:
            faults.append(Fault(name, f"means {target}, and so does another array"))
        result[target] = arrays[plain[name]]
    return result, faults


_TORCHVISION = (
    (r"(conv1|bn1|layer\d)\b", r"backbone.\1"),
    (r"auxlayer\.block\b", "aux_classifier"),
    (r"head\.aspp\.project\b", "classifier.0.project"),
    (r"head\.aspp\.concurent\.(\d+)(\.gap)?", r"classifier.0.convs.\1"),
    (r"head\.block\b", "classifier"),
)


def torchvision_weights(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Renames a network's weights as torchvision's segmentation models have them; PSPNet's branches as DeepLabV3's.

    In torchvision, DeepLabV3's branches are ``classifier.0``, and no dropout comes after the convolution behind them.
    """
    has_branches = any(name.startswith(("head.psp.", "head.aspp.")) for name in weights)
    renamed = {}
    for name, array in weights.items():
        layer, _, role = name.rpartition(".")
        target = f"{layer}.{_TO_PYTORCH.get(role, role)}"
        for pattern, replacement in _TORCHVISION:
            target = re.sub(f"^{pattern}", replacement, target)
        if psp := re.fullmatch(r"head\.psp\.conv(\d)\.(\d)\.(.*)", target):
            target = f"classifier.0.convs.{int(psp[1]) - 1}.{int(psp[2]) + 1}.{psp[3]}"
        if has_branches and (block := re.fullmatch(r"classifier\.([01])\.(\w+)", target)):
            target = f"classifier.{int(block[1]) + 1}.{block[2]}"
        renamed[target] = array
    return renamed


@functools.cache
def _norms() -> frozenset[str]:
    """Names of the batch normalizations of all networks."""
    specs = [ArchitectureSpec(backbone, algorithm, 2) for backbone in BACKBONES for algorithm in DECODERS]
    return frozenset(c.norm for spec in specs for c in spec.convolutions() if c.norm)


def _pytorch(name: str) -> str:
    """Replaces PyTorch's words for a batch normalization's scale and shift; Gluon's own names stay."""
    layer, _, role = name.removeprefix("module.").rpartition(".")
    if layer in _norms():
        role = _PYTORCH.get(role, role)
    return f"{layer}.{role}" if layer else role


class _GluonNames:
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
        """The structural name; a name that has none stays as it is."""
        match = _GLUON.fullmatch(name)
        if not match:
            return name
        scope, kind, number = match[1], match[2].removeprefix("sync"), int(match[3])
        if block := re.fullmatch(r".*(resnetv1[bs])\d*_layers([1-4])_", scope):
            in_block = len(next(_GLUON_RESNETS[block[1]].stages())[0].convolutions)
            count, layer = divmod(number, in_block)
            return f"layer{block[2]}.{count}.{'bn' if kind == 'batchnorm' else 'conv'}{layer + 1}.{match[4]}"
        names = [c.norm if kind == "batchnorm" else c.name for c in self.part(scope)]
        names = [part for part in names if part]
        return f"{names[number]}.{match[4]}" if number < len(names) else name

    def part(self, scope: str) -> Sequence[Convolution]:
        """The convolutions of the part of the net that a scope is."""
        if match := re.fullmatch(r".*(resnetv1[bs])\d*_", scope):
            return _GLUON_RESNETS[match[1]].stem()
        if match := re.fullmatch(r".*resnetv1[bs]\d*_down([1-4])_", scope):
            name = f"layer{match[1]}.0.downsample"
            return [Convolution(f"{name}.0", f"{name}.1", 0, 0)]
        if match := re.fullmatch(r".*_fcnhead(\d+)_hybridsequential\d+_", scope):
            main = self.fcn_heads[match[1]] == 0 and not self.has_own_head
            return classifier("head" if main else "auxlayer", 0, 0, 0)
        if match := re.fullmatch(r".*_pyramidpooling\d+_hybridsequential(\d+)_", scope):
            return self.sequential("psp", self.psp_branches[match[1]])
        if match := re.fullmatch(r".*_deeplabhead\d+_hybridsequential(\d+)_", scope):
            return self.sequential("deeplab", self.aspp_branches[match[1]])
        if re.fullmatch(r".*_(psphead|deeplabhead)\d+_", scope):
            return classifier("head", 0, 0, 0)
        return ()

    @staticmethod
    def sequential(algorithm: str, rank: int) -> Sequence[Convolution]:
        """The convolution of a branch, or the one after the branches."""
        return [c for c in DECODERS[algorithm].convolutions(0, 0) if ".block." not in c.name][rank : rank + 1]


def _ranks(scopes: Iterable[str], pattern: str) -> dict[str, int]:
    """The numbers that the pattern finds in scopes, and the rank of each."""
    found = {match[1] for scope in scopes if (match := re.fullmatch(pattern, scope))}
    return {number: rank for rank, number in enumerate(sorted(found, key=int))}
