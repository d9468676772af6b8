"""``sagemaker.deserializers``: what turns a reply into what ``predict`` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.deserializers import ArrayDeserializer, BaseDeserializer, BytesDeserializer

__all__ = [
    "ArrayDeserializer",
    "BaseDeserializer",
    "BytesDeserializer",
    "NumpyDeserializer",
    "SimpleBaseDeserializer",
    "StreamDeserializer",
]


class SimpleBaseDeserializer(BaseDeserializer):
    """A base class for deserializers of one kind of reply."""

    def __init__(self, accept: str | Sequence[str] = "*/*"):
        self.accept = accept

    @property
    def ACCEPT(self) -> Any:
        return (self.accept,) if isinstance(self.accept, str) else tuple(self.accept)


class StreamDeserializer(SimpleBaseDeserializer):
    """Returns the stream of the reply and its content type; the caller closes the stream."""

    def deserialize(self, stream: Any, content_type: str) -> tuple[Any, str]:
        return stream, content_type


class NumpyDeserializer(ArrayDeserializer):
    """Returns the probabilities (C, H, W) of an ``application/x-npy``."""

    def __init__(self, accept: str = "application/x-npy"):
        super().__init__(accept)


__getattr__ = not_here.attribute_of(__name__)
