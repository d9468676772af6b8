"""Builds networks in Keras from their ``ArchitectureSpec``.

    network = build_network("deeplab", "resnet-50", num_classes=21)
    logits, auxiliary = network(normalize(images))

Layers have the structural names of the reference implementation with ``_`` for the dot that PyTorch refuses
(``layer3_2_bn2``); ``weights`` makes them the names of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from sagemaker_semseg.architectures import STRIDE, ArchitectureSpec, BackboneSpec, Convolution, DecoderSpec
from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.models.layers import (
    CHANNELS_LAST,
    AdaptiveAveragePooling,
    BatchNormalization,
    Conv2D,
    Dropout,
    Fork,
    ResizeLike,
    layer_name,
)
from sagemaker_semseg.models.weights import set_weights

MEAN = (0.485, 0.456, 0.406)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)


def build_network(
    algorithm: str,
    backbone: str,
    num_classes: int,
    *,
    output_stride: int = STRIDE,
    syncbn: bool = False,
    dtype: Any = "float32",
    dropout: float = 1.0,
) -> keras.Model:
    """The network of a decoder on a backbone, with random weights.

    Args:
        algorithm: a key of ``DECODERS``: "fcn", "psp" or "deeplab".
        backbone: a key of ``BACKBONES``, such as "resnet-50".
        num_classes: number of outputs for each pixel.
        output_stride: by how much the last features are smaller than the image, along a side: 8, 16 or 32.
        syncbn: share the statistics of batch normalization between replicas.
        dtype: a Keras dtype policy, such as "mixed_float16".
        dropout: factor of the dropout layers' rates; 0 turns them off.

    Returns:
        A model whose input are normalized RGB images (N, H, W, 3), H and W from 1 up. Its outputs are logits and
        auxiliary logits, both (N, H, W, num_classes) in float32 (float64 where ``dtype`` is).
    """
    spec = ArchitectureSpec(backbone, algorithm, num_classes, output_stride=output_stride)
    factory = LayerFactory(dtype=dtype, syncbn=syncbn, dropout=dropout)
    images = keras.Input((None, None, 3), dtype=keras.dtype_policies.get(dtype).variable_dtype, name="images")
    c3, c4 = build_backbone(images, spec.body, factory)
    logits = build_decoder(c4, spec.decoder, num_classes, factory)
    auxiliary = factory.sequence(c3, spec.auxiliary_classifier())
    outputs = [
        ResizeLike(dtype=dtype, name="logits")([logits, images]),
        ResizeLike(dtype=dtype, name="auxiliary_logits")([auxiliary, images]),
    ]
    network = keras.Model(images, outputs, name=f"{algorithm}_{backbone}")
    network.architecture = spec
    return network


def normalize(images: Any, dtype: str = "float32") -> Any:
    """Pixels 0..255 RGB to the scale of ImageNet training: (x / 255 - mean) / standard deviation, per channel."""
    scale = [1 / (255 * s) for s in STANDARD_DEVIATION]
    shift = [-m / s for m, s in zip(MEAN, STANDARD_DEVIATION, strict=True)]
    return ops.cast(images, dtype) * ops.convert_to_tensor(scale, dtype) + ops.convert_to_tensor(shift, dtype)


def network_of(artifact: Artifact) -> tuple[keras.Model, Hyperparameters]:
    """The network that an artifact describes, filled with its weights. Raises ArtifactError where they don't fit."""
    hp = resolve(artifact.hyperparameters)
    network = build_network(hp.algorithm, hp.backbone, hp.num_classes, output_stride=hp.stride)
    set_weights(network, artifact.weights)
    return network, hp


@dataclass(frozen=True)
class LayerFactory:
    """Makes layers with the settings that all layers of a network share."""

    dtype: Any = "float32"
    syncbn: bool = False
    dropout: float = 1.0

    def sequence(self, x: Any, convolutions: Iterable[Convolution]) -> Any:
        for convolution in convolutions:
            x = self.convolution(x, convolution)
        return x

    def convolution(self, x: Any, spec: Convolution) -> Any:
        """The convolution and all that follows it: normalization, ReLU and dropout, each where the spec has it."""
        x = self.conv(x, spec)
        if spec.norm:
            x = self.norm(x, spec.norm)
        if spec.relu:
            x = self.relu(x, f"{spec.norm}_relu")
        if spec.dropout:
            prefix, _, number = spec.name.rpartition(".")
            rate = spec.dropout * self.dropout
            name = layer_name(f"{prefix}.{int(number) + 3}")  # after convolution, normalization and ReLU
            x = Dropout(rate, dtype=self.dtype, name=name)(x)
        return x

    def conv(self, x: Any, spec: Convolution) -> Any:
        """The convolution alone."""
        padding = "same"
        if spec.stride > 1 and spec.size > 1:
            # "same" would pad one side only wherever the size is even.
            x = self.pad(x, (spec.size - 1) // 2, f"{spec.name}_pad")
            padding = "valid"
        initializer = "he_normal" if spec.norm else keras.initializers.RandomNormal(stddev=0.01)
        layer = Conv2D(
            spec.filters, spec.size, strides=spec.stride, dilation_rate=spec.dilation, padding=padding,
            use_bias=spec.norm is None, kernel_initializer=initializer, dtype=self.dtype, name=layer_name(spec.name),
        )  # fmt: skip
        return layer(x)

    def pad(self, x: Any, width: int, name: str) -> Any:
        layer = keras.layers.ZeroPadding2D(width, data_format=CHANNELS_LAST, dtype=self.dtype, name=layer_name(name))
        return layer(x)

    def norm(self, x: Any, name: str) -> Any:
        layer = BatchNormalization(
            momentum=0.9, epsilon=1e-5, synchronized=self.syncbn, dtype=self.dtype, name=layer_name(name)
        )
        return layer(x)

    def fork(self, x: Any, branches: int, name: str) -> list[Any]:
        return [x] * branches if branches < 2 else Fork(branches, dtype=self.dtype, name=name)(x)

    def relu(self, x: Any, name: str) -> Any:
        return keras.layers.ReLU(dtype=self.dtype, name=layer_name(name))(x)


def build_backbone(images: Any, spec: BackboneSpec, factory: LayerFactory) -> tuple[Any, Any]:
    """Features of normalized images: the outputs of the third and of the fourth stage.

    Args:
        images: (N, H, W, 3).

    Returns:
        Two tensors (N, ceil(H/8), ceil(W/8), C) with the channels C of ``spec.features``; smaller at another stride.
    """
    x = factory.sequence(images, spec.stem())
    x = factory.pad(x, 1, "maxpool_pad")  # zeros are safe: a ReLU comes before
    x = keras.layers.MaxPooling2D(3, 2, data_format=CHANNELS_LAST, dtype=factory.dtype, name="maxpool")(x)
    outputs = []
    for blocks in spec.stages():
        for block in blocks:
            *others, last = block.convolutions
            y = factory.sequence(x, others)
            y = factory.norm(factory.conv(y, last), last.norm or "")
            shortcut = factory.convolution(x, block.shortcut) if block.shortcut else x
            x = keras.layers.Add(dtype=factory.dtype, name=layer_name(f"{block.name}_add"))([y, shortcut])
            x = factory.relu(x, f"{block.name}_relu")
        outputs.append(x)
        if len(outputs) == 3:  # the auxiliary head reads it too
            outputs[2], x = factory.fork(x, 2, "layer3_fork")
    return outputs[2], outputs[3]


def build_decoder(x: Any, spec: DecoderSpec, num_classes: int, factory: LayerFactory) -> Any:
    """Logits (N, h, w, num_classes) of features (N, h, w, C), by FCN, PSPNet or DeepLabV3.

    PSPNet pools the features to 1, 2, 3 and 6 bins a side, resizes each to (h, w) and joins them with the features.
    DeepLabV3 joins convolutions with the dilation rates 1, 12, 24, 36 (at stride 8) and the image's mean.
    """
    features = x.shape[-1]
    specs = spec.branches(features)
    inputs = iter(factory.fork(x, len(specs) + spec.keeps_features, "layer4_fork"))
    branches = [next(inputs)] if spec.keeps_features else []
    for branch, y in zip(specs, inputs, strict=True):
        y = _pooled(y, branch.pool, branch.bins, factory) if branch.pool else y
        y = factory.convolution(y, branch.convolution)
        if branch.resize:
            y = ResizeLike(dtype=factory.dtype, name=layer_name(branch.resize))([y, x])
        branches.append(y)
    if spec.joined:
        x = keras.layers.Concatenate(dtype=factory.dtype, name=layer_name(spec.joined))(branches)
    return factory.sequence(x, spec.rest(features, num_classes))


def _pooled(x: Any, name: str, bins: int | None, factory: LayerFactory) -> Any:
    name = layer_name(name)
    if bins is None:
        return keras.layers.GlobalAveragePooling2D(CHANNELS_LAST, keepdims=True, dtype=factory.dtype, name=name)(x)
    return AdaptiveAveragePooling(bins, dtype=factory.dtype, name=name)(x)
