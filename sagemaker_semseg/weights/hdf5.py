"""Reads Keras's ``.weights.h5`` of this package's own networks.

Keras 3 keeps each layer's variables as ``layers/<class>_<number>/vars/<index>`` and the layer's name beside them; here
layers have the structural names (``layer3_2_bn2``). Only plain datasets are read: no links, no compression, no external
files, and in total no more bytes than the file has.

The HDF5 library, which is written in C, crashes on some damaged files. So it runs in a process of its own with limited
memory, which returns the arrays as safetensors.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy

from sagemaker_semseg.architectures import STATISTICS
from sagemaker_semseg.errors import ArtifactError, Fault, UserError
from sagemaker_semseg.weights.mxnet import Array
from sagemaker_semseg.weights.torchfile import read_safetensors

_MAX_LAYERS = 5000
_SECONDS = 600
_MEMORY = 4 * 2**30  # of addresses, most of which the libraries reserve and never use
_REFUSED = 3
_ROLES = {1: ("weight",), 2: ("weight", "bias"), 4: STATISTICS}  # by the number of a layer's variables


def read(path: Path) -> dict[str, Array]:
    """The weights, convolutions as (out, in, height, width). Raises ArtifactError; UserError without h5py."""
    if importlib.util.find_spec("h5py") is None:
        fault = Fault(str(path), "is an HDF5 file, which h5py reads", "pip install h5py")
        raise UserError("These weights can't be read:", [fault])
    try:
        done = subprocess.run([sys.executable, "-m", __name__, str(path)], capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        _refuse(path, f"is damaged: the HDF5 library did not finish with it in {_SECONDS} seconds")
    if done.returncode == _REFUSED:
        _refuse(path, done.stderr.decode(errors="replace"))
    if done.returncode != 0:
        _refuse(path, "is damaged: the HDF5 library crashes on it")
    return read_safetensors(done.stdout, str(path))


def _refuse(path: Path, what: str) -> NoReturn:
    remedy = "give what save_weights of one of this package's networks wrote"
    raise ArtifactError("These weights can't be read:", [Fault(str(path), what, remedy)])


# ---- in the process of its own


def _main(path: Path) -> int:
    """Writes the arrays to standard output, what is wrong with the file to standard error."""
    import h5py

    _limit_memory(_MEMORY + 4 * path.stat().st_size)
    try:
        with h5py.File(path, "r") as file:
            arrays = _layers(file, h5py, path.stat().st_size)
    # MemoryError: from a size that the file claims; the others: from h5py on damaged files
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        sys.stderr.write(str(error)[:300] if isinstance(error, _RefusedError) else f"is damaged: {str(error)[:200]}")
        return _REFUSED
    sys.stdout.buffer.write(safetensors.numpy.save(arrays))
    return 0


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


class _RefusedError(ValueError):
    """What is wrong with a file."""


def _stop(what: str) -> NoReturn:
    raise _RefusedError(what)


def _layers(file: Any, h5py: Any, left: int) -> dict[str, Array]:
    """The arrays by structural names. left: how many bytes of numbers there can be."""
    layers = _member(file, "layers", h5py.Group, h5py)
    if len(layers) > _MAX_LAYERS:
        _stop(f"has {len(layers)} layers, {_MAX_LAYERS} are the limit")
    arrays: dict[str, Array] = {}
    for key in layers:
        layer = _member(layers, key, h5py.Group, h5py)
        if "vars" not in layer:
            continue
        variables = _member(layer, "vars", h5py.Group, h5py)
        if not len(variables):
            continue
        name = variables.attrs.get("name")
        if not isinstance(name, str) or len(variables) not in _ROLES:
            _stop(f"layers/{key[:60]} is no layer of these networks")
        for index, role in enumerate(_ROLES[len(variables)]):
            dataset = _member(variables, str(index), h5py.Dataset, h5py)
            left -= dataset.size * dataset.dtype.itemsize
            plain = dataset.chunks is None and not dataset.is_virtual and not dataset.external
            if dataset.dtype.kind != "f" or not plain or left < 0:
                _stop(f"{dataset.name[:100]} is no plain array of numbers, or claims more than the file holds")
            array = dataset[()]
            array = array.transpose(3, 2, 0, 1) if np.ndim(array) == 4 else array
            arrays[f"{name.replace('_', '.')}.{role}"] = np.array(array, np.float32, order="C")
    return arrays


def _member(group: Any, name: str, kind: Any, h5py: Any) -> Any:
    """A group's member of this kind that is no link to elsewhere."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink) or not isinstance(group[name], kind):
        _stop(f"{group.name[:60]}/{name[:60]} is missing, a link, or of another kind")
    return group[name]


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
