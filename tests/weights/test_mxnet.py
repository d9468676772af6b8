"""MXNet's array files: what MXNet wrote comes out bit by bit, every version and type, and no byte can do harm."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_semseg.errors import ArtifactError
from sagemaker_semseg.weights import mxnet


def read(data):
    return mxnet.read(data, "x.params")


def identical(found, expected):
    return found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


def test_every_array_of_mxnets_own_file(reference):
    arrays = read(reference("tiny.params").read_bytes())
    with np.load(reference("tiny.npz")) as file:
        expected = {key.split("|")[1]: array for key, array in file.items()}
    assert list(arrays) == list(expected)
    assert all(identical(arrays[name], expected[name]) for name in expected)


def test_an_unnamed_list(reference):
    arrays = read(reference("tiny_list.params").read_bytes())
    with np.load(reference("tiny.npz")) as file:
        assert identical(arrays["0"], file["03|i.int32"])
        assert identical(arrays["1"], file["00|conv.weight"])
    assert len(arrays) == 2


def test_the_two_ways_gluon_saves_a_net(reference):
    with np.load(reference("tiny_net.npz")) as file:
        expected = list(file.values())
        names = list(file)
    saved, exported = (read(reference(f"tiny_{kind}.params").read_bytes()) for kind in ("net", "export"))
    assert list(saved) == names
    assert all(identical(a, b) for a, b in zip(saved.values(), expected, strict=True))
    assert all(identical(a, b) for a, b in zip(exported.values(), expected, strict=True))


@pytest.mark.parametrize("name", ["tiny.params", "tiny_net.params", "tiny_export.params"])
def test_written_byte_for_byte_as_mxnet_does(reference, name):
    data = reference(name).read_bytes()
    assert b"".join(mxnet.write(read(data))) == data


def test_no_type_that_mxnet_has_not():
    with pytest.raises(ValueError, match="no arrays of complex64"):
        list(mxnet.write({"a": np.zeros(2, np.complex64)}))


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_versions(build, version):
    values = np.arange(6, dtype="<f4").reshape(2, 3) - 1.5
    arrays = read(build.params([build.record((2, 3), 0, values.tobytes(), version)], ["a"]))
    assert identical(arrays["a"], values)


@pytest.mark.parametrize(
    ("code", "kind"),
    list(enumerate(["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8"])),
)
def test_types(build, code, kind):
    values = np.array([[0, 1, 2], [100, 101, 127]]).astype(kind)
    assert identical(read(build.params([build.record((2, 3), code, values.tobytes())], ["a"]))["a"], values)


def test_bfloat16_is_the_upper_half_of_float32(build):
    raw = struct.pack("<4H", 0x3F80, 0xC040, 0x0001, 0x7F80)
    found = read(build.params([build.record((4,), 12, raw)], ["a"]))["a"]
    assert found.dtype == np.float32
    assert found.tolist() == [1.0, -3.0, 2.0**-133, np.inf]


def test_empty_arrays_and_scalars(build):
    v0, v1 = struct.pack("<I", 0), struct.pack("<Ii", 0xF993FAC8, 0)
    v2, none = struct.pack("<Iii", 0xF993FAC9, 0, 0), struct.pack("<Iii", 0xF993FACA, 0, -1)
    scalar = build.record((), 0, struct.pack("<f", 2.5), 3)
    hollow = build.record((0, 3), 4, b"")
    arrays = read(build.params([v0, v1, v2, none, scalar, hollow], list("abcdef")))
    assert [array.shape for array in arrays.values()] == [(0,), (0,), (0,), (0,), (), (0, 3)]
    assert arrays["e"] == 2.5


@pytest.mark.parametrize("storage", [1, 2])
def test_sparse_arrays_are_refused(build, storage):
    record = struct.pack("<Ii", 0xF993FAC9, storage) + build.shape(2, 3) + build.shape(5, 3) + bytes(64)
    with pytest.raises(ArtifactError, match="array 0 is sparse"):
        read(build.params([record]))


def hostile(build):
    """What is wrong, and a file of that kind."""
    good = build.record((2,), 0, bytes(8))
    big = struct.pack("<Ii", 0xF993FAC9, 0)
    return {
        "is not a list of MXNet arrays": b"PK\3\4" + bytes(40),
        f"claims {2**63} arrays": struct.pack("<QQQ", 0x112, 0, 2**63) + bytes(100),
        "claims 200000 arrays": struct.pack("<QQQ", 0x112, 0, 200_000) + bytes(900_000),
        "array 0 claims 33 dimensions": build.params([build.record((1,) * 33, 0, bytes(4))]),
        "array 0 claims -2 dimensions": build.params([big + struct.pack("<i", -2)]),
        r"claims the shape \(-1,\)": build.params([build.record((-1,), 0, b"")]),
        "claims the shape": build.params([build.record((0, 2**62, 2**62), 0, b"")]),
        "ends within array 0: 4398046511104 bytes": build.params([build.record((2**40,), 0, bytes(64))]),
        r"unknown type of numbers \(13\)": build.params([build.record((2,), 13, bytes(8))]),
        r"stored in an unknown way \(3\)": build.params([struct.pack("<Ii", 0xF993FAC9, 3) + bytes(64)]),
        "has 1 names for 2 arrays": build.params([good, good], ["a"]),
        "two arrays of the name 'a'": build.params([good, good], ["a", "a"]),
        "has 3 bytes after its end": build.params([good], ["a"]) + b"abc",
        "claims 1000000 bytes": build.params([good])[:-8] + struct.pack("<QQ", 1, 10**6) + bytes(10),
        "is not UTF-8": build.params([good])[:-8] + struct.pack("<QQ", 1, 2) + b"\xff\xfe",
        "ends within the list's magic number": b"\x12\x01",
    }


@pytest.mark.parametrize("number", range(16))
def test_hostile_files_take_no_memory(build, number):
    message, data = list(hostile(build).items())[number]
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match=message) as caught:
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert caught.value.faults[0].where == "x.params"


def test_every_prefix_is_refused(reference):
    data = reference("tiny.params").read_bytes()
    for length in range(len(data)):
        with pytest.raises(ArtifactError, match="These weights can't be read"):
            read(data[:length])


def harmless(data):
    """It is read, or refused as it should be; arrays are no more than the file (twice that of bfloat16)."""
    try:
        arrays = read(data)
    except ArtifactError:
        return
    assert sum(array.nbytes for array in arrays.values()) <= 2 * len(data)


def test_every_flipped_bit_is_harmless(reference):
    data = reference("tiny.params").read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            harmless(bytes(flipped))


_NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 6, 7, 12, 2**31 - 1, 2**31, 2**32 - 1, 0xF993FAC8, 0xF993FAC9, 0xF993FACA])


@settings(max_examples=400)
@given(st.lists(_NUMBERS | st.integers(0, 2**32 - 1), max_size=40))
def test_whatever_follows_the_magic_number_is_harmless(words):
    """Words that mean something in the format, in any order: they get further into it than noise does."""
    harmless(struct.pack("<QQQ", 0x112, 0, 1) + struct.pack(f"<{len(words)}I", *words))
