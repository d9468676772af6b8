"""Runs the notebook and the scripts on a few small generated images, and checks their results."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from sagemaker_semseg.data.demo_dataset import make_demo_set
from tests.conftest import write_small_model
from tests.sdk.service_model import check

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOK = EXAMPLES / "local_life.ipynb"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))  # tests/sagemaker runs the other one

PARAMETERS = """
DATA = None
CLASS_NAMES = ["ground", "disc", "box", "triangle"]
OUTPUT = "out"
IMAGES = 8
SETTINGS = {
    "backbone": "resnet-18",
    "use_pretrained_model": False,
    "crop_size": 32,
    "base_size": 48,
    "mini_batch_size": 4,
    "epochs": 1,
}
"""


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    """Keep jobs in the test's folder; run Jupyter without the user's settings, with this environment's commands."""
    for name in ("SAGEMAKER_SEMSEG_STATE", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "sagemaker_semseg_state"


def run(script, *arguments, folder):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_notebook_from_training_to_deletion(tmp_path, state):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = PARAMETERS
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()

    table, figure = results(notebook, "metrics"), results(notebook, "metrics.plot()")
    assert "validation:mIOU" in table["text/html"]
    assert "image/png" in figure
    assert results(notebook, "np.array_equal(mask, labels)  # as from the endpoint")["text/plain"] == "True"
    source = tmp_path / "out" / "data" / "validation" / "0000.jpg"
    for name, mode in (("mask.png", "L"), ("overlay.png", "RGB")):
        with Image.open(tmp_path / "out" / name) as written, Image.open(source) as image:
            assert (written.size, written.mode) == (image.size, mode)
    shares = ast.literal_eval(results(notebook, "shares")["text/plain"])
    labels = np.asarray(Image.open(tmp_path / "out" / "mask.png"))
    assert shares["ground"] == f"{(labels == 0).mean():.1%}"
    assert len(list((tmp_path / "out" / "models").glob("*/output/model.tar.gz"))) == 2
    assert list((state / "endpoints").iterdir()) == []
    ended = "".join(output.text for output in notebook.cells[-1].outputs)
    assert ended.count("Completed") == 3
    assert "InProgress" not in ended


def results(notebook, line):
    """Return what the cell whose last line is ``line`` showed."""
    found = [cell for cell in notebook.cells if cell.source.split("\n")[-1] == line]
    (data,) = (output.data for cell in found for output in cell.outputs if output.output_type == "execute_result")
    return data


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_results(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    assert [cell.source for cell in cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)] == []


@pytest.mark.slow
def test_the_script_from_training_to_deletion(tmp_path, state):
    printed = run("local_life.py", "--images", 8, "--epochs", 1, "--crop-size", 32, "--output", "out", folder=tmp_path)
    assert "100.0% of the pixels of 0000.jpg as the endpoint had them" in printed
    assert {"mask.png", "overlay.png", "masks", "models"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert list((state / "endpoints").iterdir()) == []


@pytest.mark.slow
def test_files_and_pipes_train_the_same(tmp_path):
    small = ("--images", 16, "--epochs", 1, "--crop-size", 32)
    files, pipes = run("manifest_and_pipe.py", *small, folder=tmp_path).split("==> The manifest through pipes")
    losses = [float(re.search(r"^ +1 +([0-9.]+)", printed, re.MULTILINE)[1]) for printed in (files, pipes)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_boto3_gets_a_mask_from_an_endpoint_here(tmp_path, state):
    write_small_model(tmp_path / "model.tar.gz")
    (source,) = make_demo_set(tmp_path, train=0, validation=0, test=1)["test"]
    printed = run("aws_clients.py", "--model", "model.tar.gz", "--image", source, folder=tmp_path)
    assert printed.startswith("mask.png: image/png")
    with Image.open(tmp_path / "mask.png") as mask, Image.open(source) as image:
        assert (mask.size, mask.mode) == (image.size, "P")
        assert np.asarray(mask).max() < 4
    assert list((state / "endpoints").iterdir()) == []


@pytest.mark.parametrize("more", [(), ("--spot",)])
def test_the_request_of_a_dry_run_is_one_that_sagemaker_takes(tmp_path, more):
    where = ("--role", "arn:aws:iam::123456789012:role/R", "--bucket", "my-bucket", "--dry-run")
    printed = run("on_sagemaker.py", "--image-uri", "1.dkr.ecr/semseg:0.1.0", *where, *more, folder=tmp_path)
    request = check("CreateTrainingJob", json.loads(printed))
    assert len(request["InputDataConfig"]) == 4
    assert request.get("EnableManagedSpotTraining", False) is bool(more)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_has_a_usage(script, tmp_path):
    assert run(script.name, "--help", folder=tmp_path).startswith("usage: ")


def test_each_example_has_its_line_in_the_list():
    text = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in (*SCRIPTS, *NOTEBOOKS) if f"]({path.name})" not in text] == []
