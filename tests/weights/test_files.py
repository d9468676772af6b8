"""Files of other libraries: recognized by their first bytes, read exactly, and refused where they claim too much."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
import sys

import h5py
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_semseg.architectures import STATISTICS
from sagemaker_semseg.errors import ArtifactError, UserError
from sagemaker_semseg.weights import files, torchfile
from sagemaker_semseg.weights.files import read_arrays


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights"


def test_mxnet(reference):
    assert list(read_arrays(reference("tiny_net.params")))[:2] == ["0.weight", "0.bias"]


def test_safetensors(path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float16([1.5]), "c": np.zeros((0, 2))}
    path.write_bytes(safetensors.numpy.save(arrays))
    found = read_arrays(path)
    assert all(np.array_equal(found[n], a) and found[n].dtype == a.dtype for n, a in arrays.items())


def safetensors_file(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_bfloat16(path):
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    path.write_bytes(safetensors_file({"a": entry}, struct.pack("<2H", 0x3F80, 0xC040)))
    assert read_arrays(path)["a"].tolist() == [1.0, -3.0]


@pytest.mark.parametrize(
    "data",
    [
        safetensors_file({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(8)),
        safetensors_file({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 16]}}, bytes(16)),
        safetensors_file({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors_file({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, bytes(1)),
        safetensors_file({"a": 1}),
        struct.pack("<Q", 2**60) + b"{}",
    ],
)
def test_safetensors_that_lie(path, data):
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="These weights can't be read"):
        read_arrays(path)


@settings(max_examples=200)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda b: struct.pack("<Q", len(b) + 1) + b"{" + b))
def test_noise_as_safetensors(data):
    try:
        torchfile.read_safetensors(data, "x")
    except ArtifactError:
        pass


def keras_file(path, layers):
    """What Keras 3's save_weights writes: a group for each layer, its name and its variables in it."""
    with h5py.File(path, "w") as file:
        for number, (name, variables) in enumerate(layers.items()):
            group = file.create_group(f"layers/layer_{number}/vars")
            group.attrs["name"] = name
            for index, array in enumerate(variables):
                group[str(index)] = array


def test_keras(path):
    kernel = np.arange(3 * 3 * 2 * 4, dtype=np.float32).reshape(3, 3, 2, 4)
    norm = [np.full(4, i, np.float32) for i in range(4)]
    keras_file(path, {"head_block_4": [kernel, np.ones(4, np.float32)], "layer1_0_bn2": norm, "relu": []})
    found = read_arrays(path)
    assert found["head.block.4.weight"].shape == (4, 2, 3, 3)
    assert found["head.block.4.weight"][3, 1, 0, 2] == kernel[0, 2, 1, 3]
    assert set(found) == {"head.block.4.weight", "head.block.4.bias", *(f"layer1.0.bn2.{role}" for role in STATISTICS)}
    assert [found[f"layer1.0.bn2.{role}"][0] for role in STATISTICS] == [0, 1, 2, 3]


def test_keras_files_with_more_than_arrays(path, tmp_path):
    def refused(message):
        with pytest.raises(ArtifactError, match=message):
            read_arrays(path)

    for options in ({"chunks": (2,)}, {"compression": "gzip"}, {"external": [(str(tmp_path / "other"), 0, 64)]}):
        with h5py.File(path, "w") as file:
            group = file.create_group("layers/a/vars")
            group.attrs["name"] = "bn1"
            group.create_dataset("0", shape=(16,), dtype="f4", **options)
        refused("no plain array of numbers")
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/layers")
    refused("is missing, a link")
    with h5py.File(path, "w") as file:
        file.create_group("layers/a/vars").attrs["name"] = "bn1"
        file["layers/a/vars/0"] = h5py.SoftLink("/layers")
    refused("is missing, a link")
    with h5py.File(path, "w") as file:
        big = file.create_dataset("big", data=np.zeros(1000, np.float32))
        for number in range(8):
            group = file.create_group(f"layers/{number}/vars")
            group.attrs["name"] = f"layer{number}"
            group["0"] = big
    refused("claims more than the file holds")
    keras_file(path, {"a": [np.zeros(2)] * 3})
    refused("no layer of these networks")
    with h5py.File(path, "w") as file:
        file["other"] = 1
    refused("layers is missing")


def test_keras_damaged(path):
    keras_file(path, {"bn1": [np.arange(16, dtype=np.float32)] * 4})
    data = path.read_bytes()
    for length in range(8, len(data), len(data) // 12):
        path.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match="These weights can't be read"):
            read_arrays(path)


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for the process")
def test_a_file_on_which_the_hdf5_library_crashes(path, tmp_path, monkeypatch):
    """It does on some files with flipped bits, other ones with each release; the process it runs in dies alone."""
    keras_file(path, {"bn1": [np.zeros(4)] * 4})
    process = tmp_path / "process"
    process.write_text("#!/bin/sh\nkill -SEGV $$\n")
    process.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(process))
    with pytest.raises(ArtifactError, match="the HDF5 library crashes on it"):
        read_arrays(path)


def test_a_keras_file_with_flipped_bits(path):
    keras_file(path, {f"bn{number}": [np.arange(8, dtype=np.float32)] * 4 for number in range(3)})
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(12):
        flipped = bytearray(data)
        for position in random.integers(0, len(data), 8):
            flipped[position] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        with contextlib.suppress(ArtifactError):
            read_arrays(path)


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trapped",))


@pytest.mark.parametrize("begin", [b"", b"PK\3\4"])
def test_a_pickle_is_never_loaded_here(path, begin, tmp_path, monkeypatch):
    """With PyTorch its restricted reader refuses it; without, nothing opens it."""
    monkeypatch.chdir(tmp_path)
    path.write_bytes(begin + pickle.dumps(Trap(), protocol=2))
    with pytest.raises(UserError, match=r"only PyTorch can open|can't be opened as weights only"):
        read_arrays(path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"state_dict": d, "epoch": 3}])
@pytest.mark.parametrize("old", [True, False])
def test_torch(path, wrap, old):
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-timm runs this")
    state = {"bn1.weight": torch.arange(4.0), "half": torch.tensor([1.5, -3.0], dtype=torch.bfloat16)}
    torch.save(wrap(state), path, _use_new_zipfile_serialization=not old)
    found = read_arrays(path)
    assert found["bn1.weight"].tolist() == [0, 1, 2, 3]
    assert found["half"].tolist() == [1.5, -3.0]


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {"a": {"b": 2}}])
def test_torch_files_of_other_things(path, value):
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-timm runs this")
    torch.save(value, path)
    with pytest.raises(ArtifactError, match="no state dict"):
        read_arrays(path)


def test_what_is_no_file_of_weights(path, monkeypatch):
    with pytest.raises(ArtifactError, match="can't be read: No such file"):
        read_arrays(path)
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="no file of weights that is known here"):
        read_arrays(path)
    path.write_bytes(b"hello, world")
    with pytest.raises(ArtifactError, match="no file of weights that is known here"):
        read_arrays(path)
    with pytest.raises(ArtifactError, match="is no file"):
        read_arrays(path.parent)
    monkeypatch.setattr(files, "MAX_BYTES", 5)
    with pytest.raises(ArtifactError, match="12 bytes, 5 are the limit"):
        read_arrays(path)
