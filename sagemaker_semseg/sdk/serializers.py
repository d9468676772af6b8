"""Turns what is given to ``predict`` into the body of a request.

The protocol is the SageMaker Python SDK 2's, whose own serializers fit as well: objects with ``CONTENT_TYPE`` and
``serialize``.
"""

from __future__ import annotations

import abc
import io
import os
from pathlib import Path
from typing import Any, Protocol

from sagemaker_semseg.errors import DataError, Fault


class Serializer(Protocol):
    """What ``predict`` needs of a serializer."""

    @property
    def CONTENT_TYPE(self) -> Any:
        """The Content-Type of the body."""

    def serialize(self, data: Any) -> Any:
        """Return the body: bytes, text, or a file."""


class BaseSerializer(abc.ABC):
    """A base class for serializers of your own, as in SDK 2; deriving from it is optional."""

    @property
    @abc.abstractmethod
    def CONTENT_TYPE(self) -> Any:
        """The Content-Type of the body."""

    @abc.abstractmethod
    def serialize(self, data: Any) -> Any:
        """Return the body: bytes, text, or a file."""


class IdentitySerializer(BaseSerializer):
    """Sends the bytes unchanged.

    >>> IdentitySerializer("image/jpeg").CONTENT_TYPE
    'image/jpeg'
    """

    def __init__(self, content_type: str = "application/octet-stream"):
        self.content_type = content_type

    @property
    def CONTENT_TYPE(self) -> str:
        return self.content_type

    def serialize(self, data: Any) -> Any:
        return data


class ImageSerializer(BaseSerializer):
    """Sends an image: the bytes or path of a JPEG or PNG, a PIL image or an (H, W, 3) uint8 array.

    PIL images and arrays are sent as PNG, which changes no pixel. The endpoint recognises the format by the bytes.
    """

    CONTENT_TYPE = "application/x-image"

    def serialize(self, data: Any) -> bytes:
        """Return the file's bytes. Raises ``DataError`` for anything else, and for a file that can't be read."""
        if isinstance(data, bytes | bytearray | memoryview):
            return bytes(data)
        if isinstance(data, str | os.PathLike):
            return _read(Path(os.fspath(data)))
        if hasattr(data, "read"):
            content: bytes = data.read()
            return content
        if hasattr(data, "save") and hasattr(data, "convert"):  # a PIL image
            return _png(data)
        return _png(_pil_image(data))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        raise DataError("The image can't be used:", [Fault(str(path), what, "check the path")]) from None


def _pil_image(data: Any) -> Any:
    import numpy as np
    from PIL import Image

    if not isinstance(data, np.ndarray):
        expected = "the bytes or the path of a JPEG or PNG, a PIL image or an (H, W, 3) uint8 array"
        fault = Fault("data", f"{expected} is expected, {type(data).__name__} came")
        raise DataError("The image can't be used:", [fault])
    if data.ndim != 3 or data.shape[2] != 3 or data.dtype != np.uint8 or not data.size:
        what = f"an (H, W, 3) uint8 array is expected, {data.shape} {data.dtype} came"
        remedy = "give red, green and blue from 0 to 255, height before width"
        raise DataError("The image can't be used:", [Fault("data", what, remedy)])
    return Image.fromarray(np.ascontiguousarray(data))


def _png(image: Any) -> bytes:
    out = io.BytesIO()
    (image if image.mode in ("1", "L", "P", "RGB") else image.convert("RGB")).save(out, "PNG", compress_level=1)
    return out.getvalue()
