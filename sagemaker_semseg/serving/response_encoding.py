"""Replies as bytes: labels or probabilities come in, the parts of a reply's body go out.

A worker calls ``check_size`` before any work is done and ``encode`` after it. Probabilities travel in one record of
SageMaker's own format: RecordIO around the protobuf message ``aialgs.data.Record`` (``record.proto`` of the SageMaker
Python SDK 2). It is written by hand, for all of it but the array are a few dozen bytes that follow from the shape:

    features { key: "shape"   value { int32_tensor { values: [1, C, H, W] } } }
    features { key: "target"  value { float32_tensor { values: [...] } } }           float32
    features { key: "target"  value { bytes { value: "..." } } }                     float16, little-endian
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.data.recordio import MAX_PART, whole_frame
from sagemaker_semseg.serving.content_negotiation import ResponseFormat
from sagemaker_semseg.serving.http_errors import PayloadTooLarge

MAX_RECORD: Final = MAX_PART + 1
"""A record has fewer bytes: RecordIO keeps its length in 29 bits. A .npy is held to the same bound, for the memory."""

# Numbers of fields in record.proto.
_FEATURES: Final = 1  # of Record
_KEY: Final = 1  # of an entry of the map ``features``
_VALUE: Final = 2
_FLOAT32_TENSOR: Final = 2  # of Value
_INT32_TENSOR: Final = 7
_BYTES: Final = 9
_VALUES: Final = 1  # of a tensor, where they are packed, and of Bytes


def check_size(reply: ResponseFormat, num_classes: int, height: int, width: int) -> None:
    """Raises ``PayloadTooLarge`` if the reply to an image of this size has too many bytes."""
    if reply.is_mask:
        return
    size = num_classes * height * width * np.dtype(reply.dtype).itemsize
    if len(_record_head(reply, (1, num_classes, height, width), size)) + size >= MAX_RECORD:
        what = f"{num_classes} probabilities ({reply.dtype}) for each of {width} x {height} pixels are {size} bytes"
        instead = "image/png or dtype=float16" if reply.dtype == "float32" else "image/png"
        remedy = f"ask for {instead}, or send a smaller image"
        raise PayloadTooLarge(f"{what}; a reply has less than {MAX_RECORD}.", remedy)


def encode(reply: ResponseFormat, array: npt.NDArray[Any]) -> list[bytes | memoryview]:
    """The parts of a reply's body, for labels (H, W) uint8 or for probabilities (C, H, W) of the reply's dtype.

    Probabilities are not copied: one part is a view of their bytes. Call ``check_size`` first.
    """
    if reply.is_mask:
        return [encode_mask(array)]
    if array.ndim != 3 or array.dtype != reply.dtype:
        raise ValueError(f"probabilities must be (C, H, W) {reply.dtype}, not {array.shape} {array.dtype}")
    batch = np.ascontiguousarray(array, np.dtype(reply.dtype).newbyteorder("<"))[None]
    data = batch.data.cast("B")
    if reply.media_type == "application/x-npy":
        return [_npy_head(batch), data]
    head = _record_head(reply, batch.shape, data.nbytes)
    before, after = whole_frame(len(head) + data.nbytes)
    # Always one whole record. dmlc's writers cut a payload wherever the magic number stands in it at a multiple of 4
    # bytes, but SageMaker's own readers don't join the pieces. A whole record is read right by both, for they go by its
    # length; only dmlc's splitting of a file among several readers looks for the number, and a reply isn't split.
    return [before + head, data, after]


def _record_head(reply: ResponseFormat, shape: Sequence[int], size: int) -> bytes:
    """A Record up to the ``size`` bytes of the array, which are its end."""
    shape_tensor = _field(_INT32_TENSOR, _field(_VALUES, b"".join(map(_varint, shape))))
    kind = _FLOAT32_TENSOR if reply.dtype == "float32" else _BYTES
    target = _field(kind, _field(_VALUES, b"", size), size)
    return _field(_FEATURES, _field(_KEY, b"shape") + _field(_VALUE, shape_tensor)) + _field(
        _FEATURES, _field(_KEY, b"target") + _field(_VALUE, target, size), size
    )


def _field(number: int, content: bytes, more: int = 0) -> bytes:
    """A protobuf field of bytes or of a message: ``content``, after which ``more`` bytes are to follow."""
    return bytes([number << 3 | 2]) + _varint(len(content) + more) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _npy_head(array: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(array))
    return out.getvalue()
