"""Keras's ``.weights.h5`` of this package's own networks: a path comes in, arrays under structural names go out.
Called by ``files``.

Keras 3 keeps each layer's variables as ``layers/<class>_<number>/vars/<index>`` and the layer's name beside them; here
layers have the structural names (``layer3_2_bn2``). Only datasets that lie in the file as they are get read: no links,
no compression, no external files, and in total no more bytes than the file has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import ArtifactError, Fault, UserError
from .layout import STATISTICS
from .mxnet import Array

_MAX_LAYERS = 5000
_ROLES = {1: ("weight",), 2: ("weight", "bias"), 4: STATISTICS}  # by the number of a layer's variables


def read(path: Path) -> dict[str, Array]:
    """The weights, convolutions as (out, in, height, width). Raises ArtifactError; UserError without h5py."""
    try:
        import h5py
    except ImportError:
        fault = Fault(str(path), "is an HDF5 file, which h5py reads", "pip install h5py")
        raise UserError("These weights can't be read:", [fault]) from None
    try:
        with h5py.File(path, "r") as file:
            return _layers(file, h5py, path)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py raises of damaged files
        _stop(path, f"is damaged: {str(error)[:200]}")


def _stop(path: Path, what: str) -> NoReturn:
    remedy = "give what save_weights of one of this package's networks wrote"
    raise ArtifactError("These weights can't be read:", [Fault(str(path), what, remedy)])


def _layers(file: Any, h5py: Any, path: Path) -> dict[str, Array]:
    left = path.stat().st_size
    layers = _member(file, "layers", h5py.Group, h5py, path)
    if len(layers) > _MAX_LAYERS:
        _stop(path, f"has {len(layers)} layers, {_MAX_LAYERS} are the limit")
    arrays: dict[str, Array] = {}
    for key in layers:
        layer = _member(layers, key, h5py.Group, h5py, path)
        if "vars" not in layer:
            continue
        variables = _member(layer, "vars", h5py.Group, h5py, path)
        if not len(variables):
            continue
        name = variables.attrs.get("name")
        if not isinstance(name, str) or len(variables) not in _ROLES:
            _stop(path, f"layers/{key[:60]} is no layer of these networks")
        for index, role in enumerate(_ROLES[len(variables)]):
            dataset = _member(variables, str(index), h5py.Dataset, h5py, path)
            left -= dataset.size * dataset.dtype.itemsize
            plain = dataset.chunks is None and not dataset.is_virtual and not dataset.external
            if dataset.dtype.kind != "f" or not plain or left < 0:
                _stop(path, f"{dataset.name[:100]} is no plain array of numbers, or claims more than the file holds")
            array = dataset[()]
            arrays[f"{name.replace('_', '.')}.{role}"] = array.transpose(3, 2, 0, 1) if np.ndim(array) == 4 else array
    return arrays


def _member(group: Any, name: str, kind: Any, h5py: Any, path: Path) -> Any:
    """A group's member, unless it is a link to elsewhere or of another kind."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink) or not isinstance(group[name], kind):
        _stop(path, f"{group.name[:60]}/{name[:60]} is missing, a link, or of another kind")
    return group[name]
