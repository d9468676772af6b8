"""The report of a training that runs: written after each epoch; a report that fails stops nothing."""

import json

from sagemaker_semseg.jobs import report_writer
from sagemaker_semseg.jobs.report_writer import ReportWriter
from sagemaker_semseg.report.training_record import TrainingFiles
from sagemaker_semseg.report.training_start import TrainingStart
from tests.report.test_training_record import write_checkpoint


def files(folder):
    return TrainingFiles(folder / "model.tar.gz", folder / "checkpoints", folder)


def writer(folder):
    return ReportWriter(files(folder), ["road", "car"], [("train", "5 images")], ["a note"])


def test_before_the_first_epoch_there_is_the_start_alone(tmp_path):
    writer(tmp_path).write()
    assert TrainingStart.read(tmp_path).facts == (("train", "5 images"),)
    assert not (tmp_path / "report.html").exists()


def test_after_an_epoch_there_is_a_page(tmp_path):
    report = writer(tmp_path)
    write_checkpoint(tmp_path / "checkpoints")
    report.write()
    assert "2 of 3 epochs" in (tmp_path / "report.html").read_text()
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3
    assert json.loads((tmp_path / "metrics.json").read_text())["best_epoch"] == 1


def test_a_resumed_training_adds_its_time(tmp_path):
    TrainingStart("2020-01-01T00:00:00+00:00", 1000.0, 2**50).write(tmp_path)
    writer(tmp_path).write()
    assert TrainingStart.read(tmp_path).seconds < 900  # without a checkpoint it starts over
    TrainingStart("2020-01-01T00:00:00+00:00", 1000.0, 2**50).write(tmp_path)
    write_checkpoint(tmp_path / "checkpoints")
    writer(tmp_path).write()
    start = TrainingStart.read(tmp_path)
    assert (start.started[:4], start.peak_memory) == ("2020", 2**50)
    assert start.seconds >= 1000


def test_a_report_that_fails_stops_nothing_and_is_said_once(tmp_path, monkeypatch, capsys):
    write_checkpoint(tmp_path / "checkpoints")
    monkeypatch.setattr(report_writer, "render", lambda record: 1 / 0)
    report = writer(tmp_path)
    report.write()
    report.write()
    assert capsys.readouterr().err.count("the report can't be written: ZeroDivisionError") == 1
