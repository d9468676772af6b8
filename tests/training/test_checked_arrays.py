"""Arrays with a checksum: what is written comes back, safetensors reads it, and every flipped bit is found."""

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from sagemaker_semseg.training.checked_arrays import checksum, read_arrays, write_arrays

ARRAYS = {
    "odd": np.frombuffer(b"abc", np.uint8),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.array(3, np.int64),
    "empty": np.zeros((0, 3), np.float16),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "arrays.safetensors"
    assert write_arrays(path, ARRAYS) == checksum(path)
    return path


def test_round_trip(path):
    for found in (read_arrays(path), load_file(path)):
        assert found.keys() == ARRAYS.keys()
        for name, array in found.items():
            np.testing.assert_array_equal(array, ARRAYS[name])
            assert (array.shape, array.dtype) == (ARRAYS[name].shape, ARRAYS[name].dtype)


def test_the_same_arrays_give_the_same_bytes(path, tmp_path):
    write_arrays(tmp_path / "again", ARRAYS)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    other = {**ARRAYS, "scalar": np.array(4, np.int64)}
    assert write_arrays(tmp_path / "again", other) != checksum(path)


def test_every_flipped_bit_and_every_cut_is_found(path, tmp_path):
    data = path.read_bytes()
    damaged = tmp_path / "damaged"
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        damaged.write_bytes(changed)
        with pytest.raises((ValueError, SafetensorError)):
            read_arrays(damaged)
    for length in range(len(data)):
        damaged.write_bytes(data[:length])
        with pytest.raises((ValueError, SafetensorError)):
            read_arrays(damaged)


def test_no_checksum(tmp_path):
    assert checksum(tmp_path / "missing") is None
    (tmp_path / "short").write_bytes(b"x")
    assert checksum(tmp_path / "short") is None
