"""``sagemaker.amazon.common``: reads RecordIO."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from sagemaker_semseg.data.recordio import read_records
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.sagemaker import not_here
from sagemaker_semseg.sagemaker.amazon.record_pb2 import Record
from sagemaker_semseg.sdk.deserializers import RECORDIO, BaseDeserializer


def read_recordio(f: Any) -> Iterator[bytes]:
    """Yield the records of a binary file. Raises ``DataError`` if it is damaged."""
    try:
        yield from read_records(f, "the file")
    except ValueError as error:
        raise DataError("The records can't be read:", [Fault("the file", str(error))]) from None


class RecordDeserializer(BaseDeserializer):
    """Returns the records of a reply as ``Record``."""

    def __init__(self, accept: str = RECORDIO):
        self.accept = accept

    @property
    def ACCEPT(self) -> tuple[str, ...]:
        return (self.accept,)

    def deserialize(self, stream: Any, content_type: str) -> list[Record]:
        """Return the records. Raises ``DataError`` if they are damaged."""
        try:
            return [_parsed(record) for record in read_recordio(io.BytesIO(stream.read()))]
        finally:
            stream.close()


def _parsed(data: bytes) -> Record:
    record = Record()
    record.ParseFromString(data)
    return record


__getattr__ = not_here.attribute_of(__name__)
