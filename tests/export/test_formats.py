"""Every format of every decoder, loaded by its runtime and compared with the Keras network."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors
from PIL import Image

from sagemaker_semseg.errors import AlgorithmError, UserError
from sagemaker_semseg.export import formats
from sagemaker_semseg.export.formats import FORMATS, available_formats, export_formats
from tests.export.conftest import make_model

VERIFIED = ["onnx", "onnx-int8", "savedmodel", "tflite", "tflite-int8", "openvino"]


@pytest.mark.parametrize("algorithm", [pytest.param("fcn", marks=pytest.mark.slow), "psp", "deeplab"])
def test_each_format_computes_what_the_network_does(model, tmp_path, monkeypatch, algorithm):
    monkeypatch.setattr(formats, "SIZES", ((97, 131), (1, 1), (64, 96)))  # a large image takes seconds in each runtime
    check_formats(model(algorithm), tmp_path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet-18", "resnet-50"])
@pytest.mark.parametrize("algorithm", ["fcn", "psp", "deeplab"])
def test_each_format_of_larger_networks(tmp_path, algorithm, backbone):
    check_formats(make_model(algorithm, backbone), tmp_path)


def check_formats(artifact, folder):
    """Writes all that can be verified here, and checks the figures."""
    figures = export_formats(artifact, {name: folder / f"model{FORMATS[name].ending}" for name in VERIFIED})
    assert set(figures) == set(VERIFIED)
    for name, found in figures.items():
        int8 = name.endswith("-int8")
        # deep networks of random weights are as sensitive to int8 as no trained one
        if not int8 or "resnet-tiny" in artifact.hyperparameters["backbone"]:
            assert found["max_difference"] <= (0.5 if int8 else 1e-3), name
            assert found["argmax_agreement"] > (0.9 if int8 else 0.999), name
        assert found["bytes"] > 1e6, name
        if int8:
            assert found["max_difference"] > 1e-4, name
            assert found["bytes"] < 0.35 * figures[name.removesuffix("-int8")]["bytes"], name
    assert json.loads((folder / "export.json").read_text()) == figures
    assert (folder / "model.bin").is_file()  # OpenVINO's weights


def test_a_saved_model_takes_bytes_and_gives_labels(model, tmp_path, caplog):
    import tensorflow as tf

    export_formats(model("fcn"), {"savedmodel": tmp_path / "saved"})
    image = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    caplog.clear()
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert not caplog.messages  # such as one on gradients that weren't saved
    by_bytes = loaded.signatures["encoded"](bytes=tf.constant((tmp_path / "image.png").read_bytes()))
    by_pixels = loaded.signatures["serving_default"](image=tf.constant(image[None]))
    assert by_bytes["labels"].dtype == tf.uint8
    np.testing.assert_array_equal(by_bytes["labels"], by_pixels["labels"])
    np.testing.assert_array_equal(by_pixels["labels"], np.argmax(by_pixels["logits"], -1))
    weights = [array for name, array in model("fcn").weights.items() if not name.startswith("auxlayer.")]
    variables = (tmp_path / "saved" / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert variables >= sum(array.nbytes for array in weights)  # constants of the graph would take more memory


def test_a_file_that_differs_is_not_written(model, tmp_path, monkeypatch):
    broken = FORMATS["onnx"]
    wrong = lambda path: lambda image: np.full((1, 5, *image.shape[1:3]), np.nan, np.float32)  # noqa: E731
    monkeypatch.setitem(FORMATS, "onnx", formats.Format(broken.ending, broken.write, wrong))
    with pytest.raises(AlgorithmError, match="differs from the network by nan"):
        export_formats(model("fcn"), {"onnx": tmp_path / "m.onnx"})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_command(model, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs openvino \(install it with: pip install 'sagemaker-semseg\[openvino\]'"
    ):
        export_formats(model("fcn"), {"openvino": tmp_path / "m.xml"})
    assert "openvino" not in available_formats(model("fcn"))


def test_int8_needs_a_quantized_model(model):
    float32 = dataclasses.replace(model("fcn"), int8_graph=None)
    assert "onnx-int8" not in available_formats(float32)
    with pytest.raises(UserError, match="has no int8 graph"):
        export_formats(float32, {"onnx-int8": formats.Path("m.int8.onnx")})


# ---- PyTorch


def test_without_pytorch_its_file_says_that_it_is_not_verified(model, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    (figures,) = export_formats(model("fcn"), {"torch": tmp_path / "m.safetensors"}).values()
    assert figures["not_verified"] == "needs torch (pip install torch)"
    assert (tmp_path / formats.TORCH_MODULE).is_file()


@pytest.mark.parametrize("algorithm", ["fcn", "psp", "deeplab"])
def test_the_names_are_torchvisions(model, tmp_path, algorithm):
    export_formats(model(algorithm), {"torch": tmp_path / "m.safetensors"})
    with safetensors.safe_open(tmp_path / "m.safetensors", framework="numpy") as file:
        names = set(file.keys())
        assert file.metadata() == {"format": "pt", "output_stride": "8"}
    decoder = {
        "fcn": ["classifier.0.weight", "classifier.1.running_var"],
        "psp": ["classifier.0.convs.0.1.weight", "classifier.0.convs.3.2.bias", "classifier.1.weight"],
        "deeplab": [
            *("classifier.0.convs.0.0.weight", "classifier.0.convs.3.1.weight", "classifier.0.convs.4.1.weight"),
            *("classifier.0.convs.4.2.running_mean", "classifier.0.project.1.bias", "classifier.2.weight"),
        ],
    }
    shared = ["backbone.conv1.weight", "backbone.bn1.bias", "backbone.layer2.0.downsample.1.running_mean"]
    shared += ["classifier.4.bias", "aux_classifier.0.weight", "aux_classifier.4.bias"]
    assert {*shared, *decoder[algorithm]} <= names
    assert len(names) == len(model(algorithm).weights)
    assert not [name for name in names if not name.startswith(("backbone.", "classifier.", "aux_classifier."))]


@pytest.mark.parity  # ``make test-torch`` has PyTorch
@pytest.mark.parametrize(
    ("algorithm", "backbone", "stride"),
    [
        *(("fcn", "resnet-tiny", 8), ("psp", "resnet-tiny", 8), ("deeplab", "resnet-tiny", 8)),
        *(("deeplab", "resnet-tiny", 16), ("fcn", "resnet-tiny", 32), ("fcn", "resnet-50", 16)),
    ],
)
def test_pytorch_computes_what_the_network_does(tmp_path, algorithm, backbone, stride):
    pytest.importorskip("torch", reason="needs PyTorch: make test-torch runs this")
    artifact = make_model(algorithm, backbone, output_stride=stride)
    (figures,) = export_formats(artifact, {"torch": tmp_path / "m.safetensors"}).values()
    assert figures["max_difference"] <= 1e-4
    assert figures["argmax_agreement"] > 0.999


@pytest.mark.parity
def test_the_module_beside_the_file_needs_nothing_of_this_package(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch: make test-torch runs this")
    export_formats(make_model("fcn"), {"torch": tmp_path / "m.safetensors"})
    program = f"""
import sys, torch
sys.path.insert(0, {str(tmp_path)!r})
from sagemaker_semseg_torch import load
labels = load({str(tmp_path / "m.safetensors")!r})(torch.zeros(2, 3, 33, 47, dtype=torch.uint8)).argmax(1)
assert labels.shape == (2, 33, 47), labels.shape
assert not [name for name in sys.modules if name.startswith(("sagemaker_semseg.", "tensorflow", "keras"))]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
