"""Quantizes a runtime graph to int8, with the ranges of values that calibration images give.

Activations become uint8, the weights of convolutions int8 with a scale for each output channel, in ONNX's form: pairs
of QuantizeLinear and DequantizeLinear, which runtimes replace by int8 convolutions. Weights use 7 bits: products of
8-bit weights overflow on CPUs without VNNI. The image's normalization, the classifier, and whatever multiplies matrices
or resizes stay in float32.

Ranges are the least and the largest value over all images. ONNX Runtime's own calibrators keep every output of every
image; here the graph reduces each tensor to its two ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sagemaker_semseg.artifact.coarse_graph import OUTPUT, coarse_graph

QUANTIZED = frozenset({"Add", "Concat", "Conv", "MaxPool", "Relu"})

Pixels = npt.NDArray[np.uint8]
Ranges = dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


def quantized_graph(graph: bytes, images: Iterable[Pixels], progress: Callable[[int], None] | None = None) -> bytes:
    """Returns the graph with int8 convolutions; its inputs and outputs stay as they are.

    Args:
        graph: A runtime graph of ``onnx_graph``.
        images: (H, W, 3) uint8 RGB, of the kind that the model will see; one at a time is in memory.
        progress: Called with the number of images done.

    Raises:
        ValueError: There are no images, or the graph has nothing to quantize.
    """
    # as ONNX Runtime's ``quantize_static`` does, but for its calibration
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    nodes = quantizable_nodes(model)
    if not nodes:
        raise ValueError("the graph has no convolution to quantize")
    ranges = _calibrate(graph, nodes, images, progress)
    names = [node.name for node in nodes]
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
        nodes_to_quantize=names,
        nodes_to_exclude=[],
        op_types_to_quantize=sorted({node.op_type for node in nodes}),
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return _plain(quantizer.model.model, onnx.load_from_string(graph)).SerializeToString()


def quantizable_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Returns the nodes of the network's body, without the normalization and the classifier, the last convolution."""
    floats = {value.name for value in model.graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    made_by = {name: node for node in model.graph.node for name in node.output}
    classifier = made_by[OUTPUT]
    while classifier.op_type == "Identity":
        classifier = made_by[classifier.input[0]]
    return [
        node
        for node in model.graph.node
        if node.op_type in QUANTIZED
        and node.output[0] in floats
        and node is not classifier
        and not node.output[0].startswith("image.")
    ]


def _calibrate(
    graph: bytes, nodes: list[onnx.NodeProto], images: Iterable[Pixels], progress: Callable[[int], None] | None
) -> Ranges:
    """The least and the largest value of every tensor that the nodes take or make, over all images."""
    model = onnx.load_from_string(coarse_graph(graph))
    constants = {tensor.name for tensor in model.graph.initializer}
    names = sorted({name for node in nodes for name in (*node.input, *node.output)} - constants - {""})
    del model.graph.output[:]
    for name in names:
        for kind in ("ReduceMin", "ReduceMax"):
            end = f"{name}/{kind}"
            model.graph.node.append(helper.make_node(kind, [name], [end], keepdims=0))
            model.graph.output.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, []))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    least: Any = np.inf
    largest: Any = -np.inf
    done = 0
    for done, image in enumerate(images, 1):
        ends = np.array(session.run(None, {"image": image[None]}), np.float32)
        least, largest = np.minimum(least, ends[0::2]), np.maximum(largest, ends[1::2])
        if progress:
            progress(done)
    if not done:
        raise ValueError("there are no images to calibrate with")
    return {name: (least[i], largest[i]) for i, name in enumerate(names)}


def _plain(model: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what a runtime graph may have and nothing else (``artifact.graph``)."""
    for tensor in model.graph.initializer:
        tensor.ClearField("data_location")
        if not tensor.HasField("raw_data"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    plain = onnx.ModelProto()
    plain.CopyFrom(original)
    del plain.graph.node[:], plain.graph.initializer[:]
    plain.graph.node.extend(model.graph.node)
    plain.graph.initializer.extend(model.graph.initializer)
    onnx.checker.check_model(plain, full_check=True)
    return plain
