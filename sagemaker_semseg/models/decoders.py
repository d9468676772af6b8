"""The decoders: the backbone's features in, logits of every class at the features' own resolution out.

FCN, PSP and DeepLabV3 as the reference engine has them, and the auxiliary head, which is an FCN head on the third
stage. Called by ``network``.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sagemaker_semseg.models.backbones import LayerFactory
from sagemaker_semseg.models.layers import CHANNELS_LAST, Conv2D, ResizeLike, resample


def fcn(x: Any, num_classes: int, make: LayerFactory, name: str = "head") -> Any:
    """(N, h, w, C) -> (N, h, w, num_classes): a 3x3 convolution to C/4 channels, then the classifier."""
    return _classify(x, x.shape[-1] // 4, num_classes, make, name)


def psp(x: Any, num_classes: int, make: LayerFactory) -> Any:
    """Pyramid pooling over 1, 2, 3 and 6 bins a side, each brought back to (h, w) and joined with the features."""
    channels = x.shape[-1] // 4
    branches = [x]
    for i, bins in enumerate((1, 2, 3, 6), start=1):
        conv = f"head_psp_conv{i}"
        y = AdaptiveAveragePooling(bins, dtype=make.dtype, name=f"{conv}_pool")(x)
        y = make.conv_norm_relu(y, channels, 1, f"{conv}_0", f"{conv}_1")
        branches.append(ResizeLike(dtype=make.dtype, name=f"{conv}_resize")([y, x]))
    y = keras.layers.Concatenate(dtype=make.dtype, name="head_psp")(branches)
    return _classify(y, channels, num_classes, make, "head")


def deeplab(x: Any, num_classes: int, make: LayerFactory) -> Any:
    """Atrous spatial pyramid pooling with rates 12, 24, 36 and the image's mean, then an FCN head (DeepLabV3)."""
    aspp = "head_aspp_concurent"  # the reference engine's spelling
    branches = [make.conv_norm_relu(x, 256, 1, f"{aspp}_0_0", f"{aspp}_0_1")]
    for i, rate in enumerate((12, 24, 36), start=1):
        branches.append(make.conv_norm_relu(x, 256, 3, f"{aspp}_{i}_0", f"{aspp}_{i}_1", dilation=rate))
    mean = keras.layers.GlobalAveragePooling2D(CHANNELS_LAST, keepdims=True, dtype=make.dtype, name=f"{aspp}_4_gap_0")
    y = mean(x)
    y = make.conv_norm_relu(y, 256, 1, f"{aspp}_4_gap_1", f"{aspp}_4_gap_2")
    branches.append(ResizeLike(dtype=make.dtype, name=f"{aspp}_4_resize")([y, x]))
    y = keras.layers.Concatenate(dtype=make.dtype, name=aspp)(branches)
    y = make.conv_norm_relu(y, 256, 1, "head_aspp_project_0", "head_aspp_project_1")
    y = make.drop(y, 0.5, "head_aspp_project_3")
    return _classify(y, 256, num_classes, make, "head")


DECODERS = {"fcn": fcn, "psp": psp, "deeplab": deeplab}


def _classify(x: Any, channels: int, num_classes: int, make: LayerFactory, name: str) -> Any:
    x = make.conv_norm_relu(x, channels, 3, f"{name}_block_0", f"{name}_block_1")
    x = make.drop(x, 0.1, f"{name}_block_3")
    classifier = Conv2D(num_classes, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                        dtype=make.dtype, name=f"{name}_block_4")  # fmt: skip
    return classifier(x)


class AdaptiveAveragePooling(keras.layers.Layer):
    """Means over bins x bins areas: bin i of a side of length n covers floor(i n / bins) to ceil((i + 1) n / bins).

    (N, h, w, C) -> (N, bins, bins, C) for every h and w from 1 up; neighbouring bins overlap where bins does not
    divide the length (the rule of PyTorch's AdaptiveAvgPool2d).
    """

    def __init__(self, bins: int, **options: Any):
        super().__init__(**options)
        self.bins = bins

    def call(self, x: Any) -> Any:
        shape = ops.shape(x)
        return resample(x, self._matrix(shape[1], x.dtype), self._matrix(shape[2], x.dtype))

    def _matrix(self, length: Any, dtype: Any) -> Any:
        i = ops.arange(self.bins)[:, None]
        first, last = i * length // self.bins, ((i + 1) * length + self.bins - 1) // self.bins
        position = ops.arange(length)[None, :]
        inside = ops.cast(ops.logical_and(position >= first, position < last), dtype)
        return inside / ops.sum(inside, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}
