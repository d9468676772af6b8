"""Every format of every decoder, loaded by its runtime and compared with the Keras network."""

import json

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import AlgorithmError, UserError
from sagemaker_semseg.export import formats
from sagemaker_semseg.export.formats import FORMATS, available_formats, export_formats
from sagemaker_semseg.export.onnx_graph import onnx_graph
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights

VERIFIED = ["onnx", "savedmodel", "tflite", "openvino"]


@pytest.fixture(scope="module")
def model():
    """A function from a decoder's name to a model of random weights with its graph."""
    made = {}

    def make(algorithm="fcn"):
        if algorithm not in made:
            network = build_network(algorithm, "resnet-tiny", 5)
            settings = {"algorithm": algorithm, "backbone": "resnet-tiny", "num_classes": 5}
            strings = to_strings(resolve(settings))
            made[algorithm] = Artifact(strings, get_weights(network), {"num_classes": 5}, {}, onnx_graph(network))
        return made[algorithm]

    return make


@pytest.mark.parametrize("algorithm", ["fcn", "psp", "deeplab"])
def test_each_format_computes_what_the_network_does(model, tmp_path, algorithm):
    paths = {name: tmp_path / f"model{FORMATS[name].ending}" for name in VERIFIED}
    figures = export_formats(model(algorithm), paths)
    assert set(figures) == set(VERIFIED)
    for name, found in figures.items():
        assert found["max_difference"] <= 1e-3, name
        assert found["argmax_agreement"] > 0.999, name
        assert found["bytes"] > 1e6, name
    assert json.loads((tmp_path / "export.json").read_text()) == figures
    assert (tmp_path / "model.bin").is_file()  # OpenVINO's weights
    assert not list(tmp_path.glob(".*"))


def test_a_saved_model_takes_bytes_and_gives_labels(model, tmp_path):
    import tensorflow as tf

    export_formats(model(), {"savedmodel": tmp_path / "saved"})
    image = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    by_bytes = loaded.signatures["encoded"](bytes=tf.constant((tmp_path / "image.png").read_bytes()))
    by_pixels = loaded.signatures["serving_default"](image=tf.constant(image[None]))
    assert by_bytes["labels"].dtype == tf.uint8
    np.testing.assert_array_equal(by_bytes["labels"], by_pixels["labels"])
    np.testing.assert_array_equal(by_pixels["labels"], np.argmax(by_pixels["logits"], -1))


def test_a_file_that_differs_is_not_written(model, tmp_path, monkeypatch):
    broken = FORMATS["onnx"]
    wrong = lambda path: lambda image: np.full((1, 5, *image.shape[1:3]), np.nan, np.float32)  # noqa: E731
    monkeypatch.setitem(FORMATS, "onnx", formats.Format(broken.ending, broken.write, wrong))
    with pytest.raises(AlgorithmError, match="differs from the network by nan"):
        export_formats(model(), {"onnx": tmp_path / "m.onnx"})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_command(model, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs openvino \(install it with: pip install 'sagemaker-semseg\[openvino\]'"
    ):
        export_formats(model(), {"openvino": tmp_path / "m.xml"})
    assert "openvino" not in available_formats(model())


def test_int8_needs_a_quantized_model(model):
    assert "onnx-int8" not in available_formats(model())
    with pytest.raises(UserError, match="has no int8 graph"):
        export_formats(model(), {"onnx-int8": formats.Path("m.int8.onnx")})
