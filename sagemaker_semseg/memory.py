"""How much memory a training or an endpoint will take: hyperparameters and sizes of images in, bytes out.

Nothing is built and no TensorFlow is loaded: the sums go over the list of a network's convolutions (``layout``) and
what each of them leaves behind. Called by the doctor, for its advice and its page, and by whoever chooses an instance.

What a training step holds, for N images, with 4 bytes to a number, or 2 in half precision:

- parameters: weights, the optimizer's slots and what an update of them all has in hand;
- activations, kept from the way forward for the way back: of each convolution its result, which batch normalisation
  asks for, and the ReLU's, which the next convolution and the ReLU itself ask for; copies that are padded, pooled or
  joined;
- logits of both heads at the crop's size, N x crop x crop x num_classes x 4 bytes each, and their gradients;
- working space: what is in hand around the largest tensor, and DeepLab's features with the margins that its dilated
  convolutions want on a CPU, which at small crops are larger than the features.

A forward step alone holds the tensors around one convolution at a time, those of the costliest. On top comes the
program: Python, TensorFlow and its graphs.

The factors below were fitted to measured peaks on a CPU with two cores and then held against others, which were at
most 10 % off (``benchmarks/memory.py`` and its page); other machines get a wider band. On a GPU the program stays in
the machine's memory and the rest is the GPU's; cuDNN's working space isn't known here, and no GPU was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sagemaker_semseg.hyperparameters import Hyperparameters
from sagemaker_semseg.weight_shapes import BACKBONES, BASIC, shapes

__all__ = ["ERROR_BAND", "Estimate", "inference", "training_step", "validation_step"]

ERROR_BAND: Final = 0.15
"""How far a peak may be from its estimate, as a share of it."""

_MB: Final = 10**6
_STRIDE: Final = 8
_SLOTS: Final = {"sgd": 1, "nag": 1, "adam": 2, "adagrad": 1, "rmsprop": 3}
_DILATIONS: Final = (12, 24, 36)  # of DeepLab's head
MAX_EVALUATION_PIXELS: Final = 1 << 20
"""Pixels of one batch of an evaluation, unless a single image has more."""
_POOLED: Final = (1, 2, 3, 6)  # cells a side of PSPNet's branches

# fitted, see above
_TRAINER, _GRAPH = 650 * _MB, 4 * _MB  # TensorFlow, and its graphs by convolution
_EVALUATOR, _EVALUATOR_WEIGHTS, _EVALUATOR_LIVE = 690 * _MB, 1.65, 2.05
_ENDPOINT, _ENDPOINT_WEIGHTS, _ENDPOINT_LIVE, _ENDPOINT_LOADING = 70 * _MB, 2.55, 2.55, 4.4
_UPDATE = 2.45  # copies of the weights and of each slot
_KEPT = 1.1
_IN_HAND = 8.5  # copies of the largest tensor
_LOGITS = 1.75  # of one head's: both heads', and their gradients, but not all at once


@dataclass(frozen=True)
class Estimate:
    """parts: bytes by what holds them; ``program`` is the part that stays in the machine's memory if there is a GPU."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def on_gpu(self) -> int:
        return self.total - self.parts["program"]


def training_step(hp: Hyperparameters, replicas: int = 1) -> Estimate:
    """Of one device of ``replicas``; each has its share of ``mini_batch_size``."""
    images, side = math.ceil(hp.mini_batch_size / replicas), hp.padded_crop_size
    width = images * _bytes_per_number(hp)
    convolutions = _convolutions(hp, side, side)
    largest = max(max(c.before, c.after) for c in convolutions)
    margins = _margins(hp, side) if hp.algorithm == "deeplab" else 0
    return _estimate(
        program=_TRAINER + _GRAPH * len(convolutions),
        parameters=_UPDATE * _weights(hp) * (1 + _SLOTS[hp.optimizer]),
        activations=_KEPT * width * sum(c.kept for c in convolutions),
        logits=_LOGITS * images * side**2 * hp.num_classes * 4,
        working=width * (_IN_HAND * largest + margins),
    )


def validation_step(hp: Hyperparameters, sizes: Iterable[tuple[int, int]]) -> Estimate:
    """Of an evaluation over images of these (height, width): of the costliest batch that it makes of them."""
    most = max(sizes, key=lambda size: size[0] * size[1] * _batch(hp, *size))
    convolutions = _convolutions(hp, *most)
    live = _batch(hp, *most) * max(c.before + c.after for c in convolutions)
    return _estimate(
        program=_EVALUATOR,
        parameters=_EVALUATOR_WEIGHTS * _weights(hp),
        working=_EVALUATOR_LIVE * live * _bytes_per_number(hp),
    )


def inference(hp: Hyperparameters, height: int, width: int, tile_pixels: int = 2**21) -> Estimate:
    """Of an endpoint's worker, or of ``predict``, with its largest image; float32 and the runtime graph.

    Images of more than ``tile_pixels`` go through the network in tiles, for which this is the most. While it starts, a
    worker takes more for about a second: the larger of the two counts.
    """
    share = min(1.0, tile_pixels / (height * width))
    live = 4 * share * max(c.before + c.after for c in _convolutions(hp, height, width))
    weights = _weights(hp)
    starting = (_ENDPOINT_LOADING - _ENDPOINT_WEIGHTS) * weights
    return _estimate(
        program=_ENDPOINT, parameters=_ENDPOINT_WEIGHTS * weights, working=max(_ENDPOINT_LIVE * live, starting)
    )


def _estimate(**parts: float) -> Estimate:
    return Estimate({name: round(value) for name, value in parts.items()})


def _bytes_per_number(hp: Hyperparameters) -> int:
    return 4 if hp.precision == "float32" else 2


def _weights(hp: Hyperparameters) -> int:
    """Bytes of all weights, in float32."""
    return 4 * sum(math.prod(shape) for shape in shapes(hp.algorithm, hp.backbone, hp.num_classes).values())


def _batch(hp: Hyperparameters, height: int, width: int) -> int:
    """Images of this size in one step of an evaluation, which has at most ``MAX_EVALUATION_PIXELS`` in it."""
    return max(1, min(hp.validation_mini_batch_size, MAX_EVALUATION_PIXELS // (height * width)))


def _margins(hp: Hyperparameters, side: int) -> int:
    """Numbers of DeepLab's three copies of the features, each with its margin, for one image."""
    features = 512 if BACKBONES[hp.backbone][0] == BASIC else 2048
    cells = math.ceil(side / _STRIDE)
    return features * sum((cells + 2 * dilation) ** 2 for dilation in _DILATIONS)


@dataclass(frozen=True)
class _Convolution:
    """One convolution and what follows it, in numbers of one image. before, after: of its input and of its output.

    kept: that wait for the way back.
    """

    before: int
    after: int
    kept: int


def _convolutions(hp: Hyperparameters, height: int, width: int) -> list[_Convolution]:
    basic = BACKBONES[hp.backbone][0] == BASIC
    found = []
    for name, shape in shapes(hp.algorithm, hp.backbone, hp.num_classes).items():
        if len(shape) != 4:
            continue
        out, into, size, _ = shape
        first, last = _scales(name, basic)
        before, after = (into * _cells(height, width, first), out * _cells(height, width, last))
        if name.startswith("head.psp"):
            branch = int(name.removeprefix("head.psp.conv")[0])
            before, after = into * _cells(height, width, _STRIDE), out * _POOLED[branch - 1] ** 2
        elif ".concurent.4." in name:
            before, after = into * _cells(height, width, _STRIDE), out
        single = ".downsample." in name or name.endswith("block.4.weight")  # no ReLU of its own
        kept = after if single else 2 * after
        if first != last and size > 1:
            kept += before  # padded by hand, and the copy stays
        if name in ("conv1.weight", "conv1.6.weight"):  # the pooling's padded input and its result
            kept += after + after // 4
        if name.startswith("head.psp") or ".concurent." in name:
            kept += out * _cells(height, width, _STRIDE)  # its share of the joined features
        if name == "head.block.0.weight" and hp.algorithm == "psp":
            kept += before // 2  # the backbone's features are joined too
        if name.endswith(("block.0.weight", "project.0.weight")):
            kept += 2 * after  # dropout: the mask and the result
        found.append(_Convolution(before, after, kept))
    return found


def _scales(name: str, basic: bool) -> tuple[int, int]:
    """By how much the input and the output of a convolution are smaller than the image, along a side."""
    if name.startswith("conv1"):
        return (1 if name in ("conv1.weight", "conv1.0.weight") else 2), 2
    if name.startswith("layer1."):
        return 4, 4
    if name.startswith("layer2.0."):
        strided = "conv1" if basic else "conv2"
        if strided in name or "downsample" in name:
            return 4, _STRIDE
        return (_STRIDE, _STRIDE) if basic or "conv3" in name else (4, 4)
    return _STRIDE, _STRIDE


def _cells(height: int, width: int, scale: int) -> int:
    return math.ceil(height / scale) * math.ceil(width / scale)
