"""Translates a Keras network, layer by layer, into an ONNX graph.

The networks have a dozen kinds of layers, with a function here for each. Channels come first, batch normalization is
folded into the convolution before it, and padding is an attribute.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sagemaker_semseg import __version__
from sagemaker_semseg.models.layers import AdaptiveAveragePooling, BatchNormalization, Conv2D, Dropout, Fork, ResizeLike
from sagemaker_semseg.models.network import MEAN, STANDARD_DEVIATION

OPSET = 17
_IR_VERSION = 8  # what came with opset 17: older runtimes refuse newer ones unread


def onnx_graph(network: keras.Model) -> bytes:
    """The serialized ONNX model of a network of ``build_network``, without the auxiliary decoder.

    Input "image": (N, H, W, 3) uint8 RGB. Outputs, float32: "logits" (N, C, H, W) and "coarse_logits" (N, C,
    ceil(H/8), ceil(W/8)), those before the last resizing. N, H and W may be any from 1 up.
    """
    main = keras.Model(network.inputs, network.outputs[0])
    writer = _Writer()
    for layer in main.layers:
        _WRITERS[type(layer)](writer, layer)
    return writer.model(main, network.name).SerializeToString()


class _Writer:
    """The graph so far, and the names of its values by Keras's tensors."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.names: dict[int, str] = {}  # by the identity of Keras's tensor
        self.borders: dict[str, tuple[str, int]] = {}  # values that are another value with a border of zeros
        self.convolutions: dict[str, keras.layers.Layer] = {}  # not written yet: a batch normalization may follow

    def value(self, tensor: Any) -> str:
        """The name of a tensor's value; writes a convolution that no batch normalization follows."""
        name = self.names[id(tensor)]
        if layer := self.convolutions.pop(name, None):
            self.convolution(layer, name, 1.0, 0.0)
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Any, dtype: Any) -> str:
        array = np.ascontiguousarray(value, dtype)
        self.constants[name] = numpy_helper.from_array(array.reshape(np.shape(value)), name)
        return name

    def convolution(self, layer: keras.layers.Layer, name: str, scale: Any, shift: Any) -> None:
        """Write y = scale * convolution + shift, both by channel, as one convolution with a bias."""
        kernel = np.asarray(layer.kernel, np.float64) * scale
        bias = shift + (np.asarray(layer.bias, np.float64) * scale if layer.use_bias else 0.0)
        bias = np.broadcast_to(bias, kernel.shape[-1:])
        size, dilation = layer.kernel_size[0], layer.dilation_rate[0]
        source, pad = self.unpadded(layer.input)
        pad += dilation * (size // 2) if layer.padding == "same" else 0
        inputs = [
            source,
            self.constant(f"{layer.name}.weight", kernel.transpose(3, 2, 0, 1), np.float32),
            self.constant(f"{layer.name}.bias", bias, np.float32),
        ]
        settings = {"kernel_shape": [size] * 2, "strides": list(layer.strides), "dilations": [dilation] * 2}
        self.node("Conv", inputs, name, pads=[pad] * 4, **settings)

    def unpadded(self, tensor: Any) -> tuple[str, int]:
        """Return the value of a tensor without its border of zeros, and the border's width."""
        name = self.value(tensor)
        return self.borders.get(name, (name, 0))

    def model(self, main: keras.Model, name: str) -> onnx.ModelProto:
        classes = main.outputs[0].shape[-1]
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
        outputs = [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes, "H", "W"]),
            helper.make_tensor_value_info("coarse_logits", TensorProto.FLOAT, ["N", classes, "h", "w"]),
        ]
        graph = helper.make_graph(self.nodes, name, [image], outputs, list(self.constants.values()))
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="sagemaker-semseg",
            producer_version=__version__,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


# ---- one function for each kind of layer


def _input(w: _Writer, layer: keras.layers.Layer) -> None:
    """Normalizes pixels as ``normalize`` does, and puts channels first."""
    mean, deviation = np.array(MEAN).reshape(1, 3, 1, 1), np.array(STANDARD_DEVIATION).reshape(1, 3, 1, 1)
    w.node("Transpose", ["image"], "image.nchw", perm=[0, 3, 1, 2])
    w.node("Cast", ["image.nchw"], "image.float", to=TensorProto.FLOAT)
    w.node("Mul", ["image.float", w.constant("image.scale", 1 / (255 * deviation), np.float32)], "image.scaled")
    w.node("Add", ["image.scaled", w.constant("image.shift", -mean / deviation, np.float32)], "image.normalized")
    w.node("Shape", ["image"], "image.shape")
    w.node("Slice", ["image.shape", w.constant("one", [1], np.int64), w.constant("three", [3], np.int64)], "image.size")
    w.names[id(layer.output)] = "image.normalized"


def _conv(w: _Writer, layer: keras.layers.Layer) -> None:
    w.names[id(layer.output)] = layer.name
    w.convolutions[layer.name] = layer


def _norm(w: _Writer, layer: keras.layers.Layer) -> None:
    source = w.names[id(layer.input)]
    convolution = w.convolutions.pop(source)  # every batch normalization here follows a convolution
    gamma, beta = np.asarray(layer.gamma, np.float64), np.asarray(layer.beta, np.float64)
    mean, variance = np.asarray(layer.moving_mean, np.float64), np.asarray(layer.moving_variance, np.float64)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    w.convolution(convolution, layer.name, scale, beta - mean * scale)
    w.names[id(layer.output)] = layer.name


def _pad(w: _Writer, layer: keras.layers.Layer) -> None:
    ((width, _), _) = layer.padding
    w.borders[layer.name] = (w.value(layer.input), width)
    w.names[id(layer.output)] = layer.name


def _maxpool(w: _Writer, layer: keras.layers.Layer) -> None:
    source, pad = w.unpadded(layer.input)  # ONNX pads with -inf, Keras with 0: the same after a ReLU
    settings = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides), "pads": [pad] * 4}
    w.names[id(layer.output)] = w.node("MaxPool", [source], layer.name, **settings)


def _relu(w: _Writer, layer: keras.layers.Layer) -> None:
    w.names[id(layer.output)] = w.node("Relu", [w.value(layer.input)], layer.name)


def _add(w: _Writer, layer: keras.layers.Layer) -> None:
    w.names[id(layer.output)] = w.node("Add", [w.value(x) for x in layer.input], layer.name)


def _concatenate(w: _Writer, layer: keras.layers.Layer) -> None:
    w.names[id(layer.output)] = w.node("Concat", [w.value(x) for x in layer.input], layer.name, axis=1)


def _dropout(w: _Writer, layer: keras.layers.Layer) -> None:
    w.names[id(layer.output)] = w.value(layer.input)


def _fork(w: _Writer, layer: keras.layers.Layer) -> None:
    w.names.update(dict.fromkeys(map(id, layer.output), w.value(layer.input)))


def _mean(w: _Writer, layer: keras.layers.Layer) -> None:
    w.names[id(layer.output)] = w.node("GlobalAveragePool", [w.value(layer.input)], layer.name)


def _resize(w: _Writer, layer: keras.layers.Layer) -> None:
    """Resize to the size of another value; the last one to the size of the image."""
    x, like = (w.value(tensor) for tensor in layer.input)
    if layer.name == "logits":
        w.node("Identity", [x], "coarse_logits")
        x, size = "coarse_logits", "image.size"
    else:
        size = _size(w, like)
    start = w.node("Shape", [x], f"{layer.name}.shape", end=2)
    sizes = w.node("Concat", [start, size], f"{layer.name}.sizes", axis=0)
    settings = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    w.names[id(layer.output)] = w.node("Resize", [x, "", "", sizes], layer.name, **settings)


def _size(w: _Writer, value: str) -> str:
    """Return height and width of a value."""
    name = f"{value}.size"
    if not any(node.name == name for node in w.nodes):
        w.node("Shape", [value], name, start=2)
    return name


def _adaptive(w: _Writer, layer: keras.layers.Layer) -> None:
    """Means over bins as products with two matrices, which the graph makes for the size of its input."""
    x, name = w.value(layer.input), layer.name
    if layer.bins == 1:
        w.names[id(layer.output)] = w.node("GlobalAveragePool", [x], name)
        return
    rows, columns = (_bins(w, layer, _size(w, x), axis) for axis in (0, 1))
    w.node("Transpose", [columns], f"{name}.columns", perm=[1, 0])
    w.node("MatMul", [rows, x], f"{name}.by_rows")
    w.names[id(layer.output)] = w.node("MatMul", [f"{name}.by_rows", f"{name}.columns"], name)


def _bins(w: _Writer, layer: AdaptiveAveragePooling, size: str, axis: int) -> str:
    """Return (bins, length): row i has 1 / count from floor(i * length / bins) to ceil((i + 1) * length / bins)."""
    bins, name = layer.bins, f"{layer.name}.axis{axis}"
    i = np.arange(bins)[:, None]
    length = w.node("Gather", [size, w.constant(f"{name}.index", axis, np.int64)], f"{name}.length")
    count = w.constant(f"{name}.bins", bins, np.int64)
    w.node("Mul", [length, w.constant(f"{name}.i", i, np.int64)], f"{name}.first_times_bins")
    w.node("Div", [f"{name}.first_times_bins", count], f"{name}.first")
    w.node("Mul", [length, w.constant(f"{name}.next", i + 1, np.int64)], f"{name}.end_times_bins")
    w.node("Add", [f"{name}.end_times_bins", w.constant(f"{name}.up", bins - 1, np.int64)], f"{name}.end_rounded")
    w.node("Div", [f"{name}.end_rounded", count], f"{name}.end")
    zero, one = w.constant(f"{name}.from", 0, np.int64), w.constant(f"{name}.step", 1, np.int64)
    w.node("Range", [zero, length, one], f"{name}.position")
    w.node("GreaterOrEqual", [f"{name}.position", f"{name}.first"], f"{name}.after")
    w.node("Less", [f"{name}.position", f"{name}.end"], f"{name}.before")
    w.node("And", [f"{name}.after", f"{name}.before"], f"{name}.inside")
    w.node("Cast", [f"{name}.inside"], f"{name}.ones", to=TensorProto.FLOAT)
    w.node("ReduceSum", [f"{name}.ones", w.constant(f"{name}.over", [1], np.int64)], f"{name}.count", keepdims=1)
    return w.node("Div", [f"{name}.ones", f"{name}.count"], f"{name}.matrix")


_WRITERS = {
    keras.layers.InputLayer: _input,
    Conv2D: _conv,
    BatchNormalization: _norm,
    keras.layers.ZeroPadding2D: _pad,
    keras.layers.MaxPooling2D: _maxpool,
    keras.layers.ReLU: _relu,
    keras.layers.Add: _add,
    keras.layers.Concatenate: _concatenate,
    Dropout: _dropout,
    keras.layers.GlobalAveragePooling2D: _mean,
    AdaptiveAveragePooling: _adaptive,
    Fork: _fork,
    ResizeLike: _resize,
}
