"""int8 graphs: what is quantized, with which ranges, and that labels stay."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from sagemaker_semseg.artifact.graph import check_graph
from sagemaker_semseg.export.onnx_graph import onnx_graph
from sagemaker_semseg.export.quantization import quantizable_nodes, quantized_graph
from sagemaker_semseg.models.network import build_network


def images(count=3):
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (33 + 8 * i, 49, 3), np.uint8) for i in range(count)]


@pytest.fixture(scope="module", params=["fcn", "psp", "deeplab"])
def graphs(request):
    """The float32 graph of a network and its int8 graph."""
    network = build_network(request.param, "resnet-tiny", 5)
    graph = onnx_graph(network)
    return graph, quantized_graph(graph, images())


def coarse(graph, image):
    return onnxruntime.InferenceSession(graph).run(["coarse_logits"], {"image": image[None]})[0][0]


def test_an_int8_graph_passes_the_check_and_computes_nearly_the_same(graphs):
    graph, int8 = graphs
    assert check_graph(int8) == 5
    assert len(int8) < 0.35 * len(graph)
    for image in images():
        expected, found = coarse(graph, image), coarse(int8, image)
        assert found.shape == expected.shape
        # random networks have small logits, so labels say little: compare with their spread
        assert np.abs(found - expected).mean() < 0.08 * expected.std()  # 0.02 to 0.05 with other weights
        assert not np.array_equal(found, expected)


def test_the_classifier_and_the_normalization_stay_in_float32(graphs):
    model = onnx.load_from_string(graphs[1])
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    quantized = [node for node in convolutions if node.input[1] not in weights]
    assert len(quantized) == len(convolutions) - 1
    classifier = made_by[made_by["coarse_logits"].input[0]]
    assert weights[classifier.input[1]].dtype == np.float32
    for node in quantized:
        kernel = weights[made_by[node.input[1]].input[0]]
        assert kernel.dtype == np.int8
        assert np.abs(kernel.astype(int)).max() <= 64  # 7 bits
        assert len(weights[made_by[node.input[1]].input[1]]) == len(kernel)  # a scale for each output channel
    assert not [node for node in model.graph.node if node.op_type == "QuantizeLinear" and "image.float" in node.input]


def test_the_ranges_are_those_of_all_images(graphs):
    """The scale of each activation is its range over 255, computed here tensor by tensor."""
    graph, int8 = graphs
    model = onnx.load_from_string(graph)
    name = quantizable_nodes(onnx.shape_inference.infer_shapes(model))[0].input[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = [session.run([name], {"image": image[None]})[0] for image in images()]
    quantized = onnx.load_from_string(int8)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    (node,) = [n for n in quantized.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == name]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    assert weights[node.input[1]] == pytest.approx((high - low) / 255, rel=1e-5)
    assert weights[node.input[2]] == round(-low / ((high - low) / 255))


def test_no_images():
    graph = onnx_graph(build_network("fcn", "resnet-tiny", 3))
    with pytest.raises(ValueError, match="no images"):
        quantized_graph(graph, [])


def test_progress_counts_images():
    graph, seen = onnx_graph(build_network("fcn", "resnet-tiny", 3)), []
    quantized_graph(graph, images(2), seen.append)
    assert seen == [1, 2]
