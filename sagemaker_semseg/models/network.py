"""A whole network: normalised images in, logits at the images' own size out.

    network = build_network("deeplab", "resnet-50", num_classes=21)
    logits, auxiliary = network(normalize(images))

``training`` fits it, ``export`` writes it as a graph, ``weights`` fills it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.models.backbones import LayerFactory, backbone
from sagemaker_semseg.models.decoders import DECODERS, fcn
from sagemaker_semseg.models.layers import ResizeLike
from sagemaker_semseg.models.weights import set_weights

MEAN = (0.485, 0.456, 0.406)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)


def build_network(
    algorithm: str,
    backbone_name: str,
    num_classes: int,
    *,
    syncbn: bool = False,
    dtype: Any = "float32",
    dropout: float = 1.0,
) -> keras.Model:
    """The network of an algorithm (fcn, psp, deeplab) on a backbone (a key of ``BACKBONES``).

    Input: (N, H, W, 3) normalised RGB, any H and W from 1 up. Outputs: logits and auxiliary logits, both
    (N, H, W, num_classes) in float32 (float64 where ``dtype`` is). ``syncbn`` shares batch statistics between replicas,
    ``dropout`` multiplies the rates of the dropout layers (0 switches them off).
    """
    make = LayerFactory(dtype=dtype, syncbn=syncbn, dropout=dropout)
    images = keras.Input((None, None, 3), dtype=keras.dtype_policies.get(dtype).variable_dtype, name="images")
    c3, c4 = backbone(images, backbone_name, make)
    logits = DECODERS[algorithm](c4, num_classes, make)
    auxiliary = fcn(c3, num_classes, make, "auxlayer")
    outputs = [
        ResizeLike(dtype=make.dtype, name="logits")([logits, images]),
        ResizeLike(dtype=make.dtype, name="auxiliary_logits")([auxiliary, images]),
    ]
    return keras.Model(images, outputs, name=f"{algorithm}_{backbone_name}")


def normalize(images: Any, dtype: str = "float32") -> Any:
    """Pixels 0..255 RGB to the scale of ImageNet training: (x / 255 - mean) / standard deviation, per channel."""
    scale = [1 / (255 * s) for s in STANDARD_DEVIATION]
    shift = [-m / s for m, s in zip(MEAN, STANDARD_DEVIATION, strict=True)]
    return ops.cast(images, dtype) * ops.convert_to_tensor(scale, dtype) + ops.convert_to_tensor(shift, dtype)


def network_of(artifact: Artifact) -> tuple[keras.Model, Hyperparameters]:
    """The network that an artifact describes, filled with its weights. Raises ArtifactError where they don't fit."""
    hp = resolve(artifact.hyperparameters)
    network = build_network(hp.algorithm, hp.backbone, hp.num_classes)
    set_weights(network, artifact.weights)
    return network, hp
