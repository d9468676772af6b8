"""What ``train`` starts from: ImageNet weights from wherever they lie, an earlier model, AWS's too."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import json
import tarfile
import threading

import numpy as np
import pytest
import safetensors.numpy

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.artifact import Artifact, read_artifact, write_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.environment import WeightLocations
from sagemaker_semseg.errors import ArtifactError, HyperparameterError, UserError
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.jobs import initial_weights as start
from sagemaker_semseg.training import trainer
from sagemaker_semseg.weights import mxnet


def drawn(expected):
    """Weights that keep activations in bounds."""
    random = np.random.default_rng(5)
    weights = {name: 0.5 + random.random(shape, np.float32) for name, shape in expected.items()}
    for name, array in weights.items():
        if array.ndim == 4:
            weights[name] = (random.standard_normal(array.shape) / np.sqrt(array[0].size)).astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def timm():
    """A safetensors file as timm publishes it."""
    arrays = drawn(ArchitectureSpec("resnet-18").shapes)
    theirs = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): array for name, array in arrays.items()}
    return safetensors.numpy.save({**theirs, "fc.weight": np.zeros((1000, 512), np.float32)})


@pytest.fixture
def places(tmp_path):
    return WeightLocations(tmp_path / "cache", tmp_path / "image", "https://hub.invalid", offline=True)


HP = resolve({"num_classes": 4, "backbone": "resnet-18"})
GAMMA = "layer2.0.bn1.gamma"


def test_pretrained_weights_of_a_channel(timm, places, tmp_path):
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained" / "model.safetensors").write_bytes(timm)
    begin = start.find_local(HP, {"pretrained": tmp_path / "pretrained"}, places)
    assert list(begin.weights) == list(ArchitectureSpec("resnet-18").shapes)
    np.testing.assert_array_equal(begin.weights[GAMMA], drawn(ArchitectureSpec("resnet-18").shapes)[GAMMA])
    assert begin.description == f"ImageNet weights ({tmp_path / 'pretrained' / 'model.safetensors'})"


def test_no_weights_and_no_network(places):
    with pytest.raises(HyperparameterError, match=r"HF_HUB_OFFLINE forbids.*--use-pretrained-model False"):
        start.find_local(HP, {}, places)
    assert start.find_local(resolve({"num_classes": 4, "use_pretrained_model": False}), {}, places) is start.RANDOM_INIT


def test_a_hub_that_is_not_there(places):
    online = WeightLocations(places.cache, places.image, places.hub, offline=False)
    assert start.find_local(HP, {}, online) is None
    with pytest.raises(
        HyperparameterError, match=r"there is no way to hub.*bring https://huggingface.co/timm/resnet18"
    ):
        start.download(HP, online)


def test_an_earlier_model_of_another_network(places, tmp_path):
    strings = to_strings(resolve({"num_classes": 5, "algorithm": "psp", "backbone": "resnet-34"}))
    write_artifact(tmp_path / "model.tar.gz", Artifact(strings, {"a": np.ones(1, np.float32)}, {"num_classes": 5}, {}))
    with pytest.raises(ArtifactError) as caught:
        start.find_local(HP, {"model": tmp_path}, places)
    assert [(fault.where, fault.remedy.split(",")[0]) for fault in caught.value.faults] == [
        ("algorithm", "give --algorithm psp"),
        ("backbone", "give --backbone resnet-34"),
        ("num_classes", "give --num-classes 5"),
    ]
    assert "--new-head True" in caught.value.faults[2].remedy
    with pytest.raises(ArtifactError) as caught:
        start.find_local(dataclasses.replace(HP, new_head=True), {"model": tmp_path}, places)
    assert [fault.where for fault in caught.value.faults] == ["algorithm", "backbone"]


def test_a_new_head_without_an_earlier_model(places):
    for pretrained in (True, False):
        hp = resolve({"num_classes": 4, "new_head": True, "use_pretrained_model": pretrained})
        with pytest.raises(HyperparameterError, match="new_head: there is no earlier model"):
            start.find_local(hp, {}, places)


def test_aws_s_model(places, tmp_path):
    weights = drawn(ArchitectureSpec("resnet-18", "fcn", 4).shapes)
    settings = {"algorithm": "fcn", "backbone": "resnet-18", "num_classes": "4", "crop_size": "480"}
    members = {"hyperparams.json": json.dumps(settings).encode(), "model_best.params": b"".join(mxnet.write(weights))}
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", compresslevel=0) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    begin = start.find_local(HP, {"model": tmp_path}, places)
    assert all(np.array_equal(begin.weights[name], array) for name, array in weights.items())
    assert begin.notes == ("crop_size is 240, the model was trained with 480",)


@pytest.fixture
def hub(timm):
    """A hub with one file, and what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(timm)))
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(timm).hexdigest()}"')
            self.end_headers()
            self.wfile.write(timm)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


SETTINGS = ["--num-classes", "4", "--backbone", "resnet-18", "--crop-size", "32", "--base-size", "48", "--epochs", "1"]
TINY = [*SETTINGS, "--backbone", "resnet-tiny"]


def test_training_fetches_once_and_begins_with_what_came(hub, data, tmp_path, monkeypatch, capsys):
    url, asked = hub
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    begun = []
    monkeypatch.setattr(trainer.Trainer, "fit", lambda run, *rest: begun.append(trainer.get_weights(run.network)))
    for output in ("a", "b"):
        command = [
            "train",
            "--data",
            str(data),
            "--output",
            str(tmp_path / output),
            *SETTINGS,
            "--mini-batch-size",
            "4",
        ]
        assert main(command) == 0
    assert asked == ["/timm/resnet18.gluon_in1k/resolve/main/model.safetensors"]
    expected = drawn(ArchitectureSpec("resnet-18").shapes)
    assert all(np.array_equal(weights[name], array) for weights in begun for name, array in expected.items())
    assert (
        f"from ImageNet weights ({tmp_path / 'cache' / 'resnet18.gluon_in1k.safetensors'})" in capsys.readouterr().out
    )


def test_nothing_is_fetched_while_something_else_is_wrong(hub, data, tmp_path, monkeypatch):
    url, asked = hub
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    assert main(["train", "--data", str(data), "--output", str(tmp_path / "out"), *SETTINGS, "--seed=-1"]) == 2
    assert asked == []


def test_an_earlier_model_is_trained_further(trained, data, tmp_path, monkeypatch, capsys):
    before = read_artifact(trained.output / "model.tar.gz")
    begun = []
    monkeypatch.setattr(trainer.Trainer, "fit", lambda run, *rest: begun.append(trainer.get_weights(run.network)))
    command = ["train", "--data", str(data), "--output", str(tmp_path / "out"), "--model", str(trained.output)]
    assert main([*command, *TINY, "--crop-size", "40"]) == 0
    assert all(np.array_equal(begun[0][name], array) for name, array in before.weights.items())
    text = capsys.readouterr().out
    assert f"from the model {trained.output / 'model.tar.gz'}" in text
    assert "crop_size is 40, the model was trained with 32" in text
    after = read_artifact(tmp_path / "out" / "model.tar.gz")
    assert after.labels["class_names"] == ["ground", "disc", "box", "triangle"]


@pytest.mark.parametrize("num_classes", ["5", "4"])
def test_a_new_head(trained, data, tmp_path, monkeypatch, capsys, num_classes):
    """Of another number of classes, and of as many others."""
    before = read_artifact(trained.output / "model.tar.gz").weights
    begun = []
    monkeypatch.setattr(trainer.Trainer, "fit", lambda run, *rest: begun.append(trainer.get_weights(run.network)))
    command = ["train", "--data", str(data), "--output", str(tmp_path / "out"), "--model", str(trained.output)]
    assert main([*command, *TINY, "--num-classes", num_classes, "--new-head", "True"]) == 0
    last = [f"{head}.block.4.{part}" for head in ("head", "auxlayer") for part in ("weight", "bias")]
    assert before.keys() == begun[0].keys()
    for name, array in begun[0].items():
        if name in last:
            assert len(array) == int(num_classes)
        else:
            np.testing.assert_array_equal(array, before[name])
    for name in ("head.block.4.weight", "auxlayer.block.4.weight"):
        assert not np.array_equal(begun[0][name][:4], before[name])
        assert begun[0][name].std() == pytest.approx(0.01, rel=0.2)
    text = capsys.readouterr().out
    assert f"with a new head for {num_classes} classes in the place of 4" in text
    after = read_artifact(tmp_path / "out" / "model.tar.gz")
    assert after.labels["num_classes"] == int(num_classes)
    assert "class_names" not in after.labels


def test_given_weights_that_are_not_there(places, tmp_path):
    with pytest.raises(UserError, match="doesn't exist"):
        start.find_local(HP, {"pretrained": tmp_path / "nothing"}, places)
