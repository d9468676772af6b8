"""Models that others have trained: AWS's artifact and Gluon's files become ours, or one message says why not."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.artifact import Artifact, read_artifact, write_artifact
from sagemaker_semseg.errors import ArtifactError
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.weights import mxnet
from sagemaker_semseg.weights.model import gluoncv_params, import_weights, read_any
from sagemaker_semseg.weights.sagemaker_artifact import known_hyperparameters


def weights_of(seed, *, auxiliary=True):
    random = np.random.default_rng(seed)
    expected = ArchitectureSpec("resnet-tiny", "deeplab", 3, auxiliary=auxiliary).shapes
    return {name: random.random(shape, np.float32) for name, shape in expected.items()}


@pytest.fixture(scope="module")
def best():
    return weights_of(1)


@pytest.fixture(scope="module")
def last():
    return weights_of(2)


# as the job's record in the developer guide has them, all strings; what else AWS writes is not known
SETTINGS = {
    "algorithm": "deeplab", "backbone": "resnet-tiny", "num_classes": "3", "crop_size": "480", "epochs": "30",
    "learning_rate": "0.0001", "use_pretrained_model": "True", "num_training_samples": "1464",
}  # fmt: skip


def archive(path, members):
    with tarfile.open(path, "w:gz", compresslevel=0) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def members(best, last):
    return {
        "hyperparams.json": json.dumps(SETTINGS).encode(),
        "model_algo-1": b"".join(mxnet.write(last)),
        "model_best.params": b"".join(mxnet.write(best)),
    }


def same(artifact, weights):
    return all(np.array_equal(artifact.weights[name], array) for name, array in weights.items())


def test_aws_s_artifact(members, best, last, tmp_path):
    path = archive(tmp_path / "model.tar.gz", members)
    artifact, notes = import_weights(path)
    assert notes == []
    assert same(artifact, best)
    assert {name: artifact.hyperparameters[name] for name in SETTINGS} == SETTINGS
    assert artifact.labels == {"num_classes": 3, "ignore": 255}
    assert artifact.metrics["imported"] == {"file": "model.tar.gz", "member": "model_best.params"}
    assert same(import_weights(path, "model_algo-1")[0], last)
    write_artifact(tmp_path / "ours.tar.gz", artifact)
    assert same(read_artifact(tmp_path / "ours.tar.gz"), best)


def test_aws_s_artifact_unpacked(members, best, tmp_path):
    for name, data in members.items():
        (tmp_path / name).write_bytes(data)
    assert same(import_weights(tmp_path)[0], best)


def test_either_kind_of_artifact(members, best, tmp_path):
    assert same(read_any(archive(tmp_path / "theirs.tar.gz", members)), best)
    labels = {"num_classes": 3, "class_names": ["a", "b", "c"]}
    write_artifact(tmp_path / "ours.tar.gz", Artifact(to_strings(resolve(SETTINGS)), best, labels, {}))
    assert read_any(tmp_path / "ours.tar.gz").labels == labels
    with pytest.raises(ArtifactError, match=r"labels.json: is not part of an artifact, which holds hyperparams.json"):
        import_weights(tmp_path / "ours.tar.gz")


def test_a_file_of_weights_alone(members, best, tmp_path):
    path = tmp_path / "net.params"
    path.write_bytes(members["model_best.params"])
    artifact, _ = import_weights(path, class_names=["x", "y", "z"])
    assert same(artifact, best)
    assert [artifact.hyperparameters[name] for name in ("algorithm", "backbone", "num_classes")] == [
        "deeplab",
        "resnet-tiny",
        "3",
    ]
    assert artifact.labels["class_names"] == ["x", "y", "z"]


def test_without_the_auxiliary_head(members, tmp_path):
    weights = weights_of(3, auxiliary=False)
    (tmp_path / "x.params").write_bytes(b"".join(mxnet.write(weights)))
    artifact, notes = import_weights(tmp_path / "x.params")
    assert "no auxiliary decoder" in notes[0]
    assert artifact.weights["auxlayer.block.4.weight"].shape == (3, 64, 1, 1)


def test_hyperparameters_of_another_network(members, tmp_path):
    other = {**SETTINGS, "algorithm": "fcn", "num_classes": "5"}
    path = archive(tmp_path / "m.tar.gz", {**members, "hyperparams.json": json.dumps(other).encode()})
    with pytest.raises(ArtifactError) as caught:
        import_weights(path)
    assert [str(fault) for fault in caught.value.faults] == [
        "algorithm: is fcn in hyperparams.json, the weights are of deeplab",
        "num_classes: is 5 in hyperparams.json, the weights are of 3",
    ]


def test_the_file_for_gluoncv(reference):
    """Names, order and shapes are those of the reference's own file; MXNet itself reads it in make test-gluoncv."""
    expected = reference("weights.json")["deeplab_resnet50"]
    weights = {
        name: np.full(shape, 1, np.float32)
        for name, shape in ArchitectureSpec("resnet-50", "deeplab", 5).shapes.items()
    }
    shuffled = dict(reversed(weights.items()))
    data = b"".join(gluoncv_params(Artifact({}, shuffled, {}, {}), "x"))
    found = mxnet.read(data, "x")
    assert [(name, list(array.shape)) for name, array in found.items()] == [tuple(entry) for entry in expected]


def test_gluoncv_has_no_networks_of_basic_blocks(best):
    with pytest.raises(ArtifactError, match="networks begin with resnet-50"):
        gluoncv_params(Artifact({}, best, {}, {}), "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_best.params": None}, "model_best.params: is missing"),
        ({"hyperparams.json": None}, "hyperparams.json: is missing"),
        ({"hyperparams.json": b"[1]"}, "is not a JSON object"),
        ({"hyperparams.json": b"{"}, "can't be read"),
        ({"hyperparams.json": b"[" * 100_000}, "can't be read"),
        ({"model_best.params": b"\x12\x01" + bytes(31)}, "bytes after its end"),
        ({"../x": b""}, "leads outside"),
        ({"run.py": b""}, "can hold code"),
    ],
)
def test_artifacts_that_are_refused(tmp_path, change, message):
    members = {"hyperparams.json": b"{}", "model_best.params": b"".join(mxnet.write({}))}
    whole = {name: data for name, data in {**members, **change}.items() if data is not None}
    with pytest.raises(ArtifactError, match=message):
        import_weights(archive(tmp_path / "m.tar.gz", whole))


def test_a_cut_archive(members, tmp_path):
    path = archive(tmp_path / "m.tar.gz", members)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match="ends too early"):
        import_weights(path)


def test_hyperparameters_that_are_unknown_or_broken():
    values = {**SETTINGS, "_kvstore": "device", "lr_scheduler": "step", "epochs": "many", "momentum": 7}
    known, notes = known_hyperparameters(values)
    assert known == {name: value for name, value in SETTINGS.items() if name != "epochs"}
    assert notes[0] == "'_kvstore' is not known here"
    assert {note.split()[0].rstrip(":") for note in notes[1:]} == {"lr_scheduler", "epochs", "momentum"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([*SETTINGS, "lr_scheduler", "lr_scheduler_step", "class_weights"]), _VALUES))
def test_whatever_hyperparameters_say(values):
    known, _ = known_hyperparameters(values)
    resolve({"num_classes": 2, **known})
