"""``export``: the forms of a model, and what can't be exported."""

import dataclasses
import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from sagemaker_semseg.artifact import read_artifact, read_inference_artifact, write_artifact
from sagemaker_semseg.cli import main


def test_the_graph_alone_gives_the_masks_of_predict(trained, data, tmp_path, capsys):
    source = data / "test" / "0000.jpg"
    assert main(["export", str(trained.output), "-o", str(tmp_path / "new" / "m.onnx")]) == 0
    assert "100.00% of the labels are the same" in capsys.readouterr().out
    assert main(["predict", str(trained.output), str(source), "-o", str(tmp_path / "masks")]) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "new" / "m.onnx"))
    with Image.open(source) as image, Image.open(tmp_path / "masks" / "0000.png") as mask:
        (logits,) = session.run(["logits"], {"image": np.asarray(image.convert("RGB"))[None]})
        assert (logits[0].argmax(0) == np.asarray(mask)).mean() > 0.999


def test_an_artifact_without_a_graph_gets_one(trained, tmp_path):
    artifact = read_artifact(trained.output / "model.tar.gz")
    metrics = {name: value for name, value in artifact.metrics.items() if name != "runtime_graph"}
    write_artifact(tmp_path / "old.tar.gz", dataclasses.replace(artifact, metrics=metrics))
    assert main(["export", str(tmp_path / "old.tar.gz"), "-o", str(tmp_path / "new.tar.gz")]) == 0
    graphs = [
        read_inference_artifact(path).graph for path in (tmp_path / "new.tar.gz", trained.output / "model.tar.gz")
    ]
    assert bytes(graphs[0]) == bytes(graphs[1])
    again = read_artifact(tmp_path / "new.tar.gz")
    assert again.metrics["runtime_graph"]["argmax_agreement"] > 0.999
    assert all((again.weights[name] == array).all() for name, array in artifact.weights.items())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{model}", "-o", "{out}/model.pb"], "model.pb has no known ending (add --format, one of"),
        (["{model}", "-o", "{out}/m", "--format", "coreml"], "invalid choice: 'coreml'"),
        (
            ["{model}", "-o", "{out}/m.params"],
            "is on resnet-tiny; GluonCV's segmentation networks begin with resnet-50",
        ),
        (["{model}"], "-o/--output"),
        (["/nowhere.tar.gz", "-o", "{out}/m.onnx"], "/nowhere.tar.gz"),
    ],
)
def test_what_cannot_be_exported_is_reported(trained, tmp_path, capsys, arguments, expected):
    filled = [argument.format(model=trained.output, out=tmp_path) for argument in arguments]
    assert main(["export", *filled]) == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_figures_are_beside_the_file(trained, tmp_path):
    assert main(["export", str(trained.output), "-o", str(tmp_path / "all"), "--format", "onnx"]) == 0
    report = json.loads((tmp_path / "export.json").read_text())
    assert set(report) == {"onnx"}
    assert report["onnx"]["images"] == [[97, 131], [1, 1], [360, 480]]
    assert report["onnx"]["argmax_agreement"] > 0.999
    assert report["onnx"]["bytes"] == (tmp_path / "all").stat().st_size


def test_all_formats_at_once(trained, tmp_path, capsys):
    assert main(["export", str(trained.output), "-o", str(tmp_path / "all"), "--format", "all"]) == 0
    report = json.loads((tmp_path / "all" / "export.json").read_text())
    # GluonCV has no network on resnet-tiny
    assert set(report) == {"onnx", "savedmodel", "tflite", "tflite-int8", "openvino", "torch"}
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        *("model.onnx", "saved_model", "model.tflite", "model.int8.tflite", "model.xml", "model.bin"),
        *("model.safetensors", "sagemaker_semseg_torch.py", "export.json"),
    }
    verified = [name for name, figures in report.items() if "not_verified" not in figures]
    text = capsys.readouterr().out
    assert text.count("of the labels are the same") == 1 + len(verified)  # and the runtime graph's own check
    assert len(verified) >= 5


def test_a_folder_that_exists_is_kept(trained, tmp_path, capsys):
    (tmp_path / "saved").mkdir()
    assert main(["export", str(trained.output), "-o", str(tmp_path / "saved"), "--format", "savedmodel"]) == 2
    assert "is a folder that exists (remove it, or give another name)" in capsys.readouterr().err


def test_a_model_without_int8_can_not_be_exported_in_int8(trained, tmp_path, capsys):
    assert main(["export", str(trained.output), "-o", str(tmp_path / "m.int8.onnx")]) == 2
    assert "the model has no int8 graph (make it with: sagemaker-semseg quantize" in capsys.readouterr().err
