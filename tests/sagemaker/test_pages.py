"""Blocks of docs/sdk.md, docs/notebooks.md and the README run in order, as written; trainings are stand-ins."""

import re
import shutil
import sys
from pathlib import Path

import pytest

import sagemaker_semseg
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(state, no_credentials, small_model, tmp_path, monkeypatch):
    """What the pages assume: mydata, image.jpg and images."""
    backend = LocalBackend([sys.executable, str(Path(__file__).with_name("model_job.py"))])
    monkeypatch.setattr(backends, "local_backend", lambda: backend)
    monkeypatch.setenv("MODEL", str(small_model))
    make_demo_set(tmp_path / "mydata", train=2, validation=1, test=1, size=32)
    image = next((tmp_path / "mydata" / "test").glob("*.jpg"))
    shutil.copy(image, tmp_path / "image.jpg")
    (tmp_path / "images").mkdir()
    shutil.copy(image, tmp_path / "images" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sagemaker_semseg.restore_sagemaker()


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def test_the_page_on_the_sdk(folder, state):
    variables = {}
    for block in blocks("docs/sdk.md"):
        exec(block, variables)
    assert variables["size"] > 50
    assert (folder / "masks/a.jpg.out").is_file()
    assert list((state / "endpoints").iterdir()) == []


def test_the_page_on_notebooks(folder, state):
    variables = {}
    found = blocks("docs/notebooks.md")
    assert "import boto3" in found[-1]  # AWS's SDK 2 itself: tests/peers/recipe_2.py
    for block in found[:-1]:
        exec(block, variables)
    assert variables["train"] == "s3://sagemaker-local/set/train"
    assert len(list((state / "buckets/sagemaker-local/set/train").iterdir())) == 2


def test_the_notebook_in_the_readme(folder, state):
    variables = {}
    exec(blocks("README.md")[-1], variables)
    assert variables["labels"].ndim == 2
    assert list((state / "endpoints").iterdir()) == []
