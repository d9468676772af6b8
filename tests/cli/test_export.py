"""``export``: the forms of a model, and what can't be exported."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from sagemaker_semseg import SemSegModel, export_model
from sagemaker_semseg.artifact import read_artifact, read_inference_artifact, write_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.jobs import model_location, run_quantization


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
        (["{model}", "-o", "{out}/model.pb"], "output: model.pb has no known ending (give the format"),
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
    assert text.count("of the labels are the same") == len(verified)
    assert len(verified) >= 5


@pytest.mark.parametrize("format", [None, "artifact"])
def test_a_new_artifact_says_how_near_its_graph_is(trained, tmp_path, format):
    result = export_model(trained.output, tmp_path / "new.tar.gz", format)
    assert result.paths == {"artifact": tmp_path / "new.tar.gz"}
    size = (tmp_path / "new.tar.gz").stat().st_size
    assert result.figures["artifact"]["bytes"] == size
    assert f"new.tar.gz: {size / 1e6:.1f} MB, compared with the network: largest difference" in str(result)


@pytest.mark.parametrize(
    ("format", "quantize", "expected"),
    [
        ("saved_model", False, r"there is no format 'saved_model' \(did you mean savedmodel\?\)"),
        ("ONNX", False, r"did you mean onnx\?"),
        ("coreml", False, r"there is no format 'coreml' \(there are all, artifact, gluoncv, onnx"),
        ("openvino", True, r"openvino has no int8 form \(leave quantize out, or export onnx, tflite or all"),
        ("onnx", True, r"has no int8 graph"),
    ],
)
def test_what_python_asks_for_wrongly(trained, tmp_path, format, quantize, expected):
    with pytest.raises(UserError, match=expected):
        export_model(trained.output, tmp_path / "new" / "file", format, quantize=quantize)
    assert list(tmp_path.iterdir()) == []


def test_quantize_is_the_int8_form(trained, tmp_path):
    result = export_model(trained.output, tmp_path / "m.tflite", "tflite", quantize=True)
    assert list(result.figures) == ["tflite-int8"]
    assert result.paths == {"tflite-int8": tmp_path / "m.tflite"}


def test_a_model_in_s3_is_exported(trained, tmp_path, monkeypatch):
    store = SimpleNamespace(read=lambda entry, limit: Path(entry).read_bytes())
    monkeypatch.setattr(model_location, "locate", lambda address: (store, trained.output / "model.tar.gz"))
    (figures,) = SemSegModel(model_data="s3://b/m.tar.gz").export("onnx", tmp_path / "m.onnx").figures.values()
    assert figures["bytes"] == (tmp_path / "m.onnx").stat().st_size


def test_the_program_of_the_page(trained, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_quantization, "exceeded_limits", lambda *_: [])
    (tmp_path / "model").mkdir()
    shutil.copy(trained.output / "model.tar.gz", tmp_path / "model")
    (tmp_path / "mydata").symlink_to(data)
    page = Path(__file__).resolve().parents[2] / "docs/export.md"
    exec(re.search(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[1], {})
    assert set(json.loads((tmp_path / "export.json").read_text())) == {"onnx", "tflite", "onnx-int8"}


def test_a_folder_that_exists_is_kept(trained, tmp_path, capsys):
    (tmp_path / "saved").mkdir()
    assert main(["export", str(trained.output), "-o", str(tmp_path / "saved"), "--format", "savedmodel"]) == 2
    assert "is a folder that exists (remove it, or give another name)" in capsys.readouterr().err


def test_a_model_without_int8_can_not_be_exported_in_int8(trained, tmp_path, capsys):
    assert main(["export", str(trained.output), "-o", str(tmp_path / "m.int8.onnx")]) == 2
    assert "the model has no int8 graph (make it with: sagemaker-semseg quantize" in capsys.readouterr().err
