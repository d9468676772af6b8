"""The image, as far as it can be judged without building it; `make test-docker` builds and runs it."""

import configparser
import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest

from sagemaker_semseg.architectures import VISIBLE_BACKBONES
from sagemaker_semseg.environment import WeightLocations

ROOT = Path(__file__).resolve().parents[1]
INSTRUCTIONS = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "EXPOSE", "LABEL", "ENTRYPOINT"}


def instructions():
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [tuple(line.split(None, 1)) for line in lines]


def values(name):
    return [value.strip() for instruction, value in instructions() if instruction == name]


def stages():
    """The instructions of each stage, by its number."""
    found = []
    for name, value in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, value))
    return found


def variables():
    return dict(pair.split("=", 1) for value in values("ENV") for pair in shlex.split(value))


def test_it_is_made_of_known_instructions():
    assert {name for name, _ in instructions()} == INSTRUCTIONS
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+( AS \w+)?", value) for value in values("FROM"))


def test_the_entry_point_is_the_command_itself():
    """In exec form, so that signals reach it; SageMaker adds train or serve."""
    (command,) = values("ENTRYPOINT")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"]
    assert json.loads(command) == [scripts.split("=")[0].strip()]


def test_what_is_copied_is_there_and_reaches_the_builder():
    rules = (ROOT / ".dockerignore").read_text().split("\n")
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    assert "*" in rules
    copied = [shlex.split(value) for value in values("COPY")]
    for *sources, _ in copied:
        if sources[0].startswith("--from="):
            assert sources[0] == "--from=build"
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, rule) or source.startswith(f"{rule}/") for rule in let_in), source


def test_everything_that_makes_the_wheel_is_copied():
    first = " ".join(value for name, value in stages()[0] if name == "COPY").split()
    assert {"setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "sagemaker_semseg"} <= set(first)


def test_there_is_no_secret_and_nothing_below_opt_ml():
    names = [*variables(), *(value.split("=")[0] for value in values("ARG"))]
    assert not [name for name in names if re.search("KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", name, re.IGNORECASE)]
    assert all("/opt/ml" not in value for _, value in instructions())


def test_weights_are_in_the_folder_that_is_searched():
    folder = str(WeightLocations.read({"SAGEMAKER_SEMSEG_CACHE": "/tmp"}).image)
    assert f"image/weights {folder}" in values("COPY")
    assert any(f"--output {folder}" in value for value in values("RUN"))
    (given,) = [shlex.split(value)[0].split("=")[1] for value in values("ARG") if value.startswith("WEIGHTS")]
    assert set(given.split()) <= set(VISIBLE_BACKBONES)


def test_nothing_is_fetched_or_written_outside_of_tmp_when_it_runs():
    given = variables()
    assert given["HF_HUB_OFFLINE"] == given["ORT_DISABLE_TELEMETRY"] == given["PYTHONUNBUFFERED"] == "1"
    assert given["HOME"] == "/tmp"
    assert given["SAGEMAKER_SEMSEG_CACHE"].startswith("/tmp/")


@pytest.mark.parametrize("name", ["install_requires", "serve"])
def test_what_is_installed_is_pinned(name):
    """Within the bounds of setup.cfg, whatever the package needs itself."""
    packaging = pytest.importorskip("packaging.requirements")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    text = setup["options"][name] if name in setup["options"] else setup["options.extras_require"][name]
    lines = (ROOT / "image" / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    wanted = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    for line in wanted:
        requirement = packaging.Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            assert requirement.specifier.contains(pins[requirement.name]), line
