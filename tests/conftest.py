"""Amazon S3 as it looks from here, without a network; a model that costs nothing; a small one that was trained."""

import contextlib
import gc
import io
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sagemaker_semseg import environment
from sagemaker_semseg.storage import retry, s3

VARIABLES = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE", "AWS_SESSION_TOKEN")


def pytest_addoption(parser):
    parser.addoption("--data", help="a folder with the four channels, for test_finetune and test_camvid")


def pytest_configure(config):
    """Ctrl-C reaches what the tests start, even if this was started in the background, where shells ignore it.

    Hypothesis fails no example for its time: other programs may have the CPU.
    """
    with contextlib.suppress(ModuleNotFoundError):  # `make test-bare` has none
        from hypothesis import settings

        settings.register_profile("any time", deadline=None)
        settings.load_profile("any time")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Begin each test, and the fixtures it makes, with the same random numbers: networks of random weights repeat."""
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


def pytest_runtest_teardown(item):
    """Free a network's memory after a slow test: they are large, and their cycles wait long for the collector."""
    if item.get_closest_marker("slow"):
        gc.collect()


@pytest.fixture(scope="session")
def reference():
    """A function from a file's name in ``tests/reference`` to its arrays (.npz), content (.json) or path."""
    import functools
    import json

    from tests.reference import samples

    folder = Path(samples.__file__).parent

    @functools.cache
    def read(name):
        if name.startswith("tiny") or name.endswith(".rec"):
            return folder / name
        path = folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else samples.read(path)

    return read


@pytest.fixture
def two_cpus(monkeypatch, tmp_path):
    """A container that may use 2 CPUs' worth of time on a machine of 64 CPUs."""
    (tmp_path / "cpu.max").write_text("200000 100000\n", encoding="ascii")
    monkeypatch.setattr(environment, "CGROUP", tmp_path)
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda process: set(range(64)), raising=False)


@pytest.fixture
def aws(monkeypatch, tmp_path_factory):
    """Remove credentials and configuration, and restart boto3; a test sets what it needs. Without boto3: skipped."""
    boto3 = pytest.importorskip("boto3")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / "no-such-file"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(retry, "TRANSFERS", replace(retry.TRANSFERS, first_pause=0))
    s3.client.cache_clear()
    yield monkeypatch
    s3.client.cache_clear()


@pytest.fixture
def bucket(aws):
    """Start an S3 in this process, with an empty bucket called ``images``; return a client."""
    import boto3
    import moto

    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="images")
        yield client


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "model.tar.gz"
    write_small_model(path)
    return path


def write_small_model(path):
    """A ``model.tar.gz`` of four classes whose graph is one convolution; no TensorFlow, and ready in no time."""
    import numpy as np
    import onnx.numpy_helper
    import onnx.parser

    from sagemaker_semseg.artifact import Artifact, write_artifact
    from sagemaker_semseg.hyperparameters import resolve, to_strings

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
    labels = {"num_classes": 4, "class_names": ["ground", "disc", "box", "triangle"]}
    strings = to_strings(resolve({"num_classes": 4}))
    write_artifact(path, Artifact(strings, {"kernel": kernel}, labels, {}, graph.SerializeToString()))


SETTINGS = [
    *("--num-classes", "4", "--backbone", "resnet-tiny", "--use-pretrained-model", "False", "--crop-size", "32"),
    *("--base-size", "48", "--mini-batch-size", "4", "--class-names", "ground,disc,box,triangle"),
]


@pytest.fixture(scope="session")
def settings():
    return SETTINGS


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    from sagemaker_semseg.data.demo_dataset import make_demo_set

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
    from sagemaker_semseg.cli import main

    output = tmp_path_factory.mktemp("trained") / "out"
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main(["train", "--data", str(data), "--output", str(output), "--epochs", "1", *SETTINGS]) == 0
    return Trained(output, text.getvalue())
