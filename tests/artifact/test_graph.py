"""The check of runtime graphs: the networks' own pass, and nothing that could do more than calculate.

ONNX's own library builds the graphs here and says what is in those that passed; the check itself doesn't use it.
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sagemaker_semseg.artifact.graph import ATTRIBUTES, IR_VERSIONS, MAX_NODES, OPERATORS, OPSETS, check_graph
from sagemaker_semseg.artifact.protobuf import MAX_TEXT_BYTES

Proto = onnx.ModelProto


def complaint(data: bytes) -> str:
    with pytest.raises(ValueError) as caught:
        check_graph(data)
    text = str(caught.value)
    assert len(text) < 300
    assert text.isprintable()
    return text


# ---- the good ones


def test_the_number_of_classes(graph: bytes) -> None:
    assert check_graph(graph) == 3


def test_what_other_tools_add_may_stay(graph_proto: Proto) -> None:
    graph_proto = onnx.shape_inference.infer_shapes(graph_proto)
    assert graph_proto.graph.value_info
    texts = {"producer_name": "x", "producer_version": "1", "domain": "org.example", "doc_string": "ä" * 512}
    for field, text in texts.items():
        setattr(graph_proto, field, text)
    graph_proto.model_version = -1
    for part in (graph_proto, graph_proto.graph, graph_proto.graph.node[0], graph_proto.graph.initializer[0]):
        part.metadata_props.add(key="author", value="a name")
    graph_proto.graph.node[0].doc_string = graph_proto.graph.input[0].doc_string = "one"
    graph_proto.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    assert check_graph(graph_proto.SerializeToString()) == 3


def test_outputs_in_either_order_and_weights_of_each_type(graph_proto: Proto) -> None:
    outputs = list(graph_proto.graph.output)
    del graph_proto.graph.output[:]
    graph_proto.graph.output.extend(reversed(outputs))
    arrays = [np.zeros((2, 3), np.float32), np.zeros(0, np.float32), np.array(1), np.ones(2, np.int32), np.uint8([7])]
    for index, array in enumerate(arrays):
        graph_proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"extra{index}"))
    assert check_graph(graph_proto.SerializeToString()) == 3


def test_repeated_numbers_come_one_by_one_or_packed(graph: bytes, graph_proto: Proto) -> None:
    packed = graph.replace(b"\x08\x03\x08\x03\x08\x01\x08\x01", b"\x0a\x06\x83\x00\x83\x00\x01\x01")  # as long
    assert packed != graph
    assert Proto.FromString(packed) == graph_proto
    assert check_graph(packed) == 3
    assert "its shape says 48" in complaint(packed.replace(b"\x83\x00\x01\x01", b"\x84\x00\x01\x01"))


def test_the_operators_as_onnx_has_them() -> None:
    kinds = onnx.defs.OpSchema.AttrType
    fields = {kinds.INT: "i", kinds.INTS: "ints", kinds.FLOAT: "f", kinds.STRING: "s", kinds.TENSOR: "t"}
    later = {"Shape": 15, "Reshape": 14}  # when they got attributes
    for name, operator in OPERATORS.items():
        for opset in range(max(OPSETS.start, later.get(name, 0)), OPSETS.stop):
            schema = onnx.defs.get_schema(name, opset)
            assert schema.min_input == operator.fewest_inputs
            assert schema.max_input == operator.most_inputs or name == "Concat"
            needs = {attribute.name for attribute in schema.attributes.values() if attribute.required}
            assert needs == operator.needs or name == "Constant"
            for attribute in operator.needs | operator.takes:
                assert fields[schema.attributes[attribute].type] == ATTRIBUTES[attribute][0]


def test_the_formats_that_came_with_the_operators() -> None:
    assert {row[1] for row in helper.VERSION_TABLE if row[2] in OPSETS} == set(IR_VERSIONS)


# ---- what is refused


def node(*arguments: object, **attributes: object) -> Callable[[Proto], object]:
    return lambda model: model.graph.node.append(helper.make_node(*arguments, **attributes))


def weight(**fields: object) -> Callable[[Proto], object]:
    return lambda model: model.graph.initializer.append(TensorProto(name="extra", **fields))


def change(path: str, value: object) -> Callable[[Proto], object]:
    """Set a field, say "graph.input[0].name"."""

    def apply(model: Proto) -> None:
        *parts, last = path.replace("[", ".").replace("]", "").split(".")
        part = model
        for name in parts:
            part = part[int(name)] if name.isdigit() else getattr(part, name)
        if isinstance(value, list):
            getattr(part, last)[:] = value
        else:
            setattr(part, last, value)

    return apply


INNER = helper.make_graph([], "inner", [], [])
IMAGE_DIM = "graph.input[0].type.tensor_type.shape.dim"

REFUSED: dict[str, tuple[Callable[[Proto], object], str]] = {
    # what could run code or reach for files
    "operator of another domain": (
        node("Add", ["image", "image"], ["x"], domain="com.evil"),
        "operator 'Add' of 'com.evil'",
    ),
    "operators imported": (lambda m: m.opset_import.add(domain="com.evil", version=1), "from elsewhere"),
    "only those": (change("opset_import[0].domain", "ai.onnx.ml"), "from elsewhere"),
    "none imported": (lambda m: m.ClearField("opset_import"), "from elsewhere"),
    "unknown operator": (node("Loop", [], ["x"]), "the operator 'Loop'"),
    "no operator": (node("", [], ["x"]), "the operator ''"),
    "subgraph": (node("Identity", ["image"], ["x"], body=INNER), "attribute.graph, which is not allowed"),
    "subgraphs": (node("Identity", ["image"], ["x"], body=[INNER]), "attribute.graphs, which is not allowed"),
    "function": (lambda m: m.functions.add(name="Add"), "model.functions, which is not allowed"),
    "overload": (change("graph.node[0].overload", "x"), "node.field 8"),
    "training": (lambda m: m.training_info.add(), "model.training_info, which is not allowed"),
    "reference to an attribute": (change("graph.node[0].attribute[0].ref_attr_name", "x"), "field 21"),
    "devices": (lambda m: m.configuration.add(name="x"), "field 26"),
    "file": (lambda m: m.graph.initializer[0].external_data.add(key="location", value="/etc/passwd"), "external_data"),
    "file announced": (change("graph.initializer[0].data_location", 1), "data_location"),
    "file of a constant": (change("graph.node[5].attribute[0].t.data_location", 1), "data_location"),
    "sparse weights": (lambda m: m.graph.sparse_initializer.add(), "sparse_initializer, which is not allowed"),
    "sparse constant": (lambda m: m.graph.node[5].attribute[0].sparse_tensor.dims.append(1), "field 22"),
    "quantization": (lambda m: m.graph.quantization_annotation.add(), "field 14"),
    # inputs and outputs of operators
    "convolution without weights": (node("Conv", ["float"], ["x"]), "has a Conv of other inputs or outputs"),
    "convolution of weights alone": (node("Conv", ["", "kernel"], ["x"]), "has a Conv of other inputs or outputs"),
    "too many inputs": (node("Conv", ["float", *["kernel"] * 3], ["x"]), "has a Conv of other inputs or outputs"),
    "too many outputs": (node("Relu", ["float"], ["x", "y"]), "has a Relu of other inputs or outputs"),
    "no output": (node("Relu", ["float"], []), "has a Relu of other inputs or outputs"),
    "an output without a name": (node("Relu", ["float"], [""]), "has a Relu of other inputs or outputs"),
    # versions
    "format too old": (change("ir_version", 6), "has version 6 of ONNX's format, 7 to 11 are expected"),
    "format too new": (change("ir_version", 12), "has version 12 of ONNX's format"),
    "operators too old": (change("opset_import[0].version", 12), "version 12 of ONNX's operators, 13 to 23 are"),
    "operators too new": (change("opset_import[0].version", 24), "version 24 of ONNX's operators"),
    "operators of no version": (lambda m: m.opset_import[0].ClearField("version"), "version None of ONNX's operators"),
    "no graph": (lambda m: m.ClearField("graph"), "holds no graph"),
    # attributes
    "attribute twice": (
        lambda m: m.graph.node[0].attribute.append(m.graph.node[0].attribute[0]),
        "has a Transpose with an attribute twice",
    ),
    "attribute of two types": (change("graph.node[0].attribute[0].i", 1), "in Transpose's perm"),
    "attribute of numbers with a point": (lambda m: m.graph.node[0].attribute[0].floats.append(1.0), "field 7"),
    "attribute that says another type": (change("graph.node[0].attribute[0].type", 1), "in Transpose's perm"),
    "attribute that says a refused type": (change("graph.node[0].attribute[0].type", 5), "in Transpose's perm"),
    "attribute of no type": (lambda m: m.graph.node[0].attribute[0].ClearField("type"), "in Transpose's perm"),
    "attribute of no value": (lambda m: m.graph.node[1].attribute[0].ClearField("i"), "in Cast's to"),
    "attribute of another type": (node("Concat", ["image"], ["x"], axis=[1]), "in Concat's axis"),
    "attribute of another operator": (node("Relu", ["image"], ["x"], axis=1), "other attributes than its own"),
    "attribute missing": (node("Cast", ["image"], ["x"]), "other attributes than its own"),
    "stride 0": (change("graph.node[2].attribute[0].ints", [0, 0]), "has 0 in Conv's strides"),
    "huge stride": (change("graph.node[2].attribute[0].ints", [2**40]), "has 1099511627776 in Conv's strides"),
    "huge negative axis": (
        change("graph.node[6].attribute[0].i", -(2**63)),
        "has -9223372036854775808 in Concat's axis",
    ),
    "cast to text": (change("graph.node[1].attribute[0].i", TensorProto.STRING), "casts to the type 8"),
    # weights
    "text": (weight(data_type=TensorProto.STRING, string_data=[b"x"]), "initializer.field 6"),
    "type text": (weight(data_type=TensorProto.STRING), "'extra' of type 8"),
    "float16": (weight(data_type=TensorProto.FLOAT16, raw_data=b"xx", dims=[1]), "'extra' of type 10"),
    "float64": (weight(data_type=TensorProto.DOUBLE, raw_data=bytes(8), dims=[1]), "'extra' of type 11"),
    "no type": (weight(raw_data=b"xxxx", dims=[1]), "'extra' of type 0"),
    "numbers beside the raw ones": (weight(data_type=1, float_data=[1.0], dims=[1]), "field 4"),
    "fewer bytes": (weight(data_type=1, raw_data=bytes(7), dims=[2]), "of 7 bytes, its shape says 8"),
    "more bytes": (weight(data_type=1, raw_data=bytes(9), dims=[2]), "of 9 bytes, its shape says 8"),
    "no bytes": (weight(data_type=1, dims=[2]), "of 0 bytes, its shape says 8"),
    "negative": (weight(data_type=2, raw_data=bytes(1), dims=[-1, -1]), "an impossible shape"),
    "huge": (weight(data_type=2, raw_data=b"", dims=[0, 2**31]), "an impossible shape"),
    "overflow": (weight(data_type=2, raw_data=b"", dims=[2**30] * 8), f"its shape says {2**240}"),
    "many dimensions": (weight(data_type=2, raw_data=bytes(1), dims=[1] * 9), "an impossible shape"),
    "constant of fewer bytes": (
        change("graph.node[5].attribute[0].t.raw_data", bytes(9)),
        "of 9 bytes, its shape says 16",
    ),
    # names
    "weight twice": (
        lambda m: m.graph.initializer.append(m.graph.initializer[0]),
        "two weights or inputs named 'kernel'",
    ),
    "weight named as the input": (change("graph.initializer[0].name", "image"), "two weights or inputs named 'image'"),
    "weight without a name": (change("graph.initializer[0].name", ""), "two weights or inputs named ''"),
    "value twice": (node("Identity", ["image"], ["nchw"]), "makes 'nchw' twice"),
    "value over a weight": (node("Identity", ["image"], ["kernel"]), "makes 'kernel' twice"),
    "value from nowhere": (node("Identity", ["nothing"], ["x"]), "uses 'nothing', which isn't there yet"),
    "circle": (node("Add", ["x", "image"], ["x"]), "uses 'x', which isn't there yet"),
    "later value": (lambda m: m.graph.node.reverse(), "which isn't there yet"),
    "output from nowhere": (lambda m: m.graph.node.pop(), "doesn't make its output 'logits'"),
    "a name for the terminal": (node("Identity", ["\x1b[31m"], ["x"]), "uses '\\x1b[31m'"),
    # input and outputs
    "no input": (lambda m: m.graph.input.pop(), "uses 'image', which isn't there yet"),
    "two inputs": (lambda m: m.graph.input.append(helper.make_tensor_value_info("x", 2, [1])), "doesn't take image"),
    "input of floats": (change("graph.input[0].type.tensor_type.elem_type", 1), "doesn't take image"),
    "input of one size": (change(f"{IMAGE_DIM}[1].dim_value", 480), "doesn't take image"),
    "input of four channels": (change(f"{IMAGE_DIM}[3].dim_value", 4), "doesn't take image"),
    "input without a shape": (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), "doesn't take image"),
    "input that is a list": (
        lambda m: m.graph.input[0].type.sequence_type.elem_type.tensor_type.SetInParent(),
        "field 4",
    ),
    "one output": (lambda m: m.graph.output.pop(), "doesn't give logits and coarse_logits"),
    "three outputs": (lambda m: m.graph.output.append(m.graph.output[0]), "doesn't give logits and coarse_logits"),
    "one output twice": (
        lambda m: m.graph.output[1].CopyFrom(m.graph.output[0]),
        "doesn't give logits and coarse_logits",
    ),
    "output of integers": (change("graph.output[0].type.tensor_type.elem_type", 7), "doesn't give logits as"),
    "output of any number of classes": (
        lambda m: m.graph.output[1].type.tensor_type.shape.dim[1].Clear(),
        "doesn't give coarse_logits as",
    ),
    "outputs of two numbers of classes": (
        change("graph.output[1].type.tensor_type.shape.dim[1].dim_value", 4),
        "doesn't give coarse_logits as",
    ),
    # counts and sizes
    "many nodes": (
        lambda m: m.graph.node.extend(helper.make_node("Identity", ["image"], [f"x{i}"]) for i in range(MAX_NODES)),
        f"has {MAX_NODES + 8} nodes, {MAX_NODES} are the limit",
    ),
    "long text": (
        change("doc_string", "x" * (MAX_TEXT_BYTES + 1)),
        f"has {MAX_TEXT_BYTES + 1} bytes in model.doc_string",
    ),
    "long name": (change("graph.initializer[0].name", "x" * 2000), "has 2000 bytes in model.graph.initializer.name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_graphs_that_are_refused(graph_proto: Proto, case: str) -> None:
    change, said = REFUSED[case]
    change(graph_proto)
    assert said in complaint(graph_proto.SerializeToString())


# ---- quantized graphs


def quantized(model: Proto, zero_point: TensorProto | None = None, **attributes: object) -> None:
    """Appends a pair of QuantizeLinear and DequantizeLinear, and int8 weights of two channels."""
    arrays = {"scale": np.float32(0.1), "scales": np.float32([0.1, 0.2]), "weights": np.zeros((2, 3, 1, 1), np.int8)}
    zero_points = {"zeros": np.zeros(2, np.int8), "bias": np.zeros(2, np.int32)}
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in {**arrays, **zero_points}.items())
    model.graph.initializer.append(zero_point or numpy_helper.from_array(np.uint8(128), "zero_point"))
    model.graph.node.extend([
        helper.make_node("QuantizeLinear", ["float", "scale", "zero_point"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero_point"], ["dq"]),
        helper.make_node("DequantizeLinear", ["weights", "scales", "zeros"], ["w"], **{"axis": 0, **attributes}),
        helper.make_node("DequantizeLinear", ["bias", "scales"], ["b"], axis=0),
    ])  # fmt: skip


def test_a_quantized_graph_passes(graph_proto: Proto) -> None:
    quantized(graph_proto)
    onnx.checker.check_model(graph_proto, full_check=True)
    assert check_graph(graph_proto.SerializeToString()) == 3


QUANTIZED_REFUSED: dict[str, tuple[Callable[[Proto], object], str]] = {
    # the form that ONNX Runtime's own tool writes
    "a zero point beside the raw bytes": (
        lambda m: quantized(m, TensorProto(name="zero_point", data_type=2, int32_data=[128])),
        "initializer.field 5",
    ),
    "a zero point without bytes": (lambda m: quantized(m, TensorProto(name="zero_point", data_type=2)), "of 0 bytes"),
    "a zero point in a file": (
        lambda m: quantized(m, TensorProto(name="zero_point", data_type=2, raw_data=b"x", data_location=1)),
        "data_location, which is not allowed",
    ),
    "a zero point of 4 bits": (
        lambda m: quantized(m, TensorProto(name="zero_point", data_type=22, raw_data=b"x")),
        "of type 22",
    ),
    "a zero point of 8-bit floats": (
        lambda m: quantized(m, TensorProto(name="zero_point", data_type=17, raw_data=b"x")),
        "of type 17",
    ),
    "more zero points than bytes": (
        lambda m: quantized(m, TensorProto(name="zero_point", data_type=3, dims=[2**20], raw_data=b"x")),
        "of 1 bytes, its shape says 1048576",
    ),
    "blocks": (lambda m: quantized(m, block_size=2), "other attributes than its own"),
    "saturation": (lambda m: quantized(m, saturate=1), "other attributes than its own"),
    "a type of its own": (lambda m: quantized(m, output_dtype=1), "other attributes than its own"),
    "a huge axis": (lambda m: quantized(m, axis=2**40), "in DequantizeLinear's axis"),
    "an axis far below": (lambda m: quantized(m, axis=-9), "in DequantizeLinear's axis"),
    "an axis of many numbers": (lambda m: quantized(m, axis=[0, 1]), "in DequantizeLinear's axis"),
    "an axis that is a weight": (
        lambda m: quantized(m, axis=numpy_helper.from_array(np.array([0]))),
        "in DequantizeLinear's axis",
    ),
    "no scale": (node("QuantizeLinear", ["float"], ["q"]), "has a QuantizeLinear of other inputs"),
    "an empty scale": (node("DequantizeLinear", ["float", ""], ["q"]), "has a DequantizeLinear of other inputs"),
    "four inputs": (
        node("QuantizeLinear", ["float", "kernel", "kernel", "kernel"], ["q"]),
        "has a QuantizeLinear of other inputs",
    ),
    "two outputs": (node("QuantizeLinear", ["float", "kernel"], ["q", "r"]), "has a QuantizeLinear of other inputs"),
    "an operator of Microsoft's": (
        node("QuantizeLinear", ["float", "kernel"], ["q"], domain="com.microsoft"),
        "operator 'QuantizeLinear' of 'com.microsoft'",
    ),
    "scales that are computed at run time": (node("DynamicQuantizeLinear", ["float"], ["q"]), "DynamicQuantizeLinear"),
    "a convolution of integers": (node("ConvInteger", ["image", "image"], ["x"]), "the operator 'ConvInteger'"),
    "a cast to int8": (change("graph.node[1].attribute[0].i", TensorProto.INT8), "casts to the type 3"),
}


@pytest.mark.parametrize("case", QUANTIZED_REFUSED)
def test_quantized_graphs_that_are_refused(graph_proto: Proto, case: str) -> None:
    change, said = QUANTIZED_REFUSED[case]
    change(graph_proto)
    assert said in complaint(graph_proto.SerializeToString())


# ---- bytes that are no graph, or would be read differently by others


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (b"\x3a\x00", "has model.graph twice"),  # others merge the two
        (b"\x08\x08", "has model.ir_version twice"),
        (b"\x78\x00", "holds model.field 15"),  # others skip it
        (b"\x00\x00", "holds model.field 0"),
        (b"\x2a\x00", "model.model_version has wire type 2"),
        (b"\x35\x00\x00\x00\x00", "model.doc_string has wire type 5"),
        (b"\x39" + bytes(8), "field 7 of model has wire type 1"),
        (b"\x3b\x3c", "field 7 of model has wire type 3"),  # a group
        (b"\x3e", "field 7 of model has wire type 6"),
        (b"\x12\x02\xc3\x28", "has model.producer_name twice"),
        (b"\x22\x02\xc3\x28", "model.domain is not UTF-8"),
        (b"\x28", "is cut off in model"),
        (b"\x28" + b"\xff" * 10 + b"\x01", "a number in model has more than 64 bits"),
        (b"\x28" + b"\xff" * 9 + b"\x02", "a number in model has more than 64 bits"),
        (b"\x22\x05abc", "is cut off in field 4 of model"),
        (b"\x22" + b"\xff" * 9 + b"\x01", "is cut off in field 4 of model"),
        (b"\x42\x00", "from elsewhere"),  # a second, empty import
    ],
)
def test_bytes_that_are_refused(graph_proto: Proto, added: bytes, said: str) -> None:
    graph_proto.producer_name = "x"
    assert said in complaint(graph_proto.SerializeToString() + added)


def test_a_number_of_64_bits_is_read(graph: bytes) -> None:
    assert check_graph(graph + b"\x28" + b"\xff" * 9 + b"\x01") == 3


def test_a_type_that_others_cut_to_32_bits(graph_proto: Proto) -> None:
    graph_proto.graph.initializer.append(TensorProto(name="extra", data_type=1, dims=[8], raw_data=bytes(32)))
    data = graph_proto.SerializeToString()
    # the same length: the name gives the bytes that the longer number takes
    longer = data.replace(b"\x10\x01\x42\x05extra", b"\x10\x81\x80\x80\x80\x10\x42\x01e")
    assert Proto.FromString(longer).graph.initializer[-1].data_type == 1
    assert f"'e' of type {2**32 + 1}" in complaint(longer)


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def test_deep_nesting() -> None:
    """Branches in branches; others read a hundred levels or run out of stack."""
    inner = b""
    for _ in range(5000):  # GraphProto.node, NodeProto.attribute, AttributeProto.g
        for tag in (0x32, 0x2A, 0x0A):
            inner = bytes([tag]) + varint(len(inner)) + inner
    assert "attribute.graph, which is not allowed" in complaint(b"\x3a" + varint(len(inner)) + inner)


def test_a_flood_of_small_things_ends_soon() -> None:
    entries = b"\x72\x00" * 5_000_000
    ints = b"\x3a\x80\xad\xe2\x04\x2a\xfb\xac\xe2\x04\x0a\xf6\xac\xe2\x04" + bytes(9_999_990)  # packed dims
    for flood in (entries, ints):
        text, calls = count_calls(lambda flood=flood: complaint(flood))
        assert "holds more than 50000 values" in text
        assert calls < 2_000_000  # 40 a value: it stopped early, and did not read millions of values
        tracemalloc.start()
        complaint(flood)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 50 * 2**20


def count_calls(work: Callable[[], str]) -> tuple[str, int]:
    """Return what a function returns, and how many calls it made, of Python's and of C's functions."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return work(), calls
    finally:
        sys.setprofile(before)


def test_weights_are_not_copied(graph_proto: Proto) -> None:
    weights = np.zeros(2**24, np.float32)
    graph_proto.graph.initializer.append(numpy_helper.from_array(weights, "extra"))
    data = graph_proto.SerializeToString()
    tracemalloc.start()
    assert check_graph(data) == 3
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


# ---- fuzz


def judge(data: bytes) -> bool:
    """Whether ``data`` passes. What passes has to be harmless by ONNX's own library; all else is a ``ValueError``."""
    try:
        classes = check_graph(data)
    except ValueError:
        return False
    model = Proto.FromString(data)
    graph = model.graph
    assert (len(model.opset_import), model.opset_import[0].domain) == (1, "")
    assert not model.functions
    assert not model.training_info
    assert not graph.sparse_initializer
    tensors = list(graph.initializer)
    for node in graph.node:
        assert onnx.defs.get_schema(node.op_type, 17)
        assert node.domain == ""
        for attribute in node.attribute:
            assert attribute.type not in (attribute.GRAPH, attribute.GRAPHS, attribute.SPARSE_TENSOR)
            helper.get_attribute_value(attribute)
            tensors += [attribute.t] if attribute.HasField("t") else []
    for tensor in tensors:
        assert not onnx.external_data_helper.uses_external_data(tensor)
        assert numpy_helper.to_array(tensor).nbytes == len(tensor.raw_data)
    assert [value.name for value in graph.input] == ["image"]
    assert {value.name for value in graph.output} == {"logits", "coarse_logits"}
    assert graph.output[0].type.tensor_type.shape.dim[1].dim_value == classes
    return True


@pytest.fixture(params=["float32", "int8"])
def fuzzed(request: pytest.FixtureRequest, graph_proto: Proto) -> bytes:
    if request.param == "int8":
        quantized(graph_proto)
    return graph_proto.SerializeToString()


def test_every_prefix_is_refused(fuzzed: bytes) -> None:
    graph = fuzzed
    assert not any(judge(graph[:length]) for length in range(len(graph)))
    assert judge(graph)


def test_flipped_bits(fuzzed: bytes) -> None:
    graph, draw = fuzzed, random.Random(3)
    passed = 0
    for _ in range(10_000):
        data = bytearray(graph)
        for _ in range(draw.choice((1, 1, 2, 8))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        passed += judge(bytes(data))
    assert 500 < passed < 7500, "a flipped bit of a weight or of a name that nothing uses does no harm"


def test_wrong_lengths(fuzzed: bytes) -> None:
    """Each byte of the file in turn takes values that are lengths, tags and ends of numbers."""
    graph = fuzzed
    for at in range(0, len(graph), 1 + len(graph) // 1500):
        for value in (0, 1, 2, 0x0A, 0x7F, 0x80, 0xFF, graph[at] + 1 & 255, graph[at] - 1 & 255):
            judge(graph[:at] + bytes([value]) + graph[at + 1 :])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pieces_cut_out_and_put_in(fuzzed: bytes, data: st.DataObject) -> None:
    graph = fuzzed
    at = st.integers(0, len(graph))
    start, end = sorted((data.draw(at), data.draw(at)))
    piece = data.draw(st.one_of(st.binary(max_size=20), st.builds(lambda a, b: graph[a:b], at, at)))
    judge(graph[:start] + piece + graph[end:])


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert not judge(data)
