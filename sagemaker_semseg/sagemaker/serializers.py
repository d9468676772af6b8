"""``sagemaker.serializers``: what turns an image into a request's body."""

from __future__ import annotations

from typing import Any

from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sdk.serializers import BaseSerializer, IdentitySerializer, ImageSerializer

__all__ = ["BaseSerializer", "DataSerializer", "IdentitySerializer", "ImageSerializer", "SimpleBaseSerializer"]


class SimpleBaseSerializer(BaseSerializer):
    """A base class for serializers with one content type."""

    def __init__(self, content_type: str = "application/json"):
        self.content_type = content_type

    @property
    def CONTENT_TYPE(self) -> str:
        return self.content_type


class DataSerializer(SimpleBaseSerializer):
    """Sends bytes, or the content of a file by its path."""

    def __init__(self, content_type: str = "file-path/raw-bytes"):
        super().__init__("application/octet-stream" if content_type == "file-path/raw-bytes" else content_type)

    def serialize(self, data: Any) -> bytes:
        return ImageSerializer().serialize(data)


__getattr__ = not_here.attribute_of(__name__)
