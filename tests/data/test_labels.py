"""Label maps against tables written out by hand and against a second reading of the rules, and the class weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_semseg.data.labels import IGNORE, INVALID, MAX_BYTES, LabelMap, count_values, median_frequency_weights
from sagemaker_semseg.errors import DataError


def read(content: object, num_classes: int = 3) -> LabelMap:
    return LabelMap.from_json(json.dumps(content).encode(), num_classes, "map.json")


def faults(content: object, num_classes: int = 3) -> list[str]:
    """What is wrong with a label map, given as an object or as the bytes of its file."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(DataError) as error:
        LabelMap.from_json(data, num_classes, "map.json")
    assert {fault.where for fault in error.value.faults} == {"map.json"}
    return [fault.what for fault in error.value.faults]


def test_identity() -> None:
    table = LabelMap.identity(3).table
    assert table.dtype == np.int16
    assert table.tolist() == [0, 1, 2] + [INVALID] * 252 + [IGNORE]


def test_scale_of_the_documentation() -> None:
    assert read({"scale": "3"}).table[:12].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, INVALID, INVALID, INVALID]
    assert read({"scale": 3}).table[255] == IGNORE
    np.testing.assert_array_equal(read({"scale": 1}).table, LabelMap.identity(3).table)


def test_map_of_the_documentation_reads_pixels_by_label() -> None:
    """The developer guide's example turns the pixels 0, 5, 2 into the labels 1, 0, 2."""
    labels = read({"map": {"0": 5, "1": 0, "2": 2}})
    assert labels.apply(np.array([[0, 5, 2]], np.uint8)).tolist() == [[1, 0, 2]]
    assert labels.table[1] == IGNORE
    assert (labels.table != IGNORE).sum() == 3


def test_map_with_lists_and_strings() -> None:
    table = read({"map": {"0": 5, "1": [0, "7"], "2": []}}).table
    assert {value: int(table[value]) for value in np.flatnonzero(table != IGNORE)} == {5: 0, 0: 1, 7: 1}


def test_255_is_a_label_where_it_has_one() -> None:
    """Binary masks of 0 and 255 are read with scale 255, or with a map that names 255."""
    assert read({"scale": "255"}, 2).apply(np.array([0, 254, 255], np.uint8)).tolist() == [0, 0, 1]
    assert read({"scale": "127"}, 3).table[[0, 127, 254, 255]].tolist() == [0, 1, 2, 2]
    assert read({"scale": "127"}, 2).table[[0, 127, 253, 254, 255]].tolist() == [0, 1, 1, INVALID, IGNORE]
    assert read({"map": {"0": 0, "1": 255}}, 2).table[[0, 1, 255]].tolist() == [0, IGNORE, 1]


def test_most_classes() -> None:
    table = LabelMap.identity(254).table
    assert table[253:].tolist() == [253, INVALID, IGNORE]


def test_lookup_ignores_what_is_invalid() -> None:
    labels = LabelMap.identity(3)
    mask = np.array([[0, 1, 2, 3, 254, 255]], np.uint8)
    assert labels.lookup.dtype == labels.apply(mask).dtype == np.uint8
    assert labels.apply(mask).tolist() == [[0, 1, 2, 255, 255, 255]]


def test_tables_are_read_only() -> None:
    labels = LabelMap.identity(3)
    for table in (labels.table, labels.lookup):
        with pytest.raises(ValueError):
            table[0] = 1


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train_label_map.json"
    path.write_bytes(b'\xef\xbb\xbf{"scale": 3}')  # as some editors save it, with a byte order mark
    assert LabelMap.from_json(path, 3).table[3] == 1
    with pytest.raises(DataError, match=r"absent\.json"):
        LabelMap.from_json(tmp_path / "absent.json", 3)
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(DataError, match="larger than"):
        LabelMap.from_json(str(path), 3)


@pytest.mark.parametrize(
    "content",
    [
        {"scale": 0},
        {"scale": -1},
        {"scale": 256},
        {"scale": "0"},
        {"scale": "3.0"},
        {"scale": 3.0},
        {"scale": " 3"},
        {"scale": "03"},
        {"scale": "\u0663"},
        {"scale": True},
        {"scale": None},
        {"scale": [3]},
        {"scale": {}},
        {"scale": float("nan")},
        {"map": {}},
        {"map": [5, 0, 2]},
        {"map": "5"},
        {"map": None},
        {"map": {"3": 5}},
        {"map": {"-1": 5}},
        {"map": {"01": 5}},
        {"map": {"a": 5}},
        {"map": {"": 5}},
        {"map": {"0": 256}},
        {"map": {"0": -1}},
        {"map": {"0": 5.0}},
        {"map": {"0": False}},
        {"map": {"0": None}},
        {"map": {"0": "x"}},
        {"map": {"0": {"a": 1}}},
        {"map": {"0": [[5]]}},
        {"map": {"0": 5, "1": 5}},
        {"map": {"0": [1, 2], "1": [3, 2]}},
        {},
        {"Scale": 3, "scale": 3},
        [],
        [1, 2],
        "scale",
        3,
        None,
        b"",
        b"{",
        b"scale: 3",
        b'{"scale": 3, "scale": 3}',
        b'{"map": {"0": 1, "0": 2}}',
        b"\xff\xfe\xff",
        b"[" * 100_000,
        b'{"scale": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda content: repr(content)[:40],
)
def test_one_fault(content: object) -> None:
    assert len(faults(content)) == 1


def test_all_faults_at_once() -> None:
    found = faults(b'{"scale": 0, "map": {"0": 5, "1": [5, 300], "7": 8, "x": 1.5, "0": 4}, "other": 1}')
    for part in (
        "both 'scale' and 'map'",
        "unknown entry 'other'",
        "scale 0",
        "pixel value 5 stands for label 0 and for label 1",
        "holds 300",
        "map key '7'",
        "map key 'x'",
        "holds 1.5",
        "the key '0' of map is given 2 times",
    ):
        assert sum(part in what for what in found) == 1, part
    assert len(found) == 9


def test_a_map_turned_around_is_explained() -> None:
    """The usual mistake: pixel values as keys, labels as values."""
    with pytest.raises(DataError) as error:
        read({"map": {"0": 0, "128": 1}})
    assert "the key is the training label" in error.value.faults[0].remedy


num_classes = st.integers(2, 254)


@given(num_classes, st.integers(1, 255), st.booleans())
def test_scale_for_any_number_of_classes(n: int, scale: int, quoted: bool) -> None:
    table = read({"scale": str(scale) if quoted else scale}, n).table
    for value in range(256):
        label = value // scale
        assert table[value] == (label if label < n else IGNORE if value == 255 else INVALID)


@given(num_classes, st.data())
def test_any_map_without_faults(n: int, data: st.DataObject) -> None:
    labels = data.draw(st.dictionaries(st.integers(0, 255), st.integers(0, n - 1), min_size=1))
    content: dict[str, list[object]] = {}
    for value, label in labels.items():
        content.setdefault(str(label), []).append(data.draw(st.sampled_from([value, str(value)])))
    unpacked = data.draw(st.booleans())
    single = {label: given[0] if unpacked and len(given) == 1 else given for label, given in content.items()}
    table = read({"map": single}, n).table
    assert [int(table[value]) for value in range(256)] == [labels.get(value, IGNORE) for value in range(256)]


def is_table_or_faults(data: bytes) -> None:
    """Whatever else is raised fails the test."""
    try:
        table: object = LabelMap.from_json(data, 3, "map.json").table
    except DataError as error:
        table, found = None, error.faults
    if table is None:
        assert found
        assert {fault.where for fault in found} == {"map.json"}
    else:
        assert set(np.asarray(table).tolist()) <= {0, 1, 2, IGNORE, INVALID}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=3) | st.sampled_from(["0", "1"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["scale", "map", "0", "1", "2", "9", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(anything | st.fixed_dictionaries({"map": anything}) | st.fixed_dictionaries({"scale": anything}))
def test_any_json_is_a_table_or_faults(content: object) -> None:
    is_table_or_faults(json.dumps(content).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_table_or_faults(data: bytes) -> None:
    is_table_or_faults(data)


def test_median_frequency_weights_by_hand() -> None:
    """Two images of 100 pixels: 80 of class 0 and 20 of class 1; 90 of class 0 and 10 of class 2; class 3 nowhere."""
    weights = median_frequency_weights(np.array([170, 20, 10, 0]), np.array([200, 100, 100, 0]))
    assert weights.dtype == np.float32
    # frequencies 0.85, 0.2, 0.1: the median is 0.2
    np.testing.assert_allclose(weights, [0.2 / 0.85, 1.0, 2.0, 1.0], rtol=1e-6)


def test_median_of_an_even_number_of_classes() -> None:
    weights = median_frequency_weights(np.array([30, 10]), np.array([40, 40]))
    np.testing.assert_allclose(weights, [0.5 / 0.75, 0.5 / 0.25], rtol=1e-6)


def test_weights_without_any_pixel_are_one() -> None:
    np.testing.assert_array_equal(median_frequency_weights(np.zeros(3, int), np.zeros(3, int)), np.ones(3, np.float32))


def test_the_values_of_large_masks_are_counted_in_pieces() -> None:
    mask = np.zeros((1100, 1100), np.uint8)
    mask[-1, -3:] = 7, 7, 255
    assert {value: int(count) for value, count in enumerate(count_values(mask)) if count} == {0: 1209997, 7: 2, 255: 1}
