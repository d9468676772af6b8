"""The files around the code: workflows run what there is, on every Python, and the constraints fit setup.cfg."""

import configparser
import re
from pathlib import Path

import packaging.markers
import packaging.requirements
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def setup_cfg():
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    return config


def test_the_workflows_make_what_the_makefile_has():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set()
    for workflow in WORKFLOWS:
        text = workflow.read_text()
        named |= set(re.findall(r"make ([a-z][a-z0-9-]+)", text))
        for job in yaml.safe_load(text)["jobs"].values():
            named |= set(job.get("strategy", {}).get("matrix", {}).get("target", ()))
    assert len(named) > 8
    assert named <= targets


def test_the_tests_run_on_every_python_that_is_promised():
    jobs = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())["jobs"]
    classifiers = re.findall(r":: (3\.\d+)$", setup_cfg()["metadata"]["classifiers"], re.MULTILINE)
    assert tuple(jobs["tests"]["strategy"]["matrix"]["python"]) == tuple(classifiers) == PYTHONS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_tokens_may_do_little(workflow):
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] > 0
        for step in job["steps"]:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", "x@" + "0" * 40))
            assert "${{" not in step.get("run", ""), "an expression in a script lets a name run code"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_constraints_fit_what_setup_cfg_asks_for(python):
    here = {"python_version": python, "python_full_version": f"{python}.5", "sys_platform": "linux"}
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = packaging.requirements.Requirement(line)
            if pin.marker is None or pin.marker.evaluate(here):
                assert pin.name not in pins, line
                pins[pin.name] = str(pin.specifier).removeprefix("==")
    config = setup_cfg()
    extras = config["options.extras_require"]
    lines = [config["options"]["install_requires"], *(extras[name] for name in extras if name != "torch")]
    checked = 0
    for line in "\n".join(lines).splitlines():
        if re.match(r"[a-z]", line):
            wanted = packaging.requirements.Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate(here):
                assert wanted.specifier.contains(pins[wanted.name.replace("_", "-").lower()]), line
                checked += 1
    assert checked > 25


def test_the_version_is_written_once():
    version = re.search(r'__version__ = "(.*)"', (ROOT / "sagemaker_semseg/__init__.py").read_text())[1]
    assert setup_cfg()["metadata"]["version"] == "attr: sagemaker_semseg.__version__"
    assert "version:" not in (ROOT / "CITATION.cff").read_text().replace("cff-version:", "")
    assert f"## {version} - " in (ROOT / "CHANGELOG.md").read_text()
