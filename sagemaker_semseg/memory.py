"""Estimates the memory that a training or an endpoint takes, from hyperparameters and sizes of images.

Nothing is built and no TensorFlow is loaded: the sums run over a network's convolutions (``ArchitectureSpec``) and the
tensors around each. A training step holds, for N images, with 4 bytes a number, or 2 in half precision:

- parameters: weights, the optimizer's slots and copies during the update;
- activations, kept for the backward pass: the result of each convolution, for batch normalization, and that of each
  ReLU, for itself and the next convolution; copies that are padded, pooled or joined. With ``recompute`` those of the
  residual blocks' outputs, of two blocks and of the decoder;
- logits of both decoders at the crop's size, N x crop x crop x num_classes x 4 bytes each, and their gradients;
- working space around the largest tensor, and DeepLab's features with the padding of its dilated convolutions on a CPU,
  which at small crops is larger than the features.

A forward pass alone holds the tensors around one convolution at a time, so the largest pair counts. The program itself
is added: Python, TensorFlow and its graphs.

The factors were fitted to measured peaks on a CPU with two cores; other measured peaks were at most 10 % off
(``benchmarks/memory.py``). Those of an endpoint are fitted to three peaks, and were compared with no other. Other
machines get a wider band. On a GPU the program stays in the machine's memory and the rest is the GPU's; cuDNN's working
space isn't known here, and no GPU was measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.hyperparameters import Hyperparameters

__all__ = ["ERROR_BAND", "Estimate", "inference", "training_step", "validation_step"]

ERROR_BAND: Final = 0.15
"""How far a peak may be from its estimate, as a share of it."""

_MB: Final = 10**6
_SLOTS: Final = {"sgd": 1, "nag": 1, "adam": 2, "adagrad": 1, "rmsprop": 3}
MAX_EVALUATION_PIXELS: Final = 1 << 20
"""Pixels of one batch of an evaluation, unless a single image has more: logits of 21 classes take 88 MB then."""

# fitted, see above
_TRAINER, _GRAPH = 650 * _MB, 4 * _MB  # TensorFlow, and its graphs by convolution
_EVALUATOR, _EVALUATOR_WEIGHTS, _EVALUATOR_LIVE = 690 * _MB, 1.65, 2.05
_ENDPOINT, _ENDPOINT_WEIGHTS, _ENDPOINT_LIVE = 70 * _MB, 2.83, 2.31
_UPDATE = 2.45  # copies of the weights and of each slot
_KEPT = 1.1
_WORKING = 8.5  # copies of the largest tensor
_LOGITS = 1.75  # of one head's: both heads', and their gradients, but not all at once


@dataclass(frozen=True)
class Estimate:
    """Bytes by what holds them. With a GPU, the part ``program`` stays in the machine's memory."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def on_gpu(self) -> int:
        return self.total - self.parts["program"]


def training_step(hp: Hyperparameters, replicas: int = 1) -> Estimate:
    """Memory of a training step on one of ``replicas`` devices, each with its share of ``mini_batch_size``."""
    images, side = math.ceil(hp.mini_batch_size / replicas), hp.padded_crop_size
    width = images * _bytes_per_number(hp)
    convolutions = convolution_costs(hp, side, side)
    largest = max(max(c.before, c.after) for c in convolutions)
    return _estimate(
        program=_TRAINER + _GRAPH * len(convolutions),
        parameters=_UPDATE * _weights(hp) * (1 + _SLOTS[hp.optimizer]),
        activations=_KEPT * width * _activations(hp, convolutions),
        logits=_LOGITS * images * side**2 * hp.num_classes * 4,
        working=width * (_WORKING * largest + _margins(hp, side)),
    )


def validation_step(hp: Hyperparameters, sizes: Iterable[tuple[int, int]]) -> Estimate:
    """Memory of an evaluation of images of these (height, width): of its largest batch."""
    most = max(sizes, key=lambda size: size[0] * size[1] * _batch(hp, *size))
    convolutions = convolution_costs(hp, *most)
    live = _batch(hp, *most) * max(c.before + c.after for c in convolutions)
    return _estimate(
        program=_EVALUATOR,
        parameters=_EVALUATOR_WEIGHTS * _weights(hp),
        working=_EVALUATOR_LIVE * live * _bytes_per_number(hp),
    )


TILE_PIXELS: Final = 2**21
"""Pixels of the largest image that goes through the network whole, unless another number is chosen."""


def inference(hp: Hyperparameters, height: int, width: int, tile_pixels: int = TILE_PIXELS) -> Estimate:
    """Memory of an endpoint's worker, or of ``predict``, with its largest image.

    Images of more than ``tile_pixels`` are split into tiles of at most this size. A worker takes less while it starts:
    it maps the weights from a file.
    """
    share = min(1.0, tile_pixels / (height * width))
    live = 4 * share * max(c.before + c.after for c in convolution_costs(hp, height, width))
    return _estimate(program=_ENDPOINT, parameters=_ENDPOINT_WEIGHTS * _weights(hp), working=_ENDPOINT_LIVE * live)


def _activations(hp: Hyperparameters, costs: list[ConvolutionCost]) -> int:
    """Numbers of one image that are kept for the backward pass."""
    if not hp.recompute:
        return sum(c.kept for c in costs)
    body, rest = _architecture(hp).body, iter(costs)
    stem = list(itertools.islice(rest, len(body.stem())))
    blocks = [
        list(itertools.islice(rest, len(block.convolutions) + bool(block.shortcut)))
        for blocks in body.stages()
        for block in blocks
    ]
    outputs = stem[-1].after // 4 + sum(block[-1].after for block in blocks)
    # a block is computed again while gradients of the one after it are still under way
    inside = sorted(sum(c.kept for c in part) for part in (stem, *blocks))[-2:]
    return outputs + sum(inside) + sum(c.kept for c in rest)


def _estimate(**parts: float) -> Estimate:
    return Estimate({name: round(value) for name, value in parts.items()})


def _bytes_per_number(hp: Hyperparameters) -> int:
    return 4 if hp.precision in ("float32", "auto") else 2  # auto may choose float32


def _weights(hp: Hyperparameters) -> int:
    """Bytes of all weights, in float32."""
    return 4 * sum(math.prod(shape) for shape in _architecture(hp).shapes.values())


def _architecture(hp: Hyperparameters) -> ArchitectureSpec:
    return ArchitectureSpec(hp.backbone, hp.algorithm, hp.num_classes, output_stride=hp.stride)


def _batch(hp: Hyperparameters, height: int, width: int) -> int:
    """Images of this size in one batch of an evaluation."""
    return max(1, min(hp.validation_mini_batch_size, MAX_EVALUATION_PIXELS // (height * width)))


def _margins(hp: Hyperparameters, side: int) -> int:
    """Numbers in the copies of the features that the decoder's dilated convolutions pad, for one image."""
    spec = _architecture(hp)
    cells = math.ceil(side / hp.stride)
    return spec.body.features[1] * sum((cells + 2 * rate) ** 2 for rate in spec.decoder.rates)


@dataclass(frozen=True)
class ConvolutionCost:
    """Numbers of one image around a convolution: of its input, of its output, and those kept for the way back."""

    before: int
    after: int
    kept: int


def convolution_costs(hp: Hyperparameters, height: int, width: int) -> list[ConvolutionCost]:
    """The costs of all convolutions of a network, in the order of ``ArchitectureSpec.convolutions``."""
    spec = _architecture(hp)
    stem_end = spec.body.stem()[-1]
    branches = {branch.convolution: branch for branch in spec.decoder.branches(spec.body.features[1])}
    joined = next(iter(spec.decoder.rest(spec.body.features[1], hp.num_classes)))
    costs = []
    for c in spec.convolutions():
        branch = branches.get(c)
        features = _cells(height, width, c.reduction)
        cells = _cells(height, width, c.reduction * c.stride)
        if branch and branch.pool:
            cells = (branch.bins or 1) ** 2
        before, after = c.channels * features, c.filters * cells
        kept = 2 * after if c.relu else after
        if c.stride > 1 and c.size > 1:
            kept += before  # padded by hand, and the copy stays
        if c == stem_end:
            kept += after + after // 4  # the pooling's padded input and its result
        if branch:
            kept += c.filters * features  # its share of the joined features
        if c == joined and spec.decoder.keeps_features:
            kept += spec.body.features[1] * features  # the backbone's features are joined too
        if c.dropout:
            kept += 2 * after  # the mask and the result
        costs.append(ConvolutionCost(before, after, kept))
    return costs


def _cells(height: int, width: int, reduction: int) -> int:
    return math.ceil(height / reduction) * math.ceil(width / reduction)
