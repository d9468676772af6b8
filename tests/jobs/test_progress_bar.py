"""Progress as lines of JSON, as nothing, and as a bar that needs a terminal."""

import json

import pytest

from sagemaker_semseg.cli import main
from sagemaker_semseg.jobs import progress_bar as progress


@pytest.fixture(autouse=True)
def mode():
    yield progress.set_progress_mode
    progress.set_progress_mode("auto")


def show(steps=3):
    with progress.progress_bar("counting", steps) as update:
        for done in range(1, steps + 1):
            update(done, steps)


def test_each_line_is_json_and_the_last_one_says_how_it_ended(mode, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS", 0)
    mode("json")
    show()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["done"] for line in lines] == [0, 1, 2, 3, 3]
    assert {(line["task"], line["total"]) for line in lines} == {("counting", 3)}
    assert [line["state"] for line in lines] == ["running"] * 4 + ["done"]


def test_a_task_with_very_many_steps_writes_few_lines(mode, monkeypatch, capsys):
    monkeypatch.setattr(progress.time, "monotonic", lambda: 7.0)
    mode("json")
    show(10_000)
    assert [json.loads(line)["done"] for line in capsys.readouterr().err.splitlines()] == [0, 10_000]


def test_what_failed_is_said_to_have_failed(mode, capsys):
    mode("json")
    with pytest.raises(ZeroDivisionError), progress.progress_bar("dividing"):
        1 / 0  # noqa: B018
    assert json.loads(capsys.readouterr().err.splitlines()[-1]) == {
        "task": "dividing", "state": "failed", "done": 0.0, "total": None,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["none", "auto"])
def test_nothing_without_a_terminal(mode, capsys, name):
    mode(name)
    show()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_the_flag_of_a_command(small_model, tmp_path, data, capsys):
    images = str(data / "test")
    assert main(["predict", str(small_model), images, "-o", str(tmp_path / "a"), "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert lines[-1] == {"task": "predicting", "state": "done", "done": 2, "total": 2}
    assert main(["predict", str(small_model), images, "-o", str(tmp_path / "b"), "--progress", "json", "--quiet"]) == 0
    assert "predicting" not in capsys.readouterr().err
    assert main(["predict", str(small_model), images, "-o", str(tmp_path / "c"), "--progress", "jsn"]) == 2
    assert "did you mean json?" in capsys.readouterr().err


def test_no_color_where_it_is_not_wanted(monkeypatch, capsys):
    """rich reads NO_COLOR: a console that is forced to be a terminal writes no escape for colors."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    show()
    assert "\x1b[3" not in capsys.readouterr().err  # 30 to 37 are colors
