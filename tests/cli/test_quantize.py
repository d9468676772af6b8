"""``quantize``: the table, the limits, and a model that predicts and is evaluated in int8."""

import dataclasses
import json
import os
import re
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import sagemaker_semseg
from sagemaker_semseg.artifact import read_artifact, read_inference_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.jobs import model_location, run_quantization
from sagemaker_semseg.jobs.graph_evaluation import GraphComparison
from sagemaker_semseg.jobs.run_quantization import exceeded_limits, spread
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.sdk import model as sdk_model
from sagemaker_semseg.sdk.estimator import SemSegEstimator
from sagemaker_semseg.sdk.model import SemSegModel
from sagemaker_semseg.sdk.specs import Channel, TrainingSpec
from sagemaker_semseg.sdk.training_job import TrainingJob


@pytest.fixture(scope="module")
def quantized(trained, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "int8.tar.gz"
    command = ["quantize", str(trained.output), "--data", str(data), "-o", str(path), "--images", "4", "--force"]
    assert main(command) == 0
    return path


def test_the_model_has_both_graphs_and_the_figures(quantized, trained):
    before, after = read_inference_artifact(trained.output / "model.tar.gz"), read_inference_artifact(quantized)
    assert after.graph == before.graph
    assert len(after.int8_graph) < 0.35 * len(after.graph)
    artifact = read_artifact(quantized)
    original = read_artifact(trained.output / "model.tar.gz")
    assert all(np.array_equal(artifact.weights[name], array) for name, array in original.weights.items())
    figures = artifact.metrics["quantization"]
    assert (figures["calibration_images"], figures["validation_images"]) == (4, 3)
    assert figures["float32"]["mIOU"] == pytest.approx(original.metrics["validation"]["mIOU"], abs=2e-3)
    assert len(figures["int8"]["iou"]) == 4
    assert figures["int8"]["bytes"] == len(after.int8_graph)


def test_the_table_has_both_precisions(trained, data, tmp_path, capsys):
    path = tmp_path / "int8.tar.gz"
    command = ["quantize", str(trained.output), "--data", str(data), "-o", str(path), "--images", "2", "--force"]
    assert main(command) == 0
    text = capsys.readouterr().out
    for word in ("IoU float32", "IoU int8", "ground", "triangle", "mIOU", "labels changed", "in the worst image"):
        assert word in text
    assert "3 validation images, calibrated with 2 training images" in text


def test_int8_is_used_where_it_is_asked_for(quantized, data, tmp_path, capsys):
    image = sorted((data / "validation").iterdir())[0]
    labels = {name: Segmenter(quantized, precision=name).labels(image) for name in ("float32", "int8")}
    assert (labels["float32"] == labels["int8"]).mean() > 0.9
    command = ["predict", str(quantized), str(image), "-o", str(tmp_path), "--precision", "int8"]
    assert main([*command, "--runtime", "onnxruntime"]) == 0
    assert "int8 with onnxruntime: as asked" in capsys.readouterr().err


def test_int8_is_evaluated(quantized, data, capsys):
    command = ["evaluate", str(quantized), "--data", str(data), "--json", "-", "--precision"]
    scores = {}
    for precision in ("float32", "int8"):
        assert main([*command, precision]) == 0
        scores[precision] = json.loads(capsys.readouterr().out)
    figures = read_artifact(quantized).metrics["quantization"]
    assert scores["int8"]["precision"].startswith("int8 with ")
    assert scores["float32"]["precision"] == "float32"
    assert scores["int8"]["mIOU"] == pytest.approx(figures["int8"]["mIOU"], abs=5e-3)  # perhaps in OpenVINO
    assert scores["float32"]["mIOU"] == pytest.approx(figures["float32"]["mIOU"], abs=2e-3)


def test_a_model_that_loses_too_much_is_not_written(trained, data, tmp_path, capsys, monkeypatch):
    def worse(artifact, validation):
        confusion = np.array([[90, 10], [10, 90]])
        scores = (Scores.of(confusion), Scores.of(confusion[::-1]))
        confusions = tuple(Scores.of(np.kron(np.eye(2, dtype=int), s.confusion)) for s in scores)
        return GraphComparison(3, confusions, 0.2, 0.5)

    monkeypatch.setattr(run_quantization, "_compare", worse)
    path = tmp_path / "int8.tar.gz"
    command = ["quantize", str(trained.output), "--data", str(data), "-o", str(path), "--images", "1"]
    assert main(command) == 2
    out, error = capsys.readouterr()
    assert "IoU float32" in out  # the table is shown all the same
    assert "refused, and nothing was written" in error
    assert re.search(r"mIOU: falls from 0\.8182 to 0\.0526, by more than 0\.01", error)
    assert "IoU of disc: falls from" in error
    assert "labels: 20.00% of the labels change, more than 1%" in error
    assert not path.exists()
    assert main([*command, "--force"]) == 0
    assert "written all the same: mIOU" in capsys.readouterr().out
    assert len(read_artifact(path).metrics["quantization"]["limits_exceeded"]) == 6


def test_limits():
    good = Scores.of(np.array([[1000, 0], [0, 1000]]))
    near = Scores.of(np.array([[996, 4], [4, 996]]))
    faults = exceeded_limits(GraphComparison(1, (good, near), 0.004, 0.02), 0.01, ("a", "b"))
    assert not faults
    faults = exceeded_limits(GraphComparison(1, (good, near), 0.004, 0.02), 0.005, ("a", "b"))
    assert [fault.where for fault in faults] == ["mIOU"]
    faults = exceeded_limits(GraphComparison(1, (near, good), 0.011, 0.02), 0.01, ("a", "b"))
    assert [fault.where for fault in faults] == ["labels"]
    nothing = dataclasses.replace(good, miou=float("nan"))
    assert exceeded_limits(GraphComparison(1, (good, nothing), 0.0, 0.0), 0.01, ("a", "b"))


@pytest.mark.parametrize(
    ("count", "wanted", "expected"), [(1, 64, [0]), (3, 64, [0, 1, 2]), (10, 2, [0, 9]), (101, 3, [0, 50, 100])]
)
def test_images_are_evenly_spread(count, wanted, expected):
    assert spread(count, wanted) == expected


def test_bad_settings(trained, data, tmp_path, capsys):
    command = ["quantize", str(trained.output), "--data", str(data), "-o", str(tmp_path / "x.tar.gz")]
    assert main([*command, "--images", "0"]) == 2
    assert "--images" in capsys.readouterr().err
    assert main([*command, "--max-drop", "2"]) == 2
    assert "--max-drop: 2: a number from 0 to 1 is expected" in capsys.readouterr().err


def test_from_the_sdk(trained, data, tmp_path):
    model = SemSegModel(model_data=str(trained.output / "model.tar.gz"), name="mine")
    quantized = model.quantize(data, tmp_path / "int8.tar.gz", images=1, force=True)
    assert (quantized.model_data, quantized.name) == (str(tmp_path / "int8.tar.gz"), None)
    assert read_inference_artifact(quantized.model_data).int8_graph
    assert model.name == "mine"
    with pytest.raises(UserError, match=r"s3://b/int8\.tar\.gz: is in S3, to which nothing is written \(give a file"):
        model.quantize(data, "s3://b/int8.tar.gz")


def test_a_model_in_s3(trained, data, tmp_path, monkeypatch):
    """It is fetched, and the one with the int8 graph is written here."""
    store = SimpleNamespace(read=lambda entry, limit: Path(entry).read_bytes())
    monkeypatch.setattr(model_location, "locate", lambda address: (store, trained.output / "model.tar.gz"))
    monkeypatch.chdir(tmp_path)
    quantized = SemSegModel(model_data="s3://b/job/model.tar.gz").quantize(data, images=1, force=True)
    assert quantized.model_data == "model.int8.tar.gz"
    assert quantized.has_int8_graph()
    assert [path.name for path in tmp_path.iterdir()] == ["model.int8.tar.gz"]


@pytest.fixture
def accepted(monkeypatch):
    """Whatever the int8 graph does, it is within the limits."""
    monkeypatch.setattr(run_quantization, "exceeded_limits", lambda *_: [])


@pytest.fixture
def deployed(monkeypatch, accepted):
    """The models' files of endpoints that are started, in place of the endpoints."""
    found = []

    class Backend:
        def faults(self, spec):
            return []

        def deploy(self, spec, attached):
            found.append(spec.model.model_data)
            return SimpleNamespace(name="endpoint", wait=lambda: None)

    monkeypatch.setattr(sdk_model, "backend_of", lambda *_: Backend())
    return found


def test_a_model_is_quantized_when_it_is_deployed(trained, data, tmp_path, deployed):
    path = Path(shutil.copy(trained.output / "model.tar.gz", tmp_path))
    model = SemSegModel(model_data=str(path), predictor_cls=lambda name, session: name)
    with pytest.raises(UserError, match=r'has no int8 graph \(give the data that makes one, quantize="mydata"'):
        model.deploy(1, "local", quantize=True)
    for given in (data, True, data):
        assert model.deploy(1, "local", quantize=given) == "endpoint"
    assert deployed == 3 * [str(tmp_path / "model.int8.tar.gz")]
    assert model.has_int8_graph()


def test_a_model_is_quantized_when_it_is_exported(trained, data, tmp_path, accepted):
    path = Path(shutil.copy(trained.output / "model.tar.gz", tmp_path))
    model = SemSegModel(model_data=str(path))
    with pytest.raises(UserError, match=r'has no int8 graph \(give the data that .*"mydata"'):
        model.export("onnx", tmp_path / "m.onnx", quantize=True)
    for given in (data, True):
        result = model.export("onnx", tmp_path / "m.onnx", quantize=given)
        assert result.paths == {"onnx-int8": tmp_path / "m.onnx"}
        assert result.figures["onnx-int8"]["argmax_agreement"] > 0.5
    assert model.model_data == str(tmp_path / "model.int8.tar.gz")
    int8, float32 = (tmp_path / "m.onnx").stat().st_size, len(read_inference_artifact(path).graph)
    assert int8 < 0.4 * float32


@pytest.fixture
def estimator(trained, data, tmp_path):
    """One that has trained, on this machine."""
    path = shutil.copy(trained.output / "model.tar.gz", tmp_path)
    names = ("train", "train_annotation", "validation", "validation_annotation")
    channels = tuple(Channel(name, f"file://{data / name}") for name in names)
    spec = TrainingSpec("job", {}, (*channels, Channel("model", "/nowhere")), "local", output_path=str(tmp_path))
    estimator = SemSegEstimator(
        instance_count=1, instance_type="local", output_path=str(tmp_path), num_classes=4, use_pretrained_model=False
    )
    state = SimpleNamespace(spec=spec, output=str(path), status="Completed")
    estimator.latest_training_job = TrainingJob(SimpleNamespace(name="job", state=lambda: state))
    return estimator


def test_an_estimator_exports(estimator, tmp_path, accepted):
    assert list(estimator.export("onnx", tmp_path / "m.onnx").figures) == ["onnx"]
    assert not (tmp_path / "model.int8.tar.gz").exists()
    assert list(estimator.export("onnx", tmp_path / "8.onnx", quantize=True).figures) == ["onnx-int8"]
    assert (tmp_path / "8.onnx").stat().st_size < 0.4 * (tmp_path / "m.onnx").stat().st_size
    assert read_inference_artifact(tmp_path / "model.int8.tar.gz").int8_graph


def test_an_estimator_quantizes_with_the_data_of_its_training(estimator, tmp_path, deployed):
    path = estimator.model_data
    estimator.deploy(1, "local", quantize=True, predictor_cls=lambda name, session: name)
    assert deployed == [str(tmp_path / "model.int8.tar.gz")]
    assert read_inference_artifact(deployed[0]).int8_graph
    estimator.set_hyperparameters(quantize=True)  # the training has done it, or its log says why not
    estimator.deploy(1, "local", quantize=True, predictor_cls=lambda name, session: name)
    assert deployed[1] == path


def test_from_python(trained, data, tmp_path):
    result = sagemaker_semseg.quantize(trained.output, data, tmp_path / "folder", images=1, force=True)
    assert result.calibration_images == 1
    assert (tmp_path / "folder" / "model.int8.onnx").stat().st_size == result.bytes[1]


# ---- the hyperparameter


@pytest.fixture
def train_again(trained, data, settings, tmp_path, capsys):
    """Ends the finished training once more, now with ``quantize``; returns what is printed, and the model."""
    output = shutil.copytree(trained.output, tmp_path / "out")
    command = ["train", "--data", str(data), "--output", str(output), "--epochs", "1", *settings, "--quantize", "True"]

    def run():
        assert main(command) == 0
        return capsys.readouterr().out, output / "model.tar.gz"

    return run


def test_a_training_writes_both_graphs(train_again, trained, monkeypatch):
    monkeypatch.setattr(run_quantization, "exceeded_limits", lambda *_: [])
    text, path = train_again()
    (line,) = [line for line in text.splitlines() if line.startswith("int8 ")]
    assert re.fullmatch(
        r"int8 +validation mIOU 0\.\d{4} \([+-]0\.\d{4}\), .*% of the labels change, .* MB beside .* MB", line
    )
    model = read_inference_artifact(path)
    assert len(model.int8_graph) < 0.35 * len(model.graph)
    assert model.graph == read_inference_artifact(trained.output / "model.tar.gz").graph
    artifact = read_artifact(path)
    assert artifact.hyperparameters["quantize"] == "True"
    assert artifact.metrics["quantization"]["validation_images"] == 3
    assert artifact.metrics["best_epoch"] == 0


def test_a_refusal_is_printed_and_the_training_succeeds(train_again, monkeypatch):
    fault = Fault("mIOU", "falls from 0.5 to 0.1, by more than 0.01", "calibrate with more images")
    monkeypatch.setattr(run_quantization, "exceeded_limits", lambda *_: [fault])
    text, path = train_again()
    assert (
        "int8        refused, and the model is float32 alone: mIOU falls from 0.5 to 0.1, by more than 0.01\n" in text
    )
    assert read_inference_artifact(path).int8_graph is None
    assert read_artifact(path).metrics["quantization"]["limits_exceeded"] == [str(fault)]


def test_an_error_costs_the_int8_graph_alone(train_again, trained, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(run_quantization, "_quantize", fail)
    text, path = train_again()
    assert "int8        failed, and the model is float32 alone: a fault of this program: RuntimeError: no such" in text
    assert read_inference_artifact(path).graph == read_inference_artifact(trained.output / "model.tar.gz").graph


def test_a_signal_ends_the_quantization_alone(train_again, monkeypatch):
    monkeypatch.setattr(run_quantization, "_quantize", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    text, path = train_again()
    assert "int8        stopped by a signal; the model is float32 alone" in text
    assert "quantization" not in read_artifact(path).metrics


def test_finish_has_no_data_to_quantize_with(data, settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run_quantization, "quantize_trained", lambda *_: "made")
    output = tmp_path / "out"
    command = ["train", "--data", str(data), "--output", str(output), "--epochs", "1", *settings, "--quantize", "True"]
    assert main(command) == 0
    assert "int8        made" in capsys.readouterr().out
    assert main(["train", "--finish", "--output", str(output)]) == 0
    assert "int8        not made, since that needs the data: sagemaker-semseg quantize" in capsys.readouterr().out
