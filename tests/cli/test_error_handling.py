"""Exit statuses and messages, commands and flags that don't exist, and when TensorFlow is loaded."""

import errno
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sagemaker_semseg import __version__
from sagemaker_semseg.cli import main, train_command
from sagemaker_semseg.errors import AlgorithmError, DataError, DivergedError, explain

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["--version"], 0),
        (["train", "--crop-siz", "64"], 2),
        (["train", "--data", "/nowhere", "--output", "/tmp", "--num-classes", "3"], 2),
        (["evaluate", "/nowhere", "--data", "/nowhere"], 2),
        (["predict", "/nowhere", "a.jpg", "-o", "b"], 2),
    ],
)
def test_neither_help_nor_wrong_arguments_load_tensorflow(arguments, status):
    program = f"""
import sys
from sagemaker_semseg.cli import main
try:
    status = main({arguments!r})
except SystemExit as exit:
    status = exit.code or 0
heavy = [name for name in ("tensorflow", "keras") if name in sys.modules]
assert not heavy, heavy
assert status == {status}, status
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"sagemaker-semseg {__version__}"
    numbers = {"Python": platform.python_version(), "Keras": version("keras"), "ONNX Runtime": version("onnxruntime")}
    assert all(f"{name} {number}" in second for name, number in numbers.items())
    assert "TensorFlow 2." in second


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["jobs", "lst"], "did you mean list?"),
        (["evaluate", "m", "--split", "Valdation"], "did you mean validation?"),
        (["convert", "cooc"], "did you mean coco?"),
        (["--verson"], "did you mean --version?"),
        (["trian"], "did you mean train?"),
        (["train", "--crop_sise", "64"], "did you mean --crop-size?"),
        (["report", "m", "--dat", "d"], "did you mean --data?"),
    ],
)
def test_what_was_probably_meant(arguments, near, capsys):
    assert main(arguments) == 2
    assert near in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "demo"])
def test_help_has_examples_and_exit_statuses(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert f"sagemaker-semseg {name} " in text
    assert "exit status: 0 done" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "there is no command trian (did you mean train?)"),
        (["x"], "there are train, evaluate, report, predict, "),
        (["--verbos"], "a command is missing"),
        (["demo", "--ouput", "x"], "--ouput: there is no such flag (did you mean --output?)"),
        (["train", "--output"], "argument --output: expected one argument"),
    ],
)
def test_wrong_commands_and_flags(arguments, expected, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert "usage:" not in error


def test_nothing_given_shows_the_help(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "sagemaker-semseg demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "expected", "status"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied (check the perm", 2),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device (make room", 2),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "/x: No such file", 2),
        (MemoryError(), "not enough memory: lower mini_batch_size", 2),
        (DivergedError("training has diverged"), "training has diverged", 2),
        (AlgorithmError("broken"), "broken", 1),
        (KeyboardInterrupt(), "interrupted", 130),
        (ZeroDivisionError("by zero\nsecond line"), "a fault of this program: ZeroDivisionError: by zero", 1),
    ],
)
def test_explain(error, expected, status):
    message, found = explain(error)
    assert message.startswith(expected) or expected in message
    assert found == status
    assert "second line" not in message


def test_errors_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    assert explain(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))[1] == 2
    assert explain(tf.errors.InternalError(None, None, "broken"))[1] == 1


@pytest.mark.parametrize("error", [DataError("no label"), FileNotFoundError(errno.ENOENT, "no label")])
def test_the_notes_of_an_error_say_when_it_happened(error):
    vars(error)["__notes__"] = ["while reading the data"]
    message, status = explain(error)
    assert message.startswith("while reading the data: ")
    assert "no label" in message
    assert status == 2


def test_our_own_fault_is_one_message_and_a_log(tmp_path, capsys, monkeypatch):
    def broken(config, faults):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(train_command, "run_training", broken)
    assert main(["train", "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "a fault of this program: ZeroDivisionError: by zero" in error
    assert "Traceback" not in error
    assert str(tmp_path / "error.log") in error
    assert "in broken" in (tmp_path / "error.log").read_text()
    assert main(["train", "--output", str(tmp_path), "--verbose"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_anywhere(capsys, monkeypatch):
    def interrupted(config, faults):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "run_training", interrupted)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "sagemaker-semseg: interrupted\n"


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("main(['--help'])", 0),
        ("train_command.run = lambda options: print('something') or 0; sys.exit(main(['train']))", 141),
    ],
)
def test_a_closed_pipe_is_quiet(program, status):
    reading, writing = os.pipe()
    os.close(reading)
    program = f"import sys; from sagemaker_semseg.cli import main, train_command; {program}"
    try:
        done = subprocess.run([sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, cwd=ROOT)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (status, b"")


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "sagemaker_semseg", "trian"], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean train?" in done.stderr


ENGINE = "from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow; print(type(load_tensorflow()).__name__)"


def test_tensorflow_starts_without_a_word():
    done = subprocess.run([sys.executable, "-c", ENGINE], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout.endswith("Strategy\n")
    assert done.stderr == ""


def test_a_tensorflow_that_fails_is_heard(tmp_path):
    """One in its place writes to the descriptor, as C++ does, and fails."""
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'from the library\\n')\nraise ImportError('libfoo.so is missing')\n"
    )
    program = "import sys; from sagemaker_semseg.cli import main; " + ENGINE
    options = {"capture_output": True, "text": True, "cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}}
    done = subprocess.run([sys.executable, "-c", program], **options)
    assert done.returncode == 1
    assert "from the library\n" in done.stderr
    assert "TensorFlow can't be loaded: libfoo.so is missing" in done.stderr
