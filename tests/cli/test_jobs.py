"""``jobs``: what stands in the state folder is listed, shown, stopped and deleted."""

import json
import os

import pytest

from sagemaker_semseg.cli import main
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore
from sagemaker_semseg.sdk.local.process_identity import Process


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def record(kind, name, status, created="2026-11-25T10:00:00.000+00:00", log="", **more):
    store = JobStore(kind)
    folder = store.create(JobRecord(name, status, created, **more))
    (folder / "log").write_text(log)
    return store


def jobs(capsys, *arguments, status=0):
    assert main(["jobs", *arguments]) == status
    out, err = capsys.readouterr()
    return err if status else out


def test_nothing_yet(capsys):
    assert "nothing was started" in jobs(capsys)
    assert json.loads(jobs(capsys, "--json")) == []


def test_the_newest_come_first_each_on_a_line(capsys):
    times = {"started": "2026-11-25T10:00:01+00:00", "ended": "2026-11-25T11:02:04+00:00"}
    record("training", "first", "Completed", output="/out/model.tar.gz", **times)
    record("training", "second", "Failed", "2026-11-25T10:00:05+00:00", failure="ClientError: x\ny")
    this = {"process": Process.this()}
    store = record("endpoints", "up", "InProgress", "2026-11-25T10:00:06+00:00", **this)
    (store.folder("up") / "port").write_text("4711")
    record("endpoints", "coming", "InProgress", "2026-11-25T10:00:07+00:00", **this)
    record("transforms", "batch", "InProgress", "2026-11-25T10:00:08+00:00", process=Process(os.getpid(), 1.0, "y"))
    lines = [line.split() for line in jobs(capsys).splitlines()]
    assert [line[0] for line in lines] == ["name", "batch", "coming", "up", "second", "first"]
    assert "Creating" in lines[2]
    assert lines[3][1:3] == ["endpoint", "InService"]
    assert lines[3][-1] == "http://127.0.0.1:4711"
    assert lines[4][-2:] == ["ClientError:", "x"]
    assert lines[5][-2:] == ["1:02:03", "/out/model.tar.gz"]
    assert [line.split()[0] for line in jobs(capsys, "--kind", "endpoints").splitlines()[1:]] == ["coming", "up"]


def test_one_whose_process_is_gone_has_failed(capsys):
    gone = Process(os.getpid(), 1.0, Process.this().machine)
    record("training", "lost", "InProgress", process=gone)
    assert "Failed" in jobs(capsys)
    assert "was killed" in jobs(capsys, "show", "lost")
    assert "has ended already: Failed" in jobs(capsys, "stop", "lost")


def test_show_and_logs(capsys, state):
    spec = {"channels": [{"name": "train", "place": "/data/train"}], "hyperparameters": {"epochs": "3"}}
    record("training", "mine", "Completed", log="one\ntwo\n", spec=spec)
    text = jobs(capsys, "show", "mine")
    assert "train: /data/train" in text
    assert "epochs=3" in text
    assert json.loads(jobs(capsys, "show", "mine", "--json"))["log"] == str(state / "training/mine/log")
    assert jobs(capsys, "logs", "mine", "--follow") == "one\ntwo\n"


def test_delete_forgets_it(capsys, state):
    record("training", "mine", "Completed")
    assert "forgotten" in jobs(capsys, "delete", "mine")
    assert not (state / "training" / "mine").exists()
    assert "no job and no endpoint called mine" in jobs(capsys, "show", "mine", status=2)


def test_a_name_of_two_asks_which(capsys):
    record("training", "mine", "Completed")
    record("endpoints", "mine", "Failed", failure="oh")
    assert "add --kind training" in jobs(capsys, "show", "mine", status=2)
    assert "oh" in jobs(capsys, "show", "mine", "--kind", "endpoints")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show"], "the name of a job or an endpoint is missing"),
        (["list", "x"], "list takes no name"),
        (["frobnicate"], "invalid choice"),
        (["show", "../../etc"], "can't be the name"),
        (["--jsn"], "did you mean --json?"),
    ],
)
def test_commands_that_are_none(capsys, arguments, expected):
    assert expected in jobs(capsys, *arguments, status=2)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": 3}', b"\xff", b"[" * 100_000, b'{"name": "a"}'])
def test_a_damaged_record_is_nothing(capsys, state, content):
    record("training", "mine", "Completed")
    (state / "training" / "mine" / "record.json").write_bytes(content)
    assert "nothing was started" in jobs(capsys)
