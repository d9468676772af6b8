"""Artifacts: what is written is read back; what is damaged, foreign or hostile is refused with an ``ArtifactError``.

Both entries are held to it: ``read_artifact`` (weights) and ``read_inference_artifact`` (the graph).
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy

from sagemaker_semseg.artifact import (
    Artifact,
    InferenceArtifact,
    members,
    read_artifact,
    read_inference_artifact,
    write_artifact,
)
from sagemaker_semseg.artifact.content import pack
from sagemaker_semseg.errors import AlgorithmError, ArtifactError
from sagemaker_semseg.hyperparameters import resolve, to_strings

NAMES = ["hyperparams.json", "labels.json", "metrics.json", "model.safetensors", "model.onnx"]
READERS = (read_artifact, read_inference_artifact)


def tiny(graph: bytes | None = None) -> Artifact:
    draw = np.random.default_rng(7)
    return Artifact(
        hyperparameters=to_strings(resolve({"num_classes": 3, "backbone": "resnet-18", "crop_size": 64})),
        weights={
            "conv1.weight": draw.standard_normal((4, 3, 3, 3)).astype(np.float32),
            "bn1.gamma": np.ones(4, np.float32),
            "head.block.4.bias": np.array([0.5, -1e-30, 3e38], np.float32),
        },
        labels={"num_classes": 3, "class_names": ["sky", "Straße", "道"], "ignore": 255, "label_map": {"scale": "1"}},
        metrics={"mIOU": 0.25, "per_class": [0.5, 0.25, None], "confusion": [[1, 2, 3], [0, 9, 2**40], [0, 0, 0]]},
        graph=graph,
    )


def assert_equal(one: Artifact, other: Artifact) -> None:
    assert (one.hyperparameters, one.labels, one.metrics) == (other.hyperparameters, other.labels, other.metrics)
    assert one.weights.keys() == other.weights.keys()
    for name, array in one.weights.items():
        assert other.weights[name].dtype == np.float32
        np.testing.assert_array_equal(other.weights[name], array)


def assert_good(path: Path, graph: bytes) -> None:
    """Both entries read from ``path`` what ``tiny`` has."""
    assert_equal(read_artifact(path), tiny())
    runtime = read_inference_artifact(path)
    assert isinstance(runtime, InferenceArtifact)
    assert (runtime.hyperparameters, runtime.labels) == (tiny().hyperparameters, tiny().labels)
    assert type(runtime.graph) is bytes
    assert runtime.graph == graph


@pytest.fixture
def model(tmp_path: Path, graph: bytes) -> Path:
    write_artifact(tmp_path / "model.tar.gz", tiny(graph))
    return tmp_path / "model.tar.gz"


@pytest.fixture
def contents(model: Path) -> dict[str, bytes]:
    with tarfile.open(model) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", **fields: Any) -> Entry:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def packed(path: Path, entries: Iterable[Entry], tar_format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w:gz", format=tar_format) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def complaint(path: Path, *readers: Callable[[Path], object]) -> str:
    """What the readers, by default both, say of ``path``: the same."""
    texts = set()
    for read in readers or READERS:
        with pytest.raises(ArtifactError) as caught:
            read(path)
        assert caught.value.faults
        texts.add(str(caught.value))
    (text,) = texts
    return text


# ---- the good ones


def test_round_trip(model: Path, graph: bytes) -> None:
    assert_good(model, graph)
    assert read_artifact(model).graph is None


def test_without_a_graph(tmp_path: Path) -> None:
    write_artifact(tmp_path / "model.tar.gz", tiny())
    assert_equal(read_artifact(tmp_path / "model.tar.gz"), tiny())
    text = complaint(tmp_path / "model.tar.gz", read_inference_artifact)
    assert "model.onnx: is missing (write it with: sagemaker-semseg export MODEL -o NEW)" in text
    assert len(text.splitlines()) == 2


def test_it_is_a_plain_archive_with_the_promised_members(model: Path, contents: dict[str, bytes]) -> None:
    with tarfile.open(model, "r:gz") as archive:
        infos = archive.getmembers()
    assert [info.name for info in infos] == NAMES
    for info in infos:
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o644)
    hyperparams = json.loads(contents["hyperparams.json"])
    assert hyperparams["format_version"] == 1
    assert hyperparams["hyperparameters"]["crop_size"] == "64"
    assert json.loads(contents["labels.json"])["class_names"] == ["sky", "Straße", "道"]
    arrays = safetensors.numpy.load(contents["model.safetensors"])
    assert arrays["conv1.weight"].shape == (4, 3, 3, 3)
    assert model.read_bytes()[4:8] == bytes(4)  # gzip's time


def test_equal_artifacts_give_equal_bytes(model: Path, tmp_path: Path, graph: bytes) -> None:
    same = tiny()
    turned = Artifact(
        dict(reversed(same.hyperparameters.items())),
        {name: np.asfortranarray(array) for name, array in reversed(same.weights.items())},
        dict(reversed(same.labels.items())),
        same.metrics,
        graph,
    )
    write_artifact(tmp_path / "another name.tar.gz", turned)
    assert (tmp_path / "another name.tar.gz").read_bytes() == model.read_bytes()


def test_a_folder_has_the_archives_files(tmp_path: Path, contents: dict[str, bytes], graph: bytes) -> None:
    write_artifact(tmp_path / "model", tiny(graph))
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == contents
    assert_good(tmp_path / "model", graph)
    write_artifact(tmp_path / "model", tiny())
    assert "model.onnx: is missing" in complaint(tmp_path / "model", read_inference_artifact)
    assert_equal(read_artifact(tmp_path / "model"), tiny())


def test_the_ending_decides_unless_the_caller_does(tmp_path: Path) -> None:
    for name in ("a.tar.gz", "b.TGZ", "c"):
        write_artifact(tmp_path / name, tiny())
    write_artifact(tmp_path / "d", tiny(), archive=True)
    write_artifact(tmp_path / "e.tar.gz", tiny(), archive=False)
    assert [path.name for path in sorted(tmp_path.iterdir()) if path.is_dir()] == ["c", "e.tar.gz"]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_repacked_by_others(
    tmp_path: Path, contents: dict[str, bytes], graph: bytes, tar_format: int, prefix: str
) -> None:
    entries = [entry("./", type=tarfile.DIRTYPE, mode=0o755)] if prefix else []
    times = {"mtime": 1700000000.25, "uname": "sagemaker-ü"}  # both make pax extensions
    entries += [entry(prefix + name, data, **times) for name, data in contents.items()]
    assert_good(packed(tmp_path / "again.tar.gz", entries, tar_format), graph)


@pytest.mark.skipif(sys.platform == "win32", reason="needs tar")
def test_repacked_by_the_systems_tar(tmp_path: Path, contents: dict[str, bytes], graph: bytes) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    for flag in ("--format=gnu", "--format=pax"):
        subprocess.run(["tar", "-czf", tmp_path / "again.tar.gz", flag, "-C", folder, "."], check=True)
        assert_good(tmp_path / "again.tar.gz", graph)


def test_a_failed_write_leaves_the_old_model(model: Path, graph: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: io.BufferedWriter, _: object) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("sagemaker_semseg.artifact.write_members", fail)
    with pytest.raises(OSError, match="disk full"):
        write_artifact(model, tiny())
    assert_good(model, graph)
    assert os.listdir(model.parent) == ["model.tar.gz"]


# ---- what can't be written


@pytest.mark.parametrize(
    ("part", "value", "where"),
    [
        ("weights", {}, "model.safetensors"),
        ("weights", {"a": np.ones(3)}, "model.safetensors: a"),
        ("weights", {"a": np.array([1, np.nan], np.float32)}, "model.safetensors: a"),
        ("weights", {"a": np.array([1, np.inf], np.float32)}, "model.safetensors: a"),
        ("weights", {"a b": np.ones(3, np.float32)}, "model.safetensors: 'a b'"),
        ("weights", {"a": np.ones((1, 1, 1, 1, 1), np.float32)}, "model.safetensors: a"),
        ("metrics", {"mIOU": float("nan")}, "metrics.json"),
        ("metrics", {"mIOU": np.float32(1)}, "metrics.json"),
        ("labels", {}, "labels.json: num_classes"),
        ("labels", {"num_classes": 4}, "labels.json: num_classes"),
        ("labels", {"num_classes": 3, "class_names": ["a", "b"]}, "labels.json: class_names"),
        ("graph", b"", "model.onnx"),
        ("graph", b"a graph", "model.onnx"),
        ("hyperparameters", {}, "hyperparams.json: num_classes"),
        ("hyperparameters", {"num_classes": 3}, "hyperparams.json"),
        ("hyperparameters", {"num_classes": "3", "algorithm": "unet"}, "hyperparams.json: algorithm"),
    ],
)
def test_an_artifact_that_could_not_be_read_is_not_written(tmp_path: Path, part: str, value: Any, where: str) -> None:
    artifact = Artifact(**{**vars(tiny()), part: value})
    with pytest.raises(AlgorithmError) as caught:
        write_artifact(tmp_path / "model.tar.gz", artifact)
    assert [fault.where for fault in caught.value.faults] == [where]
    assert os.listdir(tmp_path) == []


# ---- members that must not be there

HOSTILE: dict[str, tuple[Entry, str]] = {
    "outside": (entry("../../etc/cron.d/x", b"x"), "leads outside"),
    "outside, in the middle": (entry("a/../../x", b"x"), "leads outside"),
    "outside, Windows": (entry("..\\x", b"x"), "leads outside"),
    "absolute": (entry("/etc/passwd", b"x"), "absolute path"),
    "absolute, a known name": (entry("/hyperparams.json", b"x"), "absolute path"),
    "drive": (entry("C:\\x", b"x"), "absolute path"),
    "hard link": (entry("x", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "x: is a hard link"),
    "symbolic link": (entry("x", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "x: is a symbolic link"),
    "device": (entry("x", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "x: is a character device"),
    "block device": (entry("x", type=tarfile.BLKTYPE, devmajor=8), "x: is a block device"),
    "pipe": (entry("x", type=tarfile.FIFOTYPE), "x: is a pipe"),
    "folder": (entry("code", type=tarfile.DIRTYPE), "code: is a folder"),
    "contiguous": (entry("labels.json", b"x", type=tarfile.CONTTYPE), "an extension of tar"),
    "sparse": (entry("model.onnx", b"", type=tarfile.GNUTYPE_SPARSE), "a sparse file"),
    "sparse, by extension": (
        entry("model.onnx", b"x", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**50)}),
        "makes a file sparse",
    ),
    "renamed by extension": (entry("model.onnx", b"x", pax_headers={"path": "../x"}), "changes a member's path"),
    "long name": (entry("n" * 300, b"x"), "changes a member's path"),
    "duplicate": (entry("labels.json", b"{}"), "labels.json: is there twice"),
    "duplicate, written otherwise": (entry(".//labels.json", b"{}"), "labels.json: is there twice"),
    "pickle": (entry("model.pkl", b"cos\nsystem\n"), "model.pkl: is of a kind that can hold code"),
    "Keras": (entry("model.keras", b"x"), "model.keras: is of a kind that can hold code"),
    "Python": (entry("code/inference.py", b"x"), "code/inference.py: is of a kind that can hold code"),
    "unknown": (entry("notes.txt", b"x"), "notes.txt: is not part of an artifact"),
    "unknown, upper case": (entry("Labels.json", b"x"), "Labels.json: is not part of an artifact"),
    "no name": (entry(".", b"x"), "is not part of an artifact"),
    "a name for the terminal": (entry("\x1b[31mx\n", b"x"), "'\\x1b[31mx\\n': is not part of an artifact"),
    "a huge extension": (entry("model.onnx", b"x", pax_headers={"comment": "c" * 100_000}), "65536 are the limit"),
    "archive in an archive": (entry("model.tar.gz", b"x"), "is an archive of its own"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_members_that_must_not_be_there(
    tmp_path: Path, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    good = [entry(name, data) for name, data in contents.items()]
    bad, said = HOSTILE[case]
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert said in complaint(packed(tmp_path / "bad.tar.gz", [*good, bad]))
    # in front: a link or device is not read as the file of its name, and nothing is missing beside the one fault
    assert len(complaint(packed(tmp_path / "bad.tar.gz", [bad, *good])).splitlines()) == 2
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "bad.tar.gz", tmp_path / "in", tmp_path / "model.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_known_name_that_is_no_file(tmp_path: Path, contents: dict[str, bytes], kind: bytes) -> None:
    good = [entry(name, data) for name, data in contents.items() if name != "labels.json"]
    text = complaint(packed(tmp_path / "bad.tar.gz", [entry("labels.json", type=kind, linkname="metrics.json"), *good]))
    assert "labels.json: is a" in text
    assert len(text.splitlines()) == 2


def test_all_faults_are_listed(tmp_path: Path, contents: dict[str, bytes]) -> None:
    contents["labels.json"] = b'{"num_classes": 4}'
    entries = [entry(name, contents[name]) for name in ("hyperparams.json", "labels.json")]
    path = packed(tmp_path / "bad.tar.gz", [entry("a.pkl", b"x"), entry("../b", b"x"), *entries])
    text = complaint(path, read_artifact)
    for said in ("a.pkl", "../b", "metrics.json: is missing", "model.safetensors: is missing"):
        assert said in text
    assert "model.onnx" not in text
    assert complaint(path, read_inference_artifact).startswith(text + "\n  - model.onnx: is missing")
    contents.update({"metrics.json": b"[]", "model.safetensors": b"", "model.onnx": b""})
    path = packed(tmp_path / "bad.tar.gz", [entry(name, data) for name, data in contents.items()])
    text = complaint(path, read_artifact)
    for said in (
        "labels.json: num_classes: is 4",
        "metrics.json: is not a JSON object",
        "model.safetensors: is cut off",
    ):
        assert said in text
    text = complaint(path, read_inference_artifact)
    assert "labels.json: num_classes: is 4" in text
    assert "model.onnx: has version None" in text


@pytest.mark.parametrize("as_folder", [False, True])
def test_an_original_artifact_of_aws_is_named_as_one(tmp_path: Path, as_folder: bool) -> None:
    data = {"hyperparams.json": b"{}", "model_algo-1": b"\x12\x01", "model_best.params": b"\x12\x01"}
    if as_folder:
        path = tmp_path / "model"
        path.mkdir()
        for name, content in data.items():
            (path / name).write_bytes(content)
    else:
        path = packed(tmp_path / "model.tar.gz", [entry(name, content) for name, content in data.items()])
    text = complaint(path)
    assert "original artifact of AWS" in text
    assert "sagemaker-semseg import MODEL -o NEW" in text
    assert len(text.splitlines()) == 2


# ---- folders


def test_a_folder_with_links_pipes_and_strangers(tmp_path: Path, contents: dict[str, bytes]) -> None:
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    for name in ("hyperparams.json", "labels.json"):
        (folder / name).write_bytes(contents[name])
    (tmp_path / "elsewhere").write_bytes(contents["metrics.json"])
    (folder / "metrics.json").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "model.safetensors")
    (folder / "model.keras").write_bytes(b"x")
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere")
    text = complaint(folder)
    for said in (
        "code: is a folder",
        "metrics.json: is a symbolic link",
        "model.safetensors: is a pipe",
        "model.onnx: is a symbolic link",
        "model.keras: is of a kind that can hold code",
    ):
        assert said in text
    assert "missing" not in text


def test_the_folder_of_an_archive(model: Path) -> None:
    for read in READERS:
        assert "give the path of model.tar.gz" in complaint(model.parent, read)


@pytest.mark.parametrize("case", ["missing", "device", "pipe"])
def test_what_is_neither_file_nor_folder(tmp_path: Path, case: str) -> None:
    paths = {"missing": tmp_path / "missing.tar.gz", "device": Path("/dev/zero"), "pipe": tmp_path / "pipe"}
    os.mkfifo(tmp_path / "pipe")
    said = "No such file or directory" if case == "missing" else "neither a file nor a folder"
    assert said in complaint(paths[case])


# ---- sizes


def header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("name", ["metrics.json", "model.safetensors", "model.onnx", "notes.txt"])
@pytest.mark.parametrize("size", [3 * 2**30, 2**62, -1])
def test_a_claimed_size_beyond_the_limit_stops_the_reading(tmp_path: Path, name: str, size: int) -> None:
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(header(name, size)))  # had it read on, it would have found the file cut off
    assert f"claims {size} bytes" in complaint(path)


def test_a_claim_within_the_limit_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "claim.tar.gz"
    path.write_bytes(gzip.compress(header("model.safetensors", 2**30)))
    tracemalloc.start()
    assert "ends too early" in complaint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20


@pytest.mark.parametrize("as_folder", [False, True])
def test_memory_for_one_copy_of_the_graph_and_none_of_the_weights(
    tmp_path: Path, graph_proto: onnx.ModelProto, as_folder: bool
) -> None:
    weights = np.random.default_rng(0).standard_normal(2**23).astype(np.float32)
    graph_proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "more"))
    artifact = dataclasses.replace(tiny(graph_proto.SerializeToString()), weights={"more": weights})
    path = tmp_path / "model.tar.gz"
    write_artifact(path, artifact)
    if as_folder:
        with tarfile.open(path) as archive:
            path = tmp_path / "model"
            archive.extractall(path, filter="data")
    tracemalloc.start()
    runtime = read_inference_artifact(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert runtime.graph == artifact.graph
    assert peak < 1.2 * weights.nbytes


@pytest.mark.parametrize("as_folder", [False, True])
def test_float32_is_left_out_where_int8_is_preferred(tmp_path: Path, graph: bytes, as_folder: bool) -> None:
    path = tmp_path / ("model" if as_folder else "model.tar.gz")
    write_artifact(path, dataclasses.replace(tiny(graph), int8_graph=graph))
    both, int8 = read_inference_artifact(path), read_inference_artifact(path, prefer_int8=True)
    assert (both.graph, both.int8_graph) == (graph, graph)
    assert (int8.graph, int8.int8_graph) == (b"", graph)
    write_artifact(path, tiny(graph))
    assert read_inference_artifact(path, prefer_int8=True).graph == graph


def test_bombs_stop_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: dict[str, bytes]) -> None:
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 50_000)
    contents["model.onnx"] = bytes(60_000)
    good = [entry(name, data) for name, data in contents.items()]
    bomb = packed(tmp_path / "bomb.tar.gz", good)
    assert "unpacks to more than 50000 bytes" in complaint(bomb)

    monkeypatch.undo()
    with gzip.open(tmp_path / "padding.tar.gz", "wb") as file:
        file.write(bytes(4 * 2**20))
    assert "something follows the end" in complaint(tmp_path / "padding.tar.gz")

    folders = [entry("./", type=tarfile.DIRTYPE) for _ in range(1000)]
    assert "more than 100 members" in complaint(packed(tmp_path / "many.tar.gz", [*folders, *good]))

    path = tmp_path / "many"
    path.mkdir()
    for index in range(101):
        (path / f"{index}.txt").touch()
    (path / "hyperparams.json").write_bytes(contents["hyperparams.json"])  # else it is no model's folder
    for read in READERS:
        with pytest.raises(ArtifactError) as caught:
            read(path)
        assert "more than 100 members" in caught.value.faults[-1].what


def test_a_large_file_in_a_folder(tmp_path: Path) -> None:
    with open(tmp_path / "metrics.json", "wb") as file:
        file.truncate(2**40)  # a hole, it takes no space
    assert f"claims {2**40} bytes" in complaint(tmp_path)


# ---- contents


def changed(path: Path, contents: dict[str, bytes], name: str, data: bytes) -> Path:
    return packed(path, [entry(key, data if key == name else value) for key, value in contents.items()])


def safetensors_bytes(text: str, data: bytes = bytes(8)) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode() + data


GOOD_HEADER = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
DEEP = b'{"a":' * 30 + b"1" + b"}" * 30


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("metrics.json", b"", "Expecting value"),
        ("metrics.json", b"[]", "is not a JSON object"),
        ("metrics.json", b'{"a": 1', "Expecting"),
        ("metrics.json", b'{"a": 1, "a": 2}', "has a key twice"),
        ("metrics.json", b'{"a": NaN}', "not finite"),
        ("metrics.json", b'{"a": -Infinity}', "not finite"),
        ("metrics.json", b'{"a": 1e999}', "not finite"),
        ("metrics.json", b'{"a": ' + b"9" * 100_000 + b"}", "too many digits"),
        ("metrics.json", DEEP, "nested too deeply"),
        ("metrics.json", b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
        ("metrics.json", b'{"a":' + b"[" * 500_000, "nested too deeply"),
        ("metrics.json", b'{"\xff": 1}', "is not UTF-8"),
        ("metrics.json", '{"a": 1}'.encode("utf-16"), "is not UTF-8"),
        ("metrics.json", b'{"a": "\\ud800"}', "surrogates not allowed"),
        ("labels.json", b'{"num_classes": "3"}', "labels.json: num_classes"),
        ("labels.json", b'{"num_classes": 4}', "hyperparams.json has 3"),
        ("labels.json", b'{"num_classes": 3, "class_names": [1, 2, 3]}', "labels.json: class_names"),
        ("hyperparams.json", b'{"backbone": "resnet-50"}', "has no format_version"),
        ("hyperparams.json", b'{"format_version": 2, "hyperparameters": {}}', "has format version 2"),
        ("hyperparams.json", b'{"format_version": true, "hyperparameters": {}}', "has no format_version"),
        ("hyperparams.json", b'{"format_version": 1}', "has no hyperparameters"),
        (
            "hyperparams.json",
            b'{"format_version": 1, "hyperparameters": {}}',
            "hyperparams.json: num_classes: is missing",
        ),
        (
            "hyperparams.json",
            b'{"format_version": 1, "hyperparameters": {"num_classes": "3", "colour": "red"}}',
            "hyperparams.json: colour",
        ),
        ("model.safetensors", b"", "is cut off"),
        ("model.safetensors", b"\xff" * 8, "is cut off"),
        ("model.safetensors", struct.pack("<Q", 2**62) + b"{}", "is cut off"),
        ("model.safetensors", safetensors_bytes("{}", b""), "holds no weights"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER, bytes(7)), "is damaged"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER, bytes(9)), "is damaged"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("[2]", "[3]")), "is damaged"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("[2]", f"[{2**62},4]")), "is damaged"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("[2]", "[-2]")), "is damaged"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("[2]", "[1,1,1,1,2]")), "up to 4 dimensions"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("0,8", "4,12")), "is damaged"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("F32", "F64")), "is not an array of float32"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("F32", "I32")), "is not an array of float32"),
        ("model.safetensors", safetensors_bytes('{"a":1,"a":2}'), "has a key twice"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER.replace("a", "a/../b", 1)), "is not a name for an array"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER, struct.pack("<ff", 1, float("nan"))), "NaN or infinite"),
        ("model.safetensors", safetensors_bytes(GOOD_HEADER, struct.pack("<ff", 1, float("-inf"))), "NaN or infinite"),
        ("model.onnx", b"", "has version None of ONNX's format"),
        ("model.onnx", b"a graph", "model.onnx: "),
    ],
)
def test_contents_that_are_wrong(tmp_path: Path, contents: dict[str, bytes], name: str, data: bytes, said: str) -> None:
    readers = {
        "metrics.json": [read_artifact],
        "model.safetensors": [read_artifact],
        "model.onnx": [read_inference_artifact],
    }
    text = complaint(changed(tmp_path / "bad.tar.gz", contents, name, data), *readers.get(name, READERS))
    assert said in text
    assert len(text) < 1000


def test_the_smallest_safetensors_by_hand(tmp_path: Path, contents: dict[str, bytes]) -> None:
    data = safetensors_bytes(GOOD_HEADER, struct.pack("<ff", 1.5, -2))
    artifact = read_artifact(changed(tmp_path / "good.tar.gz", contents, "model.safetensors", data))
    np.testing.assert_array_equal(artifact.weights["a"], np.array([1.5, -2], np.float32))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "ends too early"),
        (lambda data: b"PK\x03\x04" + data, "is not a gzip file"),
        (lambda data: gzip.decompress(data), "is not a gzip file"),
        (lambda data: data[:-1], "ends too early"),
        (lambda data: data[:-8] + bytes(4) + data[-4:], "CRC check failed"),
        (lambda data: data + b"x", "is not a gzip file"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-512]), "ends too early"),
        (lambda data: gzip.compress(gzip.decompress(data) + b"x"), "something follows"),
        (lambda data: gzip.compress(gzip.decompress(data)[:1000]), "ends too early"),
        (lambda data: gzip.compress(b"1234567\0" * 64), "is damaged: bad checksum"),
    ],
)
def test_damaged_archives(model: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    model.write_bytes(damage(model.read_bytes()))
    assert said in complaint(model)


# ---- fuzz


def survives(path: Path, data: bytes) -> bool:
    """Whether both entries take ``data``; anything but that or an ArtifactError fails the test."""
    path.write_bytes(data)
    read = []
    for reader in READERS:
        try:
            read.append(reader(path))
        except ArtifactError as error:
            str(error).encode("utf-8")
    with contextlib.suppress(ArtifactError):
        read_inference_artifact(path, prefer_int8=True)
    if len(read) < 2:
        return False
    artifact, runtime = read
    pack(dataclasses.replace(artifact, graph=runtime.graph))  # only what is valid can be written
    return True


def test_every_prefix_is_refused(model: Path) -> None:
    data = model.read_bytes()
    assert len(data) > 10 * 97
    assert not any(survives(model, data[:length]) for length in range(0, len(data), 97))
    assert survives(model, data)


def flipped(data: bytes, draw: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        result[draw.randrange(len(result))] ^= 1 << draw.randrange(8)
    return bytes(result)


@pytest.mark.parametrize("layer", ["gzip", "tar", *NAMES])
def test_flipped_bits(model: Path, contents: dict[str, bytes], layer: str) -> None:
    """Bits are flipped in the compressed file, under gzip's checksum, and under tar's in one member."""
    compressed = model.read_bytes()
    draw = random.Random(layer)
    valid = 0
    for _ in range(500):
        if layer == "gzip":
            data = flipped(compressed, draw)
        elif layer == "tar":
            data = gzip.compress(flipped(gzip.decompress(compressed), draw), 1)
        else:
            data = changed(model, contents, layer, flipped(contents[layer], draw)).read_bytes()
        valid += survives(model, data)
    assert valid < 500
    assert valid > 0 or layer == "gzip", "a flipped bit of a weight or a name is still an artifact"
    assert os.listdir(model.parent) == ["model.tar.gz"]
