"""Reads a file of weights of any known kind, which its first bytes identify, not its name."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import NoReturn

from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.weights import hdf5, mxnet, torchfile
from sagemaker_semseg.weights.mxnet import Array

MAX_BYTES = 2 * 2**30
"""Larger files are refused unread. The largest network here has 0.4 GiB of weights."""

KINDS = "MXNet's .params, .safetensors, Keras's .weights.h5, or PyTorch's .pth"


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a file under its own names.

    Raises:
        ArtifactError: if the file is missing, damaged or of no known kind.
        UserError: if a library is missing that this kind needs.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            _stop(path, "is no file", f"give a file of weights: {KINDS}")
        if status.st_size > MAX_BYTES:
            _stop(path, f"has {status.st_size} bytes, {MAX_BYTES} are the limit")
        with open(path, "rb") as file:
            begin = file.read(9)
    except OSError as error:
        _stop(path, f"can't be read: {error.strerror or error}", "check the path and its permissions")
    if int.from_bytes(begin[:8], "little") == mxnet.LIST_MAGIC:
        return mxnet.read(path.read_bytes(), str(path))
    if begin.startswith(b"\x89HDF\r\n\x1a\n"):
        return hdf5.read(path)
    if begin.startswith((b"PK\3\4", b"\x80\2")):  # today's form of torch.save is a zip file, the old one a bare pickle
        return torchfile.read_torch(path)
    if begin[8:9] != b"{":
        _stop(path, "is no file of weights that is known here", f"give {KINDS}")
    return torchfile.read_safetensors(path.read_bytes(), str(path))


def _stop(path: Path, what: str, remedy: str = "") -> NoReturn:
    raise ArtifactError("These weights can't be read:", [Fault(str(path), what, remedy)])
