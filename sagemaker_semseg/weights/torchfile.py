"""Reads safetensors, and the files of ``torch.save``.

safetensors holds numbers and nothing else. ``torch.save`` writes a pickle, which can run code when it is loaded: only
PyTorch's own restricted reader (``weights_only``) opens it here, so PyTorch is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors

from sagemaker_semseg.errors import ArtifactError, Fault, UserError
from sagemaker_semseg.weights.mxnet import Array

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip


def read_safetensors(data: bytes, where: str) -> dict[str, Array]:
    """The arrays of a safetensors file, bfloat16 as float32. Raises ArtifactError."""
    arrays: dict[str, Array] = {}
    try:
        for name, entry in safetensors.deserialize(data):
            kind = entry["dtype"]
            array = np.frombuffer(entry["data"], _TYPES[kind]).reshape(entry["shape"])
            arrays[name] = (array.astype("<u4") << 16).view("<f4") if kind == "BF16" else array
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
        fault = Fault(where, f"is no safetensors file, or a damaged one: {error}", "copy or download the file again")
        raise ArtifactError("These weights can't be read:", [fault]) from None
    except KeyError as error:
        fault = Fault(where, f"holds numbers of the type {error}, which are not read here")
        raise ArtifactError("These weights can't be read:", [fault]) from None
    return arrays


def read_torch(path: Path) -> dict[str, Array]:
    """The arrays of a state dict that ``torch.save`` wrote, bare or within "state_dict" or "model".

    Raises UserError without PyTorch, ArtifactError if the file holds more than tensors.
    """
    try:
        import torch
    except ImportError:
        what = "is a file of torch.save, which only PyTorch can open safely"
        remedy = "give the same weights as safetensors, or: pip install 'sagemaker-semseg[torch]'"
        raise UserError("These weights can't be read:", [Fault(str(path), what, remedy)]) from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make the reader raise anything
        first = str(error).strip().partition("\n")[0]
        fault = Fault(str(path), f"can't be opened as weights only: {type(error).__name__}: {first[:200]}")
        raise ArtifactError("These weights can't be read:", [fault]) from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    dense = isinstance(content, Mapping) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout is torch.strided
        for name, value in content.items()
    )
    if not dense:
        raise ArtifactError("These weights can't be read:", [Fault(str(path), "holds no state dict of tensors")])
    bfloat16 = torch.bfloat16
    return {name: (value.float() if value.dtype == bfloat16 else value).numpy() for name, value in content.items()}
