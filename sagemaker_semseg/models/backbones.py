"""Dilated ResNets: an image in, the features of the last two stages out, both at 1/8 of its height and width.

``resnet-50``, ``-101`` and ``-152`` are the "v1s" form (deep stem, bottleneck, the stride on the 3x3 convolution);
``resnet-18`` and ``-34`` the "v1b" form (7x7 stem, basic block). Layers carry the reference engine's structural names
with ``_`` for the dot that PyTorch refuses (``layer3_2_bn2``); ``weights`` makes them the names of arrays. Called by
``network``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from sagemaker_semseg.models.layers import CHANNELS_LAST, BatchNormalization, Conv2D


@dataclass(frozen=True)
class ResNetConfig:
    """What tells one ResNet from another: the block and how many of them each of the four stages has."""

    block: str
    blocks: tuple[int, int, int, int]


BACKBONES = {
    "resnet-18": ResNetConfig("basic", (2, 2, 2, 2)),
    "resnet-34": ResNetConfig("basic", (3, 4, 6, 3)),
    "resnet-50": ResNetConfig("bottleneck", (3, 4, 6, 3)),
    "resnet-101": ResNetConfig("bottleneck", (3, 4, 23, 3)),
    "resnet-152": ResNetConfig("bottleneck", (3, 8, 36, 3)),
}


@dataclass(frozen=True)
class LayerFactory:
    """The settings that all layers of a network share, and the three layers that it is made of."""

    dtype: Any = "float32"
    syncbn: bool = False
    dropout: float = 1.0

    def conv(self, x: Any, filters: int, size: int, name: str, *, stride: int = 1, dilation: int = 1) -> Any:
        """A convolution without bias, padded by dilation * (size - 1) / 2 on every side."""
        padding = "same"
        if stride > 1 and size > 1:
            # "same" would pad one side only wherever the size is even.
            x = self.pad(x, (size - 1) // 2, name + "_pad")
            padding = "valid"
        layer = Conv2D(filters, size, strides=stride, dilation_rate=dilation, padding=padding, use_bias=False,
                       kernel_initializer="he_normal", dtype=self.dtype, name=name)  # fmt: skip
        return layer(x)

    def pad(self, x: Any, width: int, name: str) -> Any:
        return keras.layers.ZeroPadding2D(width, data_format=CHANNELS_LAST, dtype=self.dtype, name=name)(x)

    def norm(self, x: Any, name: str) -> Any:
        layer = BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=self.syncbn, dtype=self.dtype, name=name)
        return layer(x)

    def relu(self, x: Any, name: str) -> Any:
        return keras.layers.ReLU(dtype=self.dtype, name=name)(x)

    def conv_norm_relu(self, x: Any, filters: int, size: int, conv: str, norm: str, **options: Any) -> Any:
        x = self.conv(x, filters, size, conv, **options)
        return self.relu(self.norm(x, norm), norm + "_relu")

    def drop(self, x: Any, rate: float, name: str) -> Any:
        return keras.layers.Dropout(rate * self.dropout, dtype=self.dtype, name=name)(x)


def backbone(images: Any, name: str, make: LayerFactory) -> tuple[Any, Any]:
    """The features c3 (third stage) and c4 (fourth stage) of normalised images.

    images: (N, H, W, 3). c3, c4: (N, ceil(H/8), ceil(W/8), C) with C = 1024, 2048 ("bottleneck") or 256, 512 ("basic").
    """
    depth = BACKBONES[name]
    stem, block = (_deep_stem, _bottleneck) if depth.block == "bottleneck" else (_stem, _basic)
    x = stem(images, make)
    x = make.pad(x, 1, "maxpool_pad")  # zeros are safe: a ReLU comes before
    x = keras.layers.MaxPooling2D(3, 2, data_format=CHANNELS_LAST, dtype=make.dtype, name="maxpool")(x)
    x = _stage(x, "layer1", block, 64, depth.blocks[0], make)
    x = _stage(x, "layer2", block, 128, depth.blocks[1], make, stride=2)
    c3 = _stage(x, "layer3", block, 256, depth.blocks[2], make, dilation=2)
    c4 = _stage(c3, "layer4", block, 512, depth.blocks[3], make, dilation=4)
    return c3, c4


def _deep_stem(x: Any, make: LayerFactory) -> Any:
    x = make.conv_norm_relu(x, 64, 3, "conv1_0", "conv1_1", stride=2)
    x = make.conv_norm_relu(x, 64, 3, "conv1_3", "conv1_4")
    return make.conv_norm_relu(x, 128, 3, "conv1_6", "bn1")


def _stem(x: Any, make: LayerFactory) -> Any:
    return make.conv_norm_relu(x, 64, 7, "conv1", "bn1", stride=2)


Block = Callable[..., Any]


def _stage(
    x: Any, name: str, block: Block, planes: int, count: int, make: LayerFactory, *, stride: int = 1, dilation: int = 1
) -> Any:
    """``count`` blocks; the first one takes the stride and only half of the stage's dilation."""
    x = block(x, f"{name}_0", planes, make, stride=stride, dilation=max(dilation // 2, 1), later=dilation)
    for i in range(1, count):
        x = block(x, f"{name}_{i}", planes, make, stride=1, dilation=dilation, later=dilation)
    return x


def _shortcut(x: Any, name: str, channels: int, stride: int, make: LayerFactory) -> Any:
    if x.shape[-1] == channels and stride == 1:
        return x
    x = make.conv(x, channels, 1, f"{name}_downsample_0", stride=stride)
    return make.norm(x, f"{name}_downsample_1")


def _bottleneck(x: Any, name: str, planes: int, make: LayerFactory, *, stride: int, dilation: int, later: int) -> Any:
    y = make.conv_norm_relu(x, planes, 1, f"{name}_conv1", f"{name}_bn1")
    y = make.conv_norm_relu(y, planes, 3, f"{name}_conv2", f"{name}_bn2", stride=stride, dilation=dilation)
    y = make.norm(make.conv(y, 4 * planes, 1, f"{name}_conv3"), f"{name}_bn3")
    return _join(y, _shortcut(x, name, 4 * planes, stride, make), name, make)


def _basic(x: Any, name: str, planes: int, make: LayerFactory, *, stride: int, dilation: int, later: int) -> Any:
    y = make.conv_norm_relu(x, planes, 3, f"{name}_conv1", f"{name}_bn1", stride=stride, dilation=dilation)
    y = make.norm(make.conv(y, planes, 3, f"{name}_conv2", dilation=later), f"{name}_bn2")
    return _join(y, _shortcut(x, name, planes, stride, make), name, make)


def _join(x: Any, shortcut: Any, name: str, make: LayerFactory) -> Any:
    x = keras.layers.Add(dtype=make.dtype, name=f"{name}_add")([x, shortcut])
    return make.relu(x, f"{name}_relu")
