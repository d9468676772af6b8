"""Small runtime graphs, written without TensorFlow."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sagemaker_semseg.artifact import InferenceArtifact


def small_graph(kernel):
    """A graph of the right form: a convolution with a kernel (C, 3, k, k) and stride 8 on pixels / 255."""
    classes, _, size, _ = kernel.shape
    pad = size // 2
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["nchw"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["x"]),
        helper.make_node("Conv", ["x", "kernel"], ["coarse_logits"], strides=[8, 8], pads=[pad] * 4),
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Slice", ["shape", "one", "three"], ["size"]),
        helper.make_node("Shape", ["coarse_logits"], ["start"], end=2),
        helper.make_node("Concat", ["start", "size"], ["sizes"], axis=0),
        helper.make_node("Resize", ["coarse_logits", "", "", "sizes"], ["logits"], mode="linear",
                         coordinate_transformation_mode="align_corners"),
    ]  # fmt: skip
    constants = {"scale": np.float32(1 / 255), "kernel": kernel.astype(np.float32),
                 "one": np.array([1]), "three": np.array([3])}  # fmt: skip
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", classes, *sides])
        for name, sides in (("logits", "HW"), ("coarse_logits", "hw"))
    ]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", [image], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def make_runtime():
    def make(kernel, **labels):
        return InferenceArtifact(
            {"num_classes": str(len(kernel))}, {"num_classes": len(kernel), **labels}, small_graph(kernel)
        )

    return make


@pytest.fixture(scope="session")
def local(make_runtime):
    """Its answer for a cell depends on the pixels within 8 of it and nothing else."""
    return make_runtime(np.random.default_rng(0).normal(0, 3, (4, 3, 17, 17)) / 17)
