"""Checks a runtime graph (ONNX) that may be hostile, before any runtime loads it.

An ONNX model can name files to read, bring operators and functions of its own, branch and loop. The networks here need
none of that: they are plain operators, one after the other, and weights. A quantized graph has pairs of QuantizeLinear
and DequantizeLinear in between. The onnx package isn't used: it would build
objects of up to a hundred times the file's size before any check could run (``benchmarks/hostile_artifacts.py``).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sagemaker_semseg.artifact.protobuf import Field, Table, read

OPSETS = range(13, 24)
IR_VERSIONS = range(7, 12)  # what came with these opsets
MAX_NODES = 2000
MAX_VALUES = 50_000  # numbers, texts and messages; the largest network here has 9 000
MAX_RANK = 8
MAX_NUMBER = 2**16  # in an attribute: strides, pads, axes


class Operator(NamedTuple):
    """The inputs and attributes of an ONNX operator; each has one output."""

    fewest_inputs: int
    most_inputs: int
    needs: frozenset[str] = frozenset()  # attributes
    takes: frozenset[str] = frozenset()  # optional ones


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WINDOW = "auto_pad dilations pads strides"
_RESIZE = "coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value mode nearest_mode"
OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(("GlobalAveragePool", "Identity", "Relu"), Operator(1, 1)),
    **dict.fromkeys(("Add", "And", "Div", "GreaterOrEqual", "Less", "MatMul", "Mul", "Sub"), Operator(2, 2)),
    "ArgMax": Operator(1, 1, takes=_names("axis keepdims select_last_index")),
    "Cast": Operator(1, 1, needs=_names("to")),
    "Concat": Operator(1, 100, needs=_names("axis")),
    "Constant": Operator(0, 0, needs=_names("value")),
    "Conv": Operator(2, 3, takes=_names(f"group kernel_shape {_WINDOW}")),
    "Gather": Operator(2, 2, takes=_names("axis")),
    "MaxPool": Operator(1, 1, needs=_names("kernel_shape"), takes=_names(f"ceil_mode storage_order {_WINDOW}")),
    "Range": Operator(3, 3),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), Operator(2, 3, takes=_names("axis"))),
    "ReduceSum": Operator(1, 2, takes=_names("keepdims noop_with_empty_axes")),
    "Reshape": Operator(2, 2, takes=_names("allowzero")),
    "Resize": Operator(1, 4, takes=_names(_RESIZE)),
    "Shape": Operator(1, 1, takes=_names("start end")),
    "Slice": Operator(3, 5),
    "Softmax": Operator(1, 1, takes=_names("axis")),
    "Squeeze": Operator(1, 2),
    "Transpose": Operator(1, 1, takes=_names("perm")),
    "Unsqueeze": Operator(2, 2),
}

ATTRIBUTES: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("dilations", "kernel_shape", "strides"), ("ints", 1)),
    **dict.fromkeys(("pads", "perm"), ("ints", 0)),
    **dict.fromkeys(("axis", "end", "start"), ("i", -MAX_RANK)),
    **dict.fromkeys(("group", "to"), ("i", 1)),
    **dict.fromkeys(("allowzero", "ceil_mode", "exclude_outside", "keepdims", "noop_with_empty_axes"), ("i", 0)),
    **dict.fromkeys(("select_last_index", "storage_order"), ("i", 0)),
    **dict.fromkeys(("auto_pad", "coordinate_transformation_mode", "mode", "nearest_mode"), ("s", 0)),
    **dict.fromkeys(("cubic_coeff_a", "extrapolation_value"), ("f", 0)),
    "value": ("t", 0),
}
"""The field with an attribute's value, and the least integer allowed in it."""

# ---- onnx.proto: the parts that may occur

FLOAT, UINT8, INT8, INT32, INT64, BOOL = 1, 2, 3, 6, 7, 9  # types of elements
ITEM_BYTES = {FLOAT: 4, UINT8: 1, INT8: 1, INT32: 4, INT64: 8}
"""The types that weights may have, and the bytes of an element."""

_TYPES = "float32, uint8, int8, int32, int64"

_METADATA = Field("metadata", {1: Field("key", "text"), 2: Field("value", "text")}, repeated=True)
_DOC = Field("doc_string", "text")
_TENSOR: Table = {
    1: Field("dims", "int", repeated=True),
    2: Field("data_type", "int"),
    8: Field("name", "text"),
    9: Field("raw_data", "bytes"),
    12: _DOC,
    13: Field("external_data", "refused"),
    14: Field("data_location", "refused"),
    16: _METADATA,
}
_ATTRIBUTE: Table = {
    1: Field("name", "text"),
    2: Field("f", "float"),
    3: Field("i", "int"),
    4: Field("s", "text"),
    5: Field("t", _TENSOR),
    6: Field("graph", "refused"),
    8: Field("ints", "int", repeated=True),
    11: Field("graphs", "refused"),
    13: _DOC,
    20: Field("type", "int"),
}
_ATTRIBUTE_TYPES = {"f": 1, "i": 2, "s": 3, "t": 4, "ints": 7}
_NODE: Table = {
    1: Field("input", "text", repeated=True),
    2: Field("output", "text", repeated=True),
    3: Field("name", "text"),
    4: Field("op_type", "text"),
    5: Field("attribute", _ATTRIBUTE, repeated=True),
    6: _DOC,
    7: Field("domain", "text"),
    9: _METADATA,
}
_DIMENSION: Table = {1: Field("value", "int"), 2: Field("name", "text"), 3: Field("denotation", "text")}
_TENSOR_TYPE: Table = {
    1: Field("elem_type", "int"),
    2: Field("shape", {1: Field("dim", _DIMENSION, repeated=True)}),
}
_VALUE: Table = {
    1: Field("name", "text"),
    2: Field("type", {1: Field("tensor_type", _TENSOR_TYPE), 6: Field("denotation", "text")}),
    3: _DOC,
    4: _METADATA,
}
_GRAPH: Table = {
    1: Field("node", _NODE, repeated=True),
    2: Field("name", "text"),
    5: Field("initializer", _TENSOR, repeated=True),
    10: _DOC,
    11: Field("input", _VALUE, repeated=True),
    12: Field("output", _VALUE, repeated=True),
    13: Field("value_info", _VALUE, repeated=True),
    15: Field("sparse_initializer", "refused"),
    16: _METADATA,
}
_MODEL: Table = {
    1: Field("ir_version", "int"),
    2: Field("producer_name", "text"),
    3: Field("producer_version", "text"),
    4: Field("domain", "text"),
    5: Field("model_version", "int"),
    6: _DOC,
    7: Field("graph", _GRAPH),
    8: Field("opset_import", {1: Field("domain", "text"), 2: Field("version", "int")}, repeated=True),
    14: _METADATA,
    20: Field("training_info", "refused"),
    25: Field("functions", "refused"),
}


# ---- checks


def check_graph(data: bytes) -> int:
    """Checks a graph and returns its number of classes.

    A valid graph takes ``image`` (N, H, W, 3) uint8, N, H and W of any size, and returns ``logits`` and
    ``coarse_logits`` (N, classes, any, any) float32.

    Raises:
        ValueError: The graph is not a valid one; with the reason.
    """
    model = read(data, _MODEL, "model", MAX_VALUES)
    version, imports = model.get("ir_version"), model["opset_import"]
    text = "has version {} of ONNX's {}, {} to {} are expected"
    _expect(version in IR_VERSIONS, text, version, "format", IR_VERSIONS[0], IR_VERSIONS[-1])
    _expect(len(imports) == 1 and not imports[0].get("domain"), "has operators from elsewhere than ONNX's own set")
    opset = imports[0].get("version")
    _expect(opset in OPSETS, text, opset, "operators", OPSETS[0], OPSETS[-1])
    _expect("graph" in model, "holds no graph")
    graph = model["graph"]
    _expect(len(graph["node"]) <= MAX_NODES, "has {} nodes, {} are the limit", len(graph["node"]), MAX_NODES)
    _check_names(graph)
    for node in graph["node"]:
        _check_node(node)
    for tensor in graph["initializer"]:
        _check_tensor(tensor)
    return _check_interface(graph)


def _check_names(graph: dict[str, Any]) -> None:
    """Every value has one origin and precedes its use, so there are no cycles."""
    known = set()
    for value in (*graph["input"], *graph["initializer"]):
        name = value.get("name", "")
        _expect(name and name not in known, "has two weights or inputs named {!a}", name)
        known.add(name)
    for node in graph["node"]:
        for name in filter(None, node["input"]):  # an empty one is left out
            _expect(name in known, "uses {!a}, which isn't there yet", name)
        for name in filter(None, node["output"]):
            _expect(name not in known, "makes {!a} twice", name)
            known.add(name)
    for value in graph["output"]:
        _expect(value.get("name") in known, "doesn't make its output {!a}", value.get("name"))


def _check_node(node: dict[str, Any]) -> None:
    kind, domain, inputs = node.get("op_type", ""), node.get("domain", ""), node["input"]
    known = kind in OPERATORS and not domain
    _expect(known, "holds the operator {!a} of {!a}, which no network here has", kind, domain or "ONNX")
    operator = OPERATORS[kind]
    right = operator.fewest_inputs <= len(inputs) <= operator.most_inputs and all(inputs[: operator.fewest_inputs])
    _expect(right and all(node["output"]) and len(node["output"]) == 1, "has a {} of other inputs or outputs", kind)
    names = [attribute.get("name", "") for attribute in node["attribute"]]
    _expect(len(set(names)) == len(names), "has a {} with an attribute twice", kind)
    right = operator.needs <= set(names) <= operator.needs | operator.takes
    _expect(right, "has a {} with other attributes than its own", kind)
    for name, attribute in zip(names, node["attribute"], strict=True):
        _check_attribute(attribute, f"{kind}'s {name}", *ATTRIBUTES[name])
    if kind == "Cast":
        to = node["attribute"][0]["i"]
        _expect(to in (FLOAT, UINT8, INT32, INT64, BOOL), "casts to the type {}", to)


def _check_attribute(attribute: dict[str, Any], where: str, wanted: str, least: int) -> None:
    """An attribute has one value of the right type, and no number beyond a network's needs."""
    given = [field for field in _ATTRIBUTE_TYPES if attribute.get(field, []) != []]
    right = given == [wanted] and attribute.get("type") == _ATTRIBUTE_TYPES[wanted]
    _expect(right, "has no value, or one of another type, in {}", where)
    for number in (*attribute["ints"], attribute.get("i", least)):
        _expect(least <= number <= MAX_NUMBER, "has {} in {}", number, where)
    if wanted == "t":
        _check_tensor(attribute["t"])


def _check_tensor(tensor: dict[str, Any]) -> None:
    """The data is in the file, and its size fits the shape."""
    name, dims, kind = tensor.get("name", ""), tensor["dims"], tensor.get("data_type", 0)
    _expect(kind in ITEM_BYTES, "has the tensor {!a} of type {}, {} are expected", name, kind, _TYPES)
    right = len(dims) <= MAX_RANK and all(0 <= dim < 2**31 for dim in dims)
    _expect(right, "has the tensor {!a} of an impossible shape", name)
    size, expected = len(tensor.get("raw_data", b"")), ITEM_BYTES[kind] * math.prod(dims)
    _expect(size == expected, "has the tensor {!a} of {} bytes, its shape says {}", name, size, expected)


def _check_interface(graph: dict[str, Any]) -> int:
    inputs = [(value.get("name"), *_type(value)) for value in graph["input"]]
    _expect(inputs == [("image", UINT8, [None, None, None, 3])], "doesn't take image, (N, H, W, 3) of uint8, alone")
    outputs: list[tuple[Any, ...]] = [(value.get("name"), *_type(value)) for value in graph["output"]]
    right = len(outputs) == 2 and {name for name, *_ in outputs} == {"logits", "coarse_logits"}
    _expect(right, "doesn't give logits and coarse_logits alone")
    for name, kind, shape in outputs:
        right = kind == FLOAT and len(shape) == 4 and shape[1] is not None and shape[1] == outputs[0][2][1]
        _expect(right, "doesn't give {} as (N, classes, H, W) of float32", name)
    return int(outputs[0][2][1])


def _type(value: dict[str, Any]) -> tuple[int, list[int | None]]:
    """The element type and the shape; None is a dimension of any size."""
    tensor = value.get("type", {}).get("tensor_type", {})
    dims = tensor.get("shape", {"dim": []})["dim"]
    return tensor.get("elem_type", 0), [dim.get("value") for dim in dims]


def _expect(condition: Any, otherwise: str, *values: Any) -> None:
    if not condition:
        raise ValueError(otherwise.format(*(value[:60] if isinstance(value, str) else value for value in values)))
