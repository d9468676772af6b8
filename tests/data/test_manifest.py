"""Augmented manifests: what is read from good lines, what is said of bad ones, and that hostile ones do no harm."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_semseg.data import manifest
from sagemaker_semseg.data.channels import find_pairs
from sagemaker_semseg.data.datasets import find_channels, read_channels
from sagemaker_semseg.data.manifest import ManifestLine, read_lines
from sagemaker_semseg.errors import DataError, FaultList
from tests.data.test_datasets import image_bytes, mask_bytes, write

GOOD = {"source-ref": "s3://images/a.jpg", "road-ref": "s3://images/a.png"}


def read(path: Path, content: bytes | str, *attributes: str) -> tuple[list[ManifestLine], list[tuple[str, str]]]:
    """The lines, and of each fault where it is (the line, or "" for the file) and what."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    faults = FaultList()
    lines = list(read_lines(path, faults, attributes))
    found = [fault for each in faults.kinds.values() for fault in each]
    assert all(fault.remedy for fault in found)
    assert all(fault.where.startswith(str(path)) for fault in found)
    return lines, [(fault.where.removeprefix(str(path)).removeprefix(", "), fault.what) for fault in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.manifest"


def dumped(*lines: object) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_references_of_every_kind(path: Path, tmp_path: Path) -> None:
    lines, faults = read(
        path,
        dumped(
            GOOD,
            {"source-ref": "images/ä b.jpg", "road-ref": "../masks/a.png"},
            {"source-ref": "file:///data/a%20b.jpg", "road-ref": "file://localhost/data/a.png"},
            {"source-ref": "/data/x.jpg", "road-ref": "./x.png", "other": [1, {}], "class": 1},
        ),
    )
    assert not faults
    assert [line[:3] for line in lines] == [
        (1, "s3://images/a.jpg", "s3://images/a.png"),
        (2, f"{tmp_path}/images/ä b.jpg", f"{tmp_path.parent}/masks/a.png"),
        (3, "/data/a b.jpg", "/data/a.png"),
        (4, "/data/x.jpg", f"{tmp_path}/x.png"),
    ]


def test_blank_lines_bom_and_line_ends_count_as_nothing(path: Path) -> None:
    line = json.dumps(GOOD)
    lines, faults = read(path, f"\ufeff{line}\r\n\n   \n{line}")
    assert ([line.number for line in lines], faults) == ([1, 4], [])


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"source-ref": "a.jpg", "road-ref": ', "not JSON: Expecting value at character 36"),
        (b"hello", "not JSON: Expecting value at character 1"),
        (b"[]", "expected a JSON object, not a list"),
        (b"null", "expected a JSON object, not null"),
        (b'{"source-ref": "\xff.jpg"}', "byte 17 is no UTF-8"),
        (b'{"source-ref": "a", "road-ref": "b", "source-ref": "c"}', "the key 'source-ref' is there twice"),
        (b'{"source-ref": "a", "road-ref": "b", "x": {"y": 1, "y": 1}}', "the key 'y' is there twice"),
        (b'{"source-ref": "a", "road-ref": "b", "x": NaN}', "NaN is no JSON"),
        (b'{"x": ' + b"[" * 100_000 + b"}", "nested too deep"),
        (b'{"x": 1' + b"0" * 10_000 + b"}", "not JSON: Exceeds the limit"),
        (b'{"source-ref": 5, "road-ref": "b"}', "source-ref: 5 came; expected s3://bucket/key"),
        (b'{"source-ref": "a", "road-ref": ""}', "road-ref: '' came"),
        (b'{"source-ref": "https://x/a.jpg", "road-ref": "b"}', "can't be read; expected s3://"),
        (b'{"source-ref": "file://host/a.jpg", "road-ref": "b"}', "three slashes"),
        (b'{"source-ref": "s3://bucket", "road-ref": "b"}', "names no object"),
        (b'{"source-ref": "a\\u0000", "road-ref": "b"}', "a character that no name has"),
        (b'{"source-ref": "a\\ud800", "road-ref": "b"}', "a character that no name has"),
        (b'{"source-ref": "' + b"a" * 5000 + b'", "road-ref": "b"}', "a reference of 5000 characters"),
        (b'{"source": "aGVsbG8=", "road-ref": "b"}', "'source' holds the data itself"),
        (b'{"Source-Ref": "a", "road-ref": "b"}', "'source-ref' missing, there are the keys Source-Ref, road-ref"),
        (b'{"source-ref": "a", "Road-ref": "b"}', "'road-ref' missing, there are the keys source-ref, Road-ref"),
        (b'{"source-ref": "a", "x": {"failure-reason": "ClientError"}}', "it wasn't labelled: ClientError"),
        (b'{"source-ref": "a", "road-ref": "b", "road-ref-metadata": 1}', "road-ref-metadata is a number"),
        (b'{"source-ref": "' + b"a" * (1 << 20) + b'", "road-ref": "b"}', "longer than 1048576 bytes"),
    ],
)
def test_a_bad_line_among_good_ones(path: Path, line: bytes, what: str) -> None:
    good = json.dumps(GOOD).encode()
    lines, faults = read(path, b"\n".join([good, line, good]), "source-ref", "road-ref")
    assert [line.number for line in lines] == [1, 3]
    assert [where for where, _ in faults] == ["line 2"]
    assert what in faults[0][1]


def test_all_faults_come_at_once_but_no_more_than_memory_holds(path: Path) -> None:
    path.write_text("x\n" * 300 + json.dumps({"source-ref": 1, "road-ref": "b"}) + "\n")
    faults = FaultList(most_of_a_kind=100)
    assert not list(read_lines(path, faults))
    with pytest.raises(DataError, match=r"manifest line: 300, manifest reference: 1") as error:
        faults.raise_any()
    assert len(error.value.faults) == 101
    assert "line 301" in str(error.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "there is no line in it"),
        (b"\n\n", "there is no line in it"),
        (b"\x1f\x8b\x08\x00", "is compressed"),
        ('{"a": 1}'.encode("utf-16"), "is UTF-16"),
    ],
)
def test_a_file_that_is_no_manifest(path: Path, content: bytes, what: str) -> None:
    lines, faults = read(path, content)
    assert (lines, len(faults), faults[0][0]) == ([], 1, "")
    assert what in faults[0][1]


def test_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("none", "fifo", ""):
        faults = FaultList()
        assert not list(read_lines(tmp_path / name, faults))
        assert [*faults.kinds] == ["unreadable manifest"]


# ---- attributes


def test_the_only_other_reference_is_the_mask(path: Path) -> None:
    content = dumped({"weather": 1, "road-ref": "b", "source-ref": "a", "source-ref-metadata": {}, "x": "-ref"})
    lines, faults = read(path, content)
    assert not faults
    assert lines[0].mask.endswith("/b")


def test_more_than_one_candidate_is_an_error_wherever_the_second_one_comes(path: Path) -> None:
    first, later = {"source-ref": "a", "road-ref": "b"}, {"source-ref": "a", "road-ref": "b", "adjusted-road-ref": "c"}
    _, faults = read(path, dumped(first, first, later))
    assert faults == [("", "more than one attribute may be the mask's: road-ref (line 1), adjusted-road-ref (line 3)")]
    lines, faults = read(path, dumped(later), "source-ref", "adjusted-road-ref")
    assert not faults
    assert lines[0].mask.endswith("/c")


def test_attributes_are_in_order_and_their_case_counts(path: Path) -> None:
    lines, _ = read(path, dumped({"A-ref": "a", "a-ref": "b"}), "a-ref", "A-ref")
    assert (lines[0].image[-2:], lines[0].mask[-2:]) == ("/b", "/a")
    _, faults = read(path, dumped(GOOD), "source-ref", "Road-ref")
    assert faults == [("line 1", "'Road-ref' missing, there are the keys source-ref, road-ref")]


@pytest.mark.parametrize(
    "names", [("source-ref",), ("a-ref", "b-ref", "c-ref"), ("a-ref", "a-ref"), ("source", "b-ref")]
)
def test_attributes_that_cannot_be(path: Path, names: tuple[str, ...]) -> None:
    lines, faults = read(path, dumped(GOOD), *names)
    assert (lines, len(faults)) == ([], 1)


# ---- any bytes


@given(st.lists(st.tuples(st.text("abcä /.-%", min_size=1).filter(str.strip), st.text("xyz", min_size=1)), max_size=20))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, places: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.manifest"
    lines, _ = read(path, dumped(*({"source-ref": f"s3://b/k{one}x", "m-ref": f"/{two}"} for one, two in places)))
    assert [line[:3] for line in lines] == [(i, f"s3://b/k{a}x", f"/{b}") for i, (a, b) in enumerate(places, 1)]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["source-ref", "m-ref", "m-ref-metadata", "internal-color-map", "0", "class-name", "hex-color"])
        | st.text(max_size=4), inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
_KEYS = st.sampled_from(["source-ref", "m-ref", "x-ref", "m-ref-metadata", "m-metadata", "source"])


@settings(max_examples=200)
@given(
    st.binary(max_size=60)
    | st.lists(st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=4).map(lambda lines: dumped(*lines).encode())
)
def test_any_bytes_lead_to_lines_and_faults_alone(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    lines, faults = read(tmp_path_factory.getbasetemp() / "hostile.manifest", content)
    assert lines or faults
    assert all(isinstance(place, str) and place for line in lines for place in line[1:3])


# ---- as a channel


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a", "b", "v"):
        write(tmp_path / f"images/{name}.jpg", image_bytes())
        write(tmp_path / f"masks/{name}.png", mask_bytes())
    return tmp_path


def put(path: Path, *names: str) -> Path:
    """A manifest of these pairs of ``root``."""
    path.write_text(dumped(*({"source-ref": f"images/{name}.jpg", "m-ref": f"masks/{name}.png"} for name in names)))
    return path


def test_a_manifest_is_a_channel(root: Path) -> None:
    put(root / "train.manifest", "b", "a"), put(root / "validation.jsonl", "v")
    channels = read_channels(find_channels(root), 3)
    assert [sample.name for sample in channels.train.pairs] == ["b", "a"]  # as the lines are
    sample = channels.train.pairs[0]
    assert (sample.image, sample.mask) == (root / "images/b.jpg", root / "masks/b.png")
    assert sample.where == f"{root}/train.manifest, line 1"
    assert (sample.size, sample.color_map) == ((6, 8), None)
    assert channels.validation.pixel_counts.tolist() == [40, 8, 0]


def test_a_folder_that_holds_a_manifest(root: Path) -> None:
    (root / "train").mkdir()
    (root / "train/._x.manifest").write_bytes(b"?")
    path = put(root / "train/output.manifest", "a")
    path.write_text(path.read_text().replace("images/", "../images/").replace("masks/", "../masks/"))
    faults, notes = FaultList(), []
    pairs = find_pairs({"train": root / "train", "train_annotation": root}, "train", faults, notes)
    assert [pair.name for pair in pairs] == ["a"]
    assert notes == ["train: a manifest names its masks, the channel train_annotation isn't read"]
    put(root / "train/second.manifest", "a")
    assert not find_pairs({"train": root / "train"}, "train", faults, notes)
    assert [*faults.kinds] == ["two manifests"]


def test_a_manifest_among_images_is_a_file_that_is_left_out(root: Path) -> None:
    put(root / "images/train.manifest", "a")
    notes: list[str] = []
    channels = {"train": root / "images", "train_annotation": root / "masks"}
    assert [pair.name for pair in find_pairs(channels, "train", FaultList(), notes)] == ["a", "b", "v"]
    assert notes == ["train: files that are no images were left out (1 x .manifest)"]


def test_a_link_to_a_manifest_leads_to_its_images(root: Path) -> None:
    (root / "job/train").mkdir(parents=True)
    (root / "job/train/x.manifest").symlink_to(put(root / "x.manifest", "a"))
    (pair,) = find_pairs({"train": root / "job/train"}, "train", FaultList(), [])
    assert pair.image == root / "images/a.jpg"


def test_folders_with_masks_come_before_a_manifest(root: Path) -> None:
    put(root / "train.manifest", "a")
    (root / "train").mkdir()
    assert find_channels(root)["train"] == root / "train.manifest"
    (root / "train_annotation").mkdir()
    assert find_channels(root)["train"] == root / "train"
    put(root / "validation.manifest", "a"), put(root / "validation.jsonl", "a")
    with pytest.raises(DataError, match=r"stands beside validation\.manifest"):
        find_channels(root)


def test_faults_of_files_name_the_line(root: Path) -> None:
    put(root / "train.manifest", "a", "gone", "b"), put(root / "validation.manifest", "v")
    write(root / "masks/b.png", mask_bytes(rows=(0, 77)))
    write(root / "masks/a.png", mask_bytes(height=7))
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), 3)
    line = f"({root}/train.manifest, line"
    assert sorted(fault.where for fault in error.value.faults) == [
        f"{root}/images/gone.jpg {line} 2)",
        f"{root}/masks/a.png {line} 1)",
        f"{root}/masks/b.png {line} 3)",
        f"{root}/masks/gone.png {line} 2)",
    ]


def test_names_are_unique(root: Path) -> None:
    write(root / "images/a.png", image_bytes(kind="PNG"))
    path = put(root / "train.manifest", "a", "b", "a")
    with open(path, "a") as file:
        file.write(dumped({"source-ref": "images/a.png", "m-ref": "masks/a.png"}))
    faults, notes = FaultList(), []
    pairs = find_pairs({"train": path}, "train", faults, notes)
    assert [pair.name for pair in pairs] == ["a", "b", "a (line 3)", "a (line 4)"]
    assert notes == ["train: lines of the manifest whose image an earlier line has, too: 1"]


def test_a_label_map_counts(root: Path) -> None:
    put(root / "train.manifest", "a", "b"), put(root / "validation.manifest", "v")
    write(root / "label_map/label_map.json", b'{"map": {"0": 1, "1": 0}}')
    assert read_channels(find_channels(root), 2).train.pixel_counts.tolist() == [16, 80]


def test_a_missing_manifest_is_called_one(root: Path) -> None:
    with pytest.raises(DataError, match="the manifest of the channel train doesn't exist"):
        read_channels({"train": root / "train.manifest", "validation": put(root / "v.manifest", "v")}, 2)


def test_references_into_s3(root: Path, bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(root / "cache"))
    for name in ("a", "b"):
        for key in (f"images/{name}.jpg", f"masks/{name}.png"):
            bucket.put_object(Bucket="images", Key=f"set/{key}", Body=(root / key).read_bytes())
    path = put(root / "train.manifest", "b", "a")
    path.write_text(path.read_text().replace('"images', '"s3://images/set/images'))
    faults = FaultList()
    pairs = find_pairs({"train": path}, "train", faults, [])
    assert not faults.kinds
    assert [pair.name for pair in pairs] == ["b", "a"]
    assert pairs[1].image.read_bytes() == (root / "images/a.jpg").read_bytes()
    assert pairs[1].mask == root / "masks/a.png"
    path.write_text(path.read_text().replace("a.jpg", "gone.jpg"))
    assert [pair.name for pair in find_pairs({"train": path}, "train", faults, [])] == []
    (fault,) = faults.kinds.pop("not fetched")
    assert fault.where == f"s3://images/set/images/gone.jpg ({path}, line 2)"


def test_nothing_is_fetched_for_a_manifest_with_faults(path: Path) -> None:
    path.write_text(dumped(GOOD) + "x\n")  # it would fail here, without credentials
    faults = FaultList()
    assert not find_pairs({"train": path}, "train", faults, [])
    assert [*faults.kinds] == ["manifest line"]


def test_the_limit_is_above_ground_truths() -> None:
    assert manifest.MAX_LINE_BYTES >= 400_000  # 100 000 characters of up to four bytes


def test_memory_does_not_grow_with_the_lines(path: Path) -> None:
    """benchmarks/manifest_memory.py has a million of them."""

    def peak(count: int) -> int:
        with open(path, "w") as file:
            for number in range(count):
                metadata = {"internal-color-map": {str(number % 9): {"class-name": "a", "hex-color": "#000000"}}}
                entry = {"source-ref": f"/{number}.jpg", "m-ref": f"{number}.png", "m-ref-metadata": metadata}
                file.write(json.dumps(entry) + "\n")
        tracemalloc.start()
        assert sum(1 for _ in read_lines(path, FaultList())) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(10_000) < peak(100) + 100_000
