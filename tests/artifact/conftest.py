"""The smallest runtime graph: of the right form, made by ONNX's own library."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def graph_proto() -> onnx.ModelProto:
    """Three classes: a convolution of 1 x 1 with stride 8 over pixels, and its resizing."""
    constants = {"kernel": np.ones((3, 3, 1, 1), np.float32), "one": np.array([1]), "three": np.array([3])}
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["nchw"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "kernel"], ["coarse_logits"], strides=[8, 8], name="conv"),
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Slice", ["shape", "one", "three"], ["size"]),
        helper.make_node("Constant", [], ["start"], value=numpy_helper.from_array(np.array([1, 3]))),
        helper.make_node("Concat", ["start", "size"], ["sizes"], axis=0),
        helper.make_node("Resize", ["coarse_logits", "", "", "sizes"], ["logits"], mode="linear", cubic_coeff_a=-0.75),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, None, None])
        for name in ("logits", "coarse_logits")
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "smallest", [image], outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def graph(graph_proto: onnx.ModelProto) -> bytes:
    return graph_proto.SerializeToString()
