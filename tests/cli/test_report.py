"""``report``: the page of a training, of one that runs, of a job, with images, and what it refuses."""

import json
import re
import shutil

import pytest

from sagemaker_semseg.cli import main
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore, now
from tests.html_document import Document


def read(path):
    return Document(path.read_text())


def test_a_training_writes_it_by_itself(trained):
    assert f"report {trained.output / 'report.html'}" in trained.text
    document = read(trained.output / "report.html")
    (score,) = re.findall(r"validation mIOU (\S+)", trained.text.split("best epoch")[1])
    assert f"mIOU {float(score):.3f} on the validation data" in document.seen
    assert "8 images of" in document.seen
    assert "backbone resnet-tiny resnet-50" in document.seen
    facts = json.loads((trained.output / "training.json").read_text())
    assert facts["seconds"] > 0
    assert facts["peak_memory"] > 1e8


def test_with_images(trained, data, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["report", str(trained.output), "--data", str(data), "-o", str(page), "--price-per-hour", "3600"]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    document = read(page)
    assert "3 images, as the model is used" in document.seen
    assert "Expected calibration error" in document.seen
    assert len(document.all("img")) == 3 * 3 + 3 * 4  # while it learned: image, labels, epoch 1
    assert " cost " in document.seen


def test_a_model_alone(trained, tmp_path):
    shutil.copy(trained.output / "model.tar.gz", tmp_path / "m.tar.gz")
    assert main(["report", str(tmp_path / "m.tar.gz")]) == 0
    assert "on the validation data" in read(tmp_path / "report.html").seen


def test_a_training_that_runs(trained, tmp_path):
    """The output folder before there is a model: all of it comes from the checkpoint."""
    shutil.copytree(trained.output / "checkpoints", tmp_path / "checkpoints")
    assert main(["report", str(tmp_path)]) == 0
    assert "read from" in read(tmp_path / "report.html").seen
    (tmp_path / "report.html").unlink()
    assert main(["report", str(tmp_path / "checkpoints")]) == 0
    assert (tmp_path / "report.html").is_file()


def test_a_job_by_its_name(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path))
    folder = JobStore("training").create(JobRecord("my-job", "Completed", now()))
    (folder / "ml" / "input" / "config").mkdir(parents=True)
    shutil.copytree(trained.output / "checkpoints", folder / "ml" / "checkpoints")
    assert main(["report", "my-job"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "ml" / "output" / "data" / "report.html")


@pytest.mark.parametrize("name", ["nothing-there", "no such/folder"])
def test_no_training_of_this_name(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path))
    assert main(["report", name]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert "model.tar.gz" in error


def test_a_price_is_a_number(capsys):
    assert main(["report", "x", "--price-per-hour", "cheap"]) == 2
    assert "a number from 0 on is expected, cheap came" in capsys.readouterr().err
