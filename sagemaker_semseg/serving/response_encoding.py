"""Encodes labels and probabilities as the parts of a response body.

Probabilities are one record of SageMaker's own format: RecordIO around the protobuf message ``aialgs.data.Record``
(``record.proto`` of the SageMaker Python SDK 2). It is written by hand: all of it but the array are a few dozen bytes
that follow from the shape.

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

from sagemaker_semseg.artifact.protobuf import field_head, varint
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.data.recordio import MAX_PART, whole_frame
from sagemaker_semseg.serving.content_negotiation import ResponseFormat
from sagemaker_semseg.serving.http_errors import PayloadTooLarge

MAX_RECORD: Final = MAX_PART + 1
"""A record has fewer bytes: RecordIO keeps its length in 29 bits. A .npy has the same limit, for the memory."""

# Field numbers in record.proto.
_FEATURES: Final = 1  # of Record
_KEY: Final = 1  # of an entry of the map ``features``
_VALUE: Final = 2
_FLOAT32_TENSOR: Final = 2  # of Value
_INT32_TENSOR: Final = 7
_BYTES: Final = 9
_VALUES: Final = 1  # of a tensor, where they are packed, and of Bytes


def check_response_size(response_format: ResponseFormat, num_classes: int, height: int, width: int) -> None:
    """Raises ``PayloadTooLarge`` if the response to an image of this size has too many bytes."""
    if response_format.is_mask:
        return
    size = num_classes * height * width * np.dtype(response_format.dtype).itemsize
    if len(_record_head(response_format, (1, num_classes, height, width), size)) + size >= MAX_RECORD:
        dtype = response_format.dtype
        what = f"{num_classes} probabilities ({dtype}) for each of {width} x {height} pixels are {size} bytes"
        instead = "image/png or dtype=float16" if dtype == "float32" else "image/png"
        remedy = f"ask for {instead}, or send a smaller image"
        raise PayloadTooLarge(f"{what}; a reply has less than {MAX_RECORD}.", remedy)


def encode_response(response_format: ResponseFormat, array: npt.NDArray[Any]) -> list[bytes | memoryview]:
    """Returns the parts of a response body. Call ``check_response_size`` first.

    Args:
        response_format: Mask or probabilities.
        array: Labels (H, W) uint8, or probabilities (C, H, W) of the format's dtype, which are not copied.
    """
    if response_format.is_mask:
        return [encode_mask(array)]
    if array.ndim != 3 or array.dtype != response_format.dtype:
        raise ValueError(f"probabilities must be (C, H, W) {response_format.dtype}, not {array.shape} {array.dtype}")
    batch = np.ascontiguousarray(array, np.dtype(response_format.dtype).newbyteorder("<"))[None]
    data = batch.data.cast("B")
    if response_format.media_type == "application/x-npy":
        return [_npy_head(batch), data]
    head = _record_head(response_format, batch.shape, data.nbytes)
    before, after = whole_frame(len(head) + data.nbytes)
    # Always one whole record. dmlc's writers split a payload where the magic number occurs at a multiple of 4 bytes,
    # but SageMaker's readers don't join the pieces. Both read a whole record correctly, by its length.
    return [before + head, data, after]


def _record_head(response_format: ResponseFormat, shape: Sequence[int], size: int) -> bytes:
    """A Record without the ``size`` bytes of the array, which end it."""
    shape_tensor = _field(_INT32_TENSOR, _field(_VALUES, b"".join(map(varint, shape))))
    kind = _FLOAT32_TENSOR if response_format.dtype == "float32" else _BYTES
    target = _field(kind, _field(_VALUES, b"", size), size)
    return _field(_FEATURES, _field(_KEY, b"shape") + _field(_VALUE, shape_tensor)) + _field(
        _FEATURES, _field(_KEY, b"target") + _field(_VALUE, target, size), size
    )


def _field(number: int, content: bytes, more: int = 0) -> bytes:
    """A protobuf field of bytes or of a message: ``content``, which ``more`` bytes will follow."""
    return field_head(number, len(content) + more) + content


def _npy_head(array: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(array))
    return out.getvalue()
