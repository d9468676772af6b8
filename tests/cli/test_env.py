"""``env`` and the completion: every package of setup.cfg is listed, and every command and flag can be completed."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sagemaker_semseg.cli import env_command, main
from sagemaker_semseg.cli.env_command import PACKAGES
from sagemaker_semseg.hyperparameters import TABLE

ROOT = Path(__file__).resolve().parents[2]


def test_it_lists_what_setup_cfg_requires():
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    extras = {"": config["options"]["install_requires"], **config["options.extras_require"]}
    required = {
        (match[0], extra)
        for extra, lines in extras.items()
        if extra not in ("test", "lint", "dev", "docs")
        for line in lines.splitlines()
        if (match := re.match(r"[\w-]+", line))
    }
    assert {(name, extra) for name, (extra, _) in PACKAGES.items()} == required


def test_it_names_what_is_missing_and_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr(env_command, "find_version", lambda name: "" if name in ("uvicorn", "keras") else "1.2.3")
    monkeypatch.setattr(env_command, "_devices", lambda verbose: "CPU, 4 cores")
    assert main(["env", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    missing = {package["name"]: package["install"] for package in found["packages"] if package["install"]}
    assert missing == {"keras": "pip install keras", "uvicorn": "pip install 'sagemaker-semseg[serve]'"}
    assert main(["env"]) == 0
    text = capsys.readouterr().out
    assert "CPU, 4 cores" in text
    assert "sagemaker-semseg[serve]" in text


def test_a_tensorflow_that_cannot_be_loaded_is_said(monkeypatch, capsys):
    from sagemaker_semseg.jobs import tensorflow_setup

    def broken(**_):
        raise ImportError("libfoo.so: no such file")

    monkeypatch.setattr(tensorflow_setup, "load_tensorflow", broken)
    assert main(["env"]) == 0
    assert "TensorFlow can't be loaded: ImportError: libfoo.so" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_reads_the_completion(shell, capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion", shell])
    assert not caught.value.code
    script = capsys.readouterr().out
    for row in TABLE if shell != "tcsh" else ():
        assert row.flag in script
    assert "evaluate" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)
