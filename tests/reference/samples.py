"""Large arrays of the reference, kept as every 7th value and as sums that notice a change of any value.

A sum adds all values with random signs. Where rounding alone makes two arrays differ, by up to ``atol`` each, their
sums differ by about atol * sqrt(number of values) at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

STEP = 7
SUMS = 4
LARGEST = 3000
"""Arrays of floats with more values than this are sampled."""

SHARED = "shared:"
"""Before a file's name: the names of arrays that are in that file."""


@dataclass(frozen=True)
class Sampled:
    """What is kept of an array."""

    shape: tuple[int, ...]
    values: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, array: np.ndarray) -> Sampled:
        signs = np.random.default_rng(0).integers(0, 2, (SUMS, array.size), np.int8) * 2 - 1
        return cls(array.shape, array.ravel()[::STEP].copy(), signs @ array.ravel().astype(np.float64))

    def assert_agrees(self, found: np.ndarray, atol: float, name: str) -> None:
        assert found.shape == self.shape, name
        ours = Sampled.of(found)
        np.testing.assert_allclose(ours.values, self.values, rtol=0, atol=atol, err_msg=name)
        size = float(np.sqrt(found.size))
        np.testing.assert_allclose(ours.sums, self.sums, rtol=0, atol=atol * size, err_msg=f"signed sums of {name}")


def assert_agrees(found: np.ndarray, expected: np.ndarray | Sampled, atol: float, name: str) -> None:
    """Compares with an array of the reference, or with what is kept of one."""
    if isinstance(expected, Sampled):
        expected.assert_agrees(found, atol, name)
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)


def write(path: Path, arrays: dict[str, np.ndarray], whole: tuple[str, ...] = ()) -> None:
    """Writes arrays, the large ones sampled unless they are named in ``whole``."""
    kept: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.dtype.kind != "f" or array.size <= LARGEST or name in whole:
            kept[name] = array
        else:
            sampled = Sampled.of(array)
            kept |= {f"{name}|shape": np.array(sampled.shape), f"{name}|values": sampled.values}
            kept[f"{name}|sums"] = sampled.sums
    np.savez_compressed(path, **kept)


def read(path: Path) -> dict[str, np.ndarray | Sampled]:
    """The arrays of a file, with those that it shares with another one."""
    with np.load(path, allow_pickle=False) as file:
        arrays: dict[str, np.ndarray | Sampled] = {name: file[name] for name in file if "|" not in name}
        for name in (name.removesuffix("|shape") for name in file if name.endswith("|shape")):
            shape = tuple(file[f"{name}|shape"].tolist())
            arrays[name] = Sampled(shape, file[f"{name}|values"], file[f"{name}|sums"])
    for key in [key for key in arrays if key.startswith(SHARED)]:
        other = read(path.with_name(f"{key.removeprefix(SHARED)}.npz"))
        arrays |= {name: other[name] for name in arrays.pop(key).tolist()}
    return arrays
