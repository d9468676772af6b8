"""The page as ``sagemaker-semseg serve`` serves it, with a model of one convolution."""

import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from sagemaker_semseg.artifact import Artifact, read_inference_artifact, write_artifact
from sagemaker_semseg.data.images import encode_mask, palette
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.inference import Segmenter

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["red", "green", "<b>blue</b>"]


@pytest.fixture
def model(tmp_path):
    """A ``model.tar.gz`` whose classes are the strongest of the three colors."""
    graph = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        colors (uint8[N, H, W, 3] image) => (float[N, 3, H, W] logits, float[N, 3, h, w] coarse_logits)
        {
            nchw = Transpose <perm = [0, 3, 1, 2]> (image)
            pixels = Cast <to = 1> (nchw)
            coarse_logits = Conv <strides = [8, 8]> (pixels, kernel)
            shape = Shape (image)
            size = Slice (shape, one, three)
            sizes = Concat <axis = 0> (start, size)
            logits = Resize <mode = "linear", coordinate_transformation_mode = "align_corners">
                (coarse_logits, , , sizes)
        }""")
    kernel = np.eye(3, dtype=np.float32)[:, :, None, None]
    constants = {"kernel": kernel, "one": np.array([1]), "three": np.array([3]), "start": np.array([1, 3])}
    graph.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    strings = to_strings(resolve({"num_classes": 3, "backbone": "resnet-18"}))
    labels = {"num_classes": 3, "class_names": NAMES}
    path = tmp_path / "model.tar.gz"
    write_artifact(path, Artifact(strings, {"kernel": kernel}, labels, {}, graph.SerializeToString()))
    return path


@pytest.fixture
def url(model):
    command = [sys.executable, "-m", "sagemaker_semseg", "serve", "--model", str(model), "--port", "0", "--quiet"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield re.search(r"http://[0-9.]+:\d+/", line)[0]
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_an_image_and_a_refusal(opened, url, model):
    pixels = np.zeros((203, 301, 3), np.uint8)
    pixels[:, :150, 1] = 200
    pixels[120:, 100:, 2] = 250
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    labels = Segmenter(read_inference_artifact(model)).labels(pixels)

    tab = opened(url)
    assert "fcn · resnet-18 · 3 classes" in tab.inner_text("#facts")
    tab.choose("colors.png", file.getvalue())
    tab.wait_for("done")
    counts = {NAMES[label]: int((labels == label).sum()) for label in range(3)}
    assert {name: pixels for name, _, pixels in tab.legend()} == counts
    tab.set_opacity(100)
    assert (tab.drawn() == palette()[labels]).all()
    with tab.expect_download() as download:
        tab.click("#download")
    assert download.value.path().read_bytes() == encode_mask(labels)

    tab.choose("cut.png", file.getvalue()[:-40])
    tab.wait_for("stopped")
    assert tab.text_content("#message").startswith("image: the PNG is truncated")
    assert "download the file again" in tab.text_content("#remedy")
    assert tab.locator("#retry").is_hidden()
