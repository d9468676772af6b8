"""Cuts a runtime graph at its coarse logits, so that a runtime computes nothing else.

ONNX Runtime computes every output of a graph, asked for or not (microsoft/onnxruntime, issue 16013): the logits at the
image's size were 4 bytes x classes for each pixel, and a quarter of the time with 150 classes. The nodes that only they
need are left out, and so are their weights. Fields of the file are copied as they are; no graph is built.

Large weights go to a file of their own, which a runtime maps into memory instead of copying it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

from sagemaker_semseg.artifact.graph import MAX_NODES, MAX_VALUES
from sagemaker_semseg.artifact.protobuf import field_head, fields, varint

OUTPUT: Final = "coarse_logits"
WEIGHTS_FILE: Final = "weights"

LARGE: Final = 4096
"""Bytes from which on weights go to the file; runtimes read small ones (shapes) while they load a graph."""

_PAGE: Final = 4096  # mapped files begin at whole pages

# field numbers in onnx.proto
_GRAPH: Final = 7  # of ModelProto
_NODE, _INITIALIZER, _OUTPUT, _VALUE_INFO = 1, 5, 12, 13  # of GraphProto
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_VALUE_NAME: Final = 1  # of ValueInfoProto
_TENSOR_NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 8, 9, 13, 14

_LENGTH: Final = 2  # the wire type of texts, bytes and messages

Pieces = list[bytes | memoryview]


def write_coarse_graph(graph: bytes, folder: Path) -> Path:
    """Writes the cut graph to a file in ``folder``, and its large weights to one beside it.

    Raises:
        ValueError: The graph is damaged, or has no coarse logits.
        OSError: The files can't be written.
    """
    path = folder / "coarse.onnx"
    with open(folder / WEIGHTS_FILE, "wb") as weights:
        path.write_bytes(coarse_graph(graph, weights))
    return path


def coarse_graph(graph: bytes, weights: BinaryIO | None = None) -> bytes:
    """Returns a checked graph (``check_graph``) without what the output ``coarse_logits`` doesn't need.

    Args:
        graph: The serialized model.
        weights: A file for large weights, which then are external data of the model.

    Raises:
        ValueError: The graph is damaged, has no coarse logits, or more nodes or names than any network here.
    """
    pieces: Pieces = []
    for number, wire, raw in fields(memoryview(graph), "model"):
        if number != _GRAPH:
            pieces += _encoded(number, wire, raw)
            continue
        inner = _cut(raw, weights)
        pieces += [field_head(_GRAPH, sum(map(len, inner))), *inner]
    return b"".join(pieces)


def _cut(graph: memoryview, weights: BinaryIO | None) -> Pieces:
    parts = list(fields(graph, "graph"))
    if len(parts) > MAX_VALUES:
        raise ValueError(f"holds more than {MAX_VALUES} nodes, weights and values")
    needed = _needed([raw for number, _, raw in parts if number == _NODE])
    pieces: Pieces = []
    for number, wire, raw in parts:
        if number == _VALUE_INFO or (number == _OUTPUT and _texts(raw, _VALUE_NAME) != [OUTPUT]):
            continue
        if number == _NODE and needed.isdisjoint(_texts(raw, _NODE_OUTPUT)):
            continue
        if number == _INITIALIZER:
            if needed.isdisjoint(_texts(raw, _TENSOR_NAME)):
                continue
            inner = _moved(raw, weights) if weights else [raw]
            pieces += [field_head(number, sum(map(len, inner))), *inner]
            continue
        pieces += _encoded(number, wire, raw)
    return pieces


def _needed(nodes: list[memoryview]) -> set[str]:
    """The names of all values that the coarse logits depend on; nodes stand in the order of execution."""
    if len(nodes) > MAX_NODES:
        raise ValueError(f"has {len(nodes)} nodes, {MAX_NODES} are the limit")
    needed = {OUTPUT}
    made = False
    for node in reversed(nodes):
        outputs = _texts(node, _NODE_OUTPUT)
        made = made or OUTPUT in outputs
        if not needed.isdisjoint(outputs):
            needed.update(_texts(node, _NODE_INPUT))
    if not made:
        raise ValueError(f"doesn't make its output {OUTPUT!r}")
    return needed


def _moved(tensor: memoryview, weights: BinaryIO) -> Pieces:
    """The weights of a tensor written to ``weights``, and the tensor with the place where they are."""
    parts = list(fields(tensor, "tensor"))
    data = b"".join(raw for number, _, raw in parts if number == _RAW_DATA)
    if len(data) < LARGE:
        return [tensor]
    weights.write(bytes(-weights.tell() % _PAGE))
    entries = {"location": WEIGHTS_FILE, "offset": str(weights.tell()), "length": str(len(data))}
    weights.write(data)
    pieces = [piece for part in parts if part[0] != _RAW_DATA for piece in _encoded(*part)]
    for pair in entries.items():
        entry = b"".join(field_head(at, len(text)) + text.encode() for at, text in enumerate(pair, 1))
        pieces += [field_head(_EXTERNAL_DATA, len(entry)), entry]
    return [*pieces, varint(_DATA_LOCATION << 3), varint(1)]


def _texts(message: memoryview, wanted: int) -> list[str]:
    found: Iterable[Any] = (raw for number, wire, raw in fields(message, "node") if (number, wire) == (wanted, _LENGTH))
    return [str(raw, "utf-8") for raw in found]


def _encoded(number: int, wire: int, raw: Any) -> Pieces:
    if isinstance(raw, int):
        return [varint(number << 3 | wire), varint(raw)]
    return [field_head(number, len(raw)) if wire == _LENGTH else varint(number << 3 | wire), raw]
