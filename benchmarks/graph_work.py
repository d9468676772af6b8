"""Counts the multiplications and additions of a runtime graph's convolutions for one image.

Input: a graph in ONNX and the image's size. Output: GFLOP, two for each product. Everything else that a network does is
below 1 % of it.
"""

import math

import onnx


def gflop(graph: bytes, height: int, width: int) -> float:
    model = onnx.load_model_from_string(graph)
    shape = model.graph.input[0].type.tensor_type.shape
    for axis, size in zip(shape.dim, (1, height, width, 3), strict=True):
        axis.dim_value = size
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    known = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*model.graph.value_info, *model.graph.output]
    }
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            _, *kernel = weights[node.input[1]]  # each output needs one product for each weight of its channel
            total += 2 * math.prod(known[node.output[0]]) * math.prod(kernel)
    if not total:
        raise ValueError("the sizes of the graph's convolutions can't be inferred")
    return total / 1e9
