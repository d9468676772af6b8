"""A small set, and a model trained on it through the command line, for all tests of the commands."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from sagemaker_semseg.cli import main
from sagemaker_semseg.demo import make_demo_set
from sagemaker_semseg.environment import configure_tensorflow

SETTINGS = [
    *("--num-classes", "4", "--backbone", "resnet-18", "--use-pretrained-model", "False", "--crop-size", "32"),
    *("--base-size", "48", "--mini-batch-size", "4", "--class-names", "ground,disc,box,triangle"),
]


@contextlib.contextmanager
def few_blocks():
    """``resnet-18`` with one block a stage: the same code, half the time."""
    configure_tensorflow()
    from sagemaker_semseg import weight_shapes
    from sagemaker_semseg.models import backbones

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(weight_shapes.BACKBONES, "resnet-18", (weight_shapes.BASIC, (1, 1, 1, 1)))
        patch.setitem(backbones.BACKBONES, "resnet-18", backbones.ResNetConfig("basic", (1, 1, 1, 1)))
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
