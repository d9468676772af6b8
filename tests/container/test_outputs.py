"""What a job leaves: output/failure says whose fault it is, and the epochs are a table."""

import dataclasses
import json
import tarfile

import pytest

from sagemaker_semseg.artifact import read_artifact, write_artifact
from sagemaker_semseg.container import train
from sagemaker_semseg.container.outputs import FAILURE_LENGTH, pack_folder, read_failure_file, write_failure_file
from sagemaker_semseg.errors import AlgorithmError, UserError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("the masks are upside down"), "ClientError: the masks are upside down"),
        (AlgorithmError("oh"), "AlgorithmError: oh"),
        (ValueError("boom"), "AlgorithmError: a fault of this program: ValueError: boom"),
        (MemoryError(), "ClientError: not enough memory"),
        (
            OSError(28, "No space left on device", "/opt/ml/model"),
            "ClientError: /opt/ml/model: No space left on device",
        ),
        (KeyboardInterrupt(), "AlgorithmError: interrupted"),
    ],
)
def test_the_failure_says_whose_fault_it_is(tmp_path, error, expected):
    write_failure_file(tmp_path, error)
    assert read_failure_file(tmp_path).startswith(expected)


def test_a_long_failure_is_cut_where_sagemaker_does(tmp_path):
    write_failure_file(tmp_path, UserError("x" * 5000))
    text = (tmp_path / "output" / "failure").read_text()
    assert len(text) == FAILURE_LENGTH == 1024
    assert text.endswith("x\n... the rest is in the job's log")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Run a job whose training is a function; returns the exit status."""

    def run(function):
        monkeypatch.setattr(train, "run_training", lambda config, faults: function())
        monkeypatch.setattr(train, "exit_status", lambda result: result)
        return train.run(tmp_path)

    return run


def test_our_own_fault_says_where_the_traceback_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "run_training", lambda config, faults: 1 / 0)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert train.main() == 1
    text = (tmp_path / "output" / "failure").read_text()
    assert text.startswith("AlgorithmError: a fault of this program: ZeroDivisionError: division by zero\n")
    assert "error.log of the job's output.tar.gz" in text
    assert "1 / 0" in (tmp_path / "output" / "data" / "error.log").read_text()
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("diverged", [False, True])
def test_the_epochs_are_a_table_beside_the_model(tmp_path, work, small_model, diverged):
    history = [{"epoch": 0, "loss": 1.5, "val_mIOU": 0.25}, {"epoch": 1, "loss": 0.5, "val_mIOU": 0.75}]

    def training():
        artifact = read_artifact(small_model)
        metrics = {**artifact.metrics, "history": history}
        write_artifact(tmp_path / "model", dataclasses.replace(artifact, metrics=metrics))
        assert not (tmp_path / "output" / "failure").exists()
        if diverged:
            raise UserError("diverged")
        return 0

    if diverged:
        with pytest.raises(UserError):
            work(training)
    else:
        assert work(training) == 0
    reports = tmp_path / "output" / "data"
    assert (reports / "metrics.csv").read_text() == "epoch,loss,val_mIOU\n0,1.5,0.25\n1,0.5,0.75\n"
    assert json.loads((reports / "metrics.json").read_text())["history"] == history
    assert read_failure_file(tmp_path) == ("ClientError: diverged" if diverged else "")


def test_equal_files_make_equal_archives_of_regular_files_alone(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "more").mkdir(parents=True)
        (folder / "more" / "a.txt").write_text("a")
        (folder / ".writing").write_text("half")
        (folder / "link").symlink_to("/etc/passwd")
        assert pack_folder(folder, tmp_path / "out" / f"{name}.tar.gz")
    assert (tmp_path / "out/one.tar.gz").read_bytes() == (tmp_path / "out/two.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "out/one.tar.gz") as archive:
        assert archive.getnames() == ["more", "more/a.txt"]
    assert not pack_folder(tmp_path / "nothing", tmp_path / "none.tar.gz")
    assert not (tmp_path / "none.tar.gz").exists()
