"""A small set, and a model trained on it through the command line, for all tests of the commands."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from sagemaker_semseg.artifact import Artifact, write_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.demo import make_demo_set
from sagemaker_semseg.environment import prepare_tensorflow
from sagemaker_semseg.hyperparameters import resolve, to_strings

SETTINGS = [
    *("--num-classes", "4", "--backbone", "resnet-18", "--use-pretrained-model", "False", "--crop-size", "32"),
    *("--base-size", "48", "--mini-batch-size", "4", "--class-names", "ground,disc,box,triangle"),
]


@contextlib.contextmanager
def few_blocks():
    """``resnet-18`` with one block a stage: the same code, half the time."""
    prepare_tensorflow()
    from sagemaker_semseg import layout
    from sagemaker_semseg.models import backbones

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(layout.BACKBONES, "resnet-18", (layout.BASIC, (1, 1, 1, 1)))
        patch.setitem(backbones.BACKBONES, "resnet-18", backbones.Depth("basic", (1, 1, 1, 1)))
        yield


@pytest.fixture(autouse=True, scope="module")
def small_networks():
    with few_blocks():
        yield


@pytest.fixture(scope="session")
def settings():
    return SETTINGS


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    make_demo_set(root, train=8, validation=3, test=2, size=48)
    return root


@dataclass
class Trained:
    output: Path
    text: str
    """What the command printed."""


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "out"
    text = io.StringIO()
    with few_blocks(), contextlib.redirect_stdout(text):
        assert main(["train", "--data", str(data), "--output", str(output), "--epochs", "1", *SETTINGS]) == 0
    return Trained(output, text.getvalue())


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """A ``model.tar.gz`` of four classes whose graph is one convolution; no TensorFlow, and ready in no time."""
    graph = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        small (uint8[N, H, W, 3] image) => (float[N, 4, H, W] logits, float[N, 4, h, w] coarse_logits)
        {
            nchw = Transpose <perm = [0, 3, 1, 2]> (image)
            pixels = Cast <to = 1> (nchw)
            coarse_logits = Conv <strides = [8, 8], pads = [4, 4, 4, 4]> (pixels, kernel)
            shape = Shape (image)
            size = Slice (shape, one, three)
            sizes = Concat <axis = 0> (start, size)
            logits = Resize <mode = "linear", coordinate_transformation_mode = "align_corners">
                (coarse_logits, , , sizes)
        }""")
    kernel = np.random.default_rng(0).normal(0, 0.01, (4, 3, 9, 9)).astype(np.float32)
    constants = {"kernel": kernel, "one": np.array([1]), "three": np.array([3]), "start": np.array([1, 4])}
    graph.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    path = tmp_path_factory.mktemp("small") / "model.tar.gz"
    labels = {"num_classes": 4, "class_names": ["ground", "disc", "box", "triangle"]}
    strings = to_strings(resolve({"num_classes": 4}))
    write_artifact(path, Artifact(strings, {"kernel": kernel}, labels, {}, graph.SerializeToString()))
    return path
