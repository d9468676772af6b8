"""Arrays in a safetensors file with a checksum, written through one temporary file.

The file starts with the SHA-256 of all its bytes, its own digits read as zeros:

    length of the header, 8 bytes | {"__metadata__":{"sha256":"<64 digits>"},"name":{"dtype":...}, ...} | arrays
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors.numpy import load_file

from sagemaker_semseg.storage import atomic_write

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_BEGINNING = b'{"__metadata__":{"sha256":"'
_PLACE = 8 + len(_BEGINNING)
_ZEROS = b"0" * 64
_CHUNK = 2**20


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write arrays and return the file's checksum. Makes the folder. Raises OSError as ``open`` does."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    ordered = sorted(arrays, key=lambda name: -arrays[name].itemsize)  # so that each begins at a multiple of its size
    entries, end = {}, 0
    for name in ordered:
        array, begin = arrays[name], end
        end += array.nbytes
        shape = list(np.shape(array))
        entries[name] = {"dtype": _DTYPES[array.dtype.name], "shape": shape, "data_offsets": [begin, end]}
    header = _BEGINNING + _ZEROS + b'"},' + json.dumps(entries, separators=(",", ":")).encode()[1:]
    header += b" " * (-len(header) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with atomic_write(path) as temporary, open(temporary, "r+b") as file:
        beginning = len(header).to_bytes(8, "little") + header
        for data in itertools.chain([beginning], (arrays[name].tobytes() for name in ordered)):
            digest.update(data)
            file.write(data)
        file.seek(_PLACE)
        file.write(digest.hexdigest().encode())
    return digest.hexdigest()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read arrays and verify the checksum; files of earlier releases have none.

    Raises:
        ValueError: The bytes aren't those that were written.
        SafetensorError: It is no safetensors file.
        OSError: It can't be read.
    """
    with open(path, "rb") as file:
        if (expected := _recorded(file)) is not None:
            digest, start = hashlib.sha256(), file.read(_CHUNK)
            digest.update(start[:_PLACE] + _ZEROS + start[_PLACE + len(_ZEROS) :])
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            if digest.hexdigest() != expected:
                raise ValueError("its bytes have changed since it was written (the checksum is another)")
    return load_file(str(path))


def checksum(path: Path) -> str | None:
    """Return the checksum that a file records; None if it isn't there, damaged, or has none."""
    try:
        with open(path, "rb") as file:
            return _recorded(file)
    except (FileNotFoundError, ValueError):
        return None


def _recorded(file: BinaryIO) -> str | None:
    start = file.read(_PLACE + len(_ZEROS))
    file.seek(0, os.SEEK_SET)
    if start[8:_PLACE] == _BEGINNING:
        return start[_PLACE:].decode("ascii", "replace")
    if b"__metadata__" in start:
        raise ValueError("its header has changed since it was written")
    return None
