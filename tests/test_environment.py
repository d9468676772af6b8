"""What a process is told from outside, and what it tells TensorFlow."""

from __future__ import annotations

import ast
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagemaker_semseg import environment as module
from sagemaker_semseg.environment import Environment, environment, prepare_tensorflow
from sagemaker_semseg.errors import UserError

VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL")


def with_config(base: Path, text: str) -> Environment:
    (base / "input" / "config").mkdir(parents=True)
    (base / "input" / "config" / "resourceconfig.json").write_text(text, encoding="utf-8")
    return Environment.read({"SAGEMAKER_BASE_DIR": str(base)})


def test_base_folder(tmp_path: Path) -> None:
    assert Environment.read({}).base == Path("/opt/ml")
    assert Environment.read({"SAGEMAKER_BASE_DIR": ""}).base == Path("/opt/ml")
    assert Environment.read({"SAGEMAKER_BASE_DIR": str(tmp_path)}) == Environment(tmp_path, "algo-1")


def test_host(tmp_path: Path) -> None:
    text = '{"current_host": "algo-2", "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0"}'
    assert with_config(tmp_path, text).host == "algo-2"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"current_host": 5}', '{"current_host": ""}', '{"current_host": "a b\\n"}', "[" * 10**5],
)
def test_a_configuration_that_does_not_name_the_host(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as caught:
        with_config(tmp_path, text)
    assert "resourceconfig.json" in str(caught.value)


def test_it_is_read_once_and_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.cache_clear()
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    first = environment()
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", "/elsewhere")
    assert environment() is first
    assert first.base == tmp_path
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.host = "algo-2"  # type: ignore[misc]
    environment.cache_clear()


def test_tensorflow_is_told_what_the_user_has_not_told_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    for name in VARIABLES:
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    assert prepare_tensorflow() is True
    assert [os.environ[name] for name in VARIABLES] == ["1", "2"]

    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    prepare_tensorflow()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


def test_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setitem(sys.modules, "tensorflow", module)
    assert prepare_tensorflow() is False


def test_these_modules_start_without_tensorflow() -> None:
    code = (
        "import sys, sagemaker_semseg.environment, sagemaker_semseg.hyperparameters, sagemaker_semseg.artifact;"
        "print([name for name in ('tensorflow', 'keras', 'boto3') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_no_other_module_touches_the_environment() -> None:
    package = Path(module.__file__).parent
    touching = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv")
    }
    assert touching == {"environment.py"}
