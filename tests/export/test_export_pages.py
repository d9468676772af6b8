"""The programs on the pages docs/export_*.md run the exported files, and give the labels of ONNX Runtime."""

import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from sagemaker_semseg.export.formats import export_formats

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = {
    "onnx": "model.onnx",
    "openvino": "model.xml",
    "savedmodel": "saved_model",
    "tflite": "model.tflite",
    "torch": "model.safetensors",
}


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """A folder with the files that the pages assume, and the labels of image.jpg."""
    folder = tmp_path_factory.mktemp("exported")
    export_formats(model("fcn"), {name: folder / file for name, file in FILES.items()})
    pixels = np.random.default_rng(3).integers(0, 256, (33, 47, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    (folder / "image.png").rename(folder / "image.jpg")  # the content decides; every decoder reads the same pixels
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return folder, pixels, session.run(["logits"], {"image": pixels[None]})[0][0].argmax(0)


def block(page, language):
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return text


def run(page, exported, monkeypatch):
    """Runs a page's Python, and compares its labels, and the mask if it has written one."""
    folder, _, expected = exported
    monkeypatch.chdir(folder)
    (folder / "mask.png").unlink(missing_ok=True)
    scope = {}
    exec(block(page, "python"), scope)
    labels = np.asarray(scope["labels"])
    assert (labels == expected).mean() > 0.999
    if "mask.png" in block(page, "python"):
        with Image.open("mask.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), labels)


@pytest.mark.parametrize("page", ["export_onnx.md", "export_openvino.md", "export_tensorflow.md"])
def test_the_python_of_a_page(exported, monkeypatch, page):
    if page == "export_openvino.md":
        pytest.importorskip("openvino")
    run(page, exported, monkeypatch)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_the_python_for_litert_with_tensorflows_interpreter(exported, monkeypatch):
    """The two have one interface; TensorFlow's is what is installed."""
    import tensorflow as tf

    module = types.SimpleNamespace(Interpreter=tf.lite.Interpreter)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.SimpleNamespace(interpreter=module))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    run("export_tflite.md", exported, monkeypatch)


@pytest.mark.parity
def test_the_python_for_pytorch(exported, monkeypatch):
    pytest.importorskip("torch", reason="needs PyTorch: make test-torch runs this")
    monkeypatch.syspath_prepend(exported[0])
    run("export_torch.md", exported, monkeypatch)


MAIN = """
#include <fstream>
#include <iterator>
int main(int, char** arguments) {
    // else it computes in bfloat16 where the CPU has instructions for it
    auto model = ov::Core().compile_model("model.xml", "CPU", ov::hint::inference_precision(ov::element::f32));
    std::ifstream file("pixels", std::ios::binary);
    std::vector<char> rgb{std::istreambuf_iterator<char>(file), {}};
    auto pixels = reinterpret_cast<std::uint8_t*>(rgb.data());
    auto labels = segment(model, pixels, std::stoul(arguments[1]), std::stoul(arguments[2]));
    std::ofstream("labels", std::ios::binary).write(reinterpret_cast<char*>(labels.data()), labels.size());
}
"""


@pytest.mark.slow
def test_the_cpp_for_openvino(exported):
    openvino = Path(pytest.importorskip("openvino").__file__).parent
    folder, pixels, expected = exported
    (folder / "main.cpp").write_text(block("export_openvino.md", "cpp") + MAIN)
    (folder / "pixels").write_bytes(pixels.tobytes())
    (library,) = (openvino / "libs").glob("libopenvino.so.*")
    command = [
        "g++",
        "-std=c++17",
        "main.cpp",
        f"-I{openvino / 'include'}",
        str(library),
        f"-Wl,-rpath,{library.parent}",
    ]
    subprocess.run([*command, "-o", "main"], cwd=folder, check=True)
    subprocess.run([folder / "main", *map(str, pixels.shape[:2])], cwd=folder, check=True)
    labels = np.frombuffer((folder / "labels").read_bytes(), np.uint8).reshape(expected.shape)
    assert (labels == expected).mean() > 0.999
