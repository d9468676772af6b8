"""``estimator.report()``: the page of a job on this machine and of one on SageMaker, as a notebook shows it."""

import html
import re
import shutil
from types import SimpleNamespace

import pytest

from sagemaker_semseg import SemSegEstimator, write_report
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore, now
from sagemaker_semseg.sdk.local.jobs import LocalJob
from sagemaker_semseg.sdk.training_job import TrainingJob
from tests.report.test_training_record import metrics, write_checkpoint, write_model


def estimator_of(job):
    estimator = SemSegEstimator(instance_count=1, instance_type="local", num_classes=2)
    estimator.latest_training_job = TrainingJob(job)
    return estimator


def test_a_job_of_this_machine_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path))
    folder = JobStore("training").create(JobRecord("mine", "InProgress", now()))
    (folder / "ml" / "input" / "config").mkdir(parents=True)
    write_checkpoint(folder / "ml" / "checkpoints")
    report = estimator_of(LocalJob("training", "mine")).report()
    assert report.path == folder / "ml" / "output" / "data" / "report.html"
    assert "2 of 3 epochs" in report.html
    shown = re.search('srcdoc="(.*?)" style', report._repr_html_(), re.DOTALL)[1]
    assert html.unescape(shown) == report.html
    other = estimator_of(LocalJob("training", "mine")).report(path=tmp_path / "other.html")
    assert other.path == tmp_path / "other.html"


def test_a_job_on_sagemaker(bucket, tmp_path, monkeypatch):
    """Its model is fetched from S3; the page lies in the current folder, named like the job."""
    model = write_model(tmp_path / "made", metrics()).model
    bucket.put_object(Bucket="images", Key="job/output/model.tar.gz", Body=model.read_bytes())
    shutil.rmtree(tmp_path / "made")
    monkeypatch.chdir(tmp_path)
    state = SimpleNamespace(status="Completed", output="s3://images/job/output/model.tar.gz")
    report = estimator_of(SimpleNamespace(name="far", state=lambda: state)).report()
    assert str(report.path) == "far.html"
    assert "Best epoch" in report.html
    assert str(write_report(state.output)) == "report.html"
    state.status = "InProgress"
    with pytest.raises(UserError, match="the job is InProgress"):
        estimator_of(SimpleNamespace(name="far", state=lambda: state)).report()


def test_no_training_no_report():
    with pytest.raises(UserError, match="has trained nothing yet"):
        SemSegEstimator(instance_count=1, instance_type="local", num_classes=2).report()
