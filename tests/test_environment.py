"""The environment: variables, SageMaker's settings, CPUs and memory, and the variables set for TensorFlow."""

from __future__ import annotations

import ast
import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from sagemaker_semseg import environment as module
from sagemaker_semseg.cli import main
from sagemaker_semseg.environment import (
    Environment,
    Hosting,
    configure_tensorflow,
    cpu_count,
    data_cache,
    environment,
    memory_limit,
    onednn_is_set,
    use_onednn,
    weight_locations,
    worker_variables,
)
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


def test_no_command_lets_onnx_runtime_report_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def test_a_user_without_a_name_or_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers may be given: the system knows no folder of theirs."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module.Path, "home", home)
    for name in ("SAGEMAKER_SEMSEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert data_cache().parent == Path(tempfile.gettempdir(), f"user-{os.getuid()}", ".cache", "sagemaker-semseg")
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", "/somewhere")
    assert data_cache() == Path("/somewhere/data")


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


def test_tensorflow_is_configured_unless_the_user_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    for name in VARIABLES:
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    assert configure_tensorflow() is True
    assert [os.environ[name] for name in VARIABLES] == ["1", "2"]

    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    configure_tensorflow()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


def test_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setitem(sys.modules, "tensorflow", module)
    assert configure_tensorflow() is False


@pytest.mark.parametrize(("before", "value"), [("pass", "1"), ("os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'", "0")])
def test_onednn_is_used_wherever_the_package_is_imported_first(before: str, value: str) -> None:
    code = f"import os; {before}; import sagemaker_semseg; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    variables = {name: text for name, text in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [value]


def test_a_tensorflow_that_was_imported_too_early_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    use_onednn()
    assert not onednn_is_set()


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


def test_copies_of_data_lie_beside_the_cache_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGEMAKER_SEMSEG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert data_cache() == Path("/b/sagemaker-semseg/data")
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", "/a")
    assert data_cache() == Path("/a/data")
    assert weight_locations().cache == Path("/a")


# ---- an endpoint


def test_hosting_where_nothing_is_said() -> None:
    assert Hosting.read({}) == (Hosting(), [])
    assert Hosting.read({"SAGEMAKER_BIND_TO_PORT": " ", "SAGEMAKER_BATCH": ""}) == (Hosting(), [])


def test_hosting() -> None:
    variables = {
        "SAGEMAKER_BIND_TO_PORT": "9000",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
        "SAGEMAKER_BATCH": "TRUE",
        "SAGEMAKER_SEMSEG_RUNTIME": "openvino",
        "SAGEMAKER_SEMSEG_PRECISION": "int8",
        "SAGEMAKER_SEMSEG_SCALES": "0.5, 1",
        "SAGEMAKER_SEMSEG_FLIP": "0",
        "SAGEMAKER_SEMSEG_TILE_PIXELS": "70000",
    }
    found, faults = Hosting.read(variables)
    assert faults == []
    assert dataclasses.astuple(found) == (9000, "image/png", 2, 6, True, "openvino", "int8", (0.5, 1.0), False, 70_000)
    assert {Hosting.variable(field.name) for field in dataclasses.fields(Hosting)} == set(variables)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "0"),
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1025"),
        ("SAGEMAKER_BATCH", "yes"),
        ("SAGEMAKER_SEMSEG_SCALES", "1;2"),
    ],
)
def test_hosting_that_can_not_be_read(name: str, text: str) -> None:
    found, faults = Hosting.read({name: text, "SAGEMAKER_MODEL_SERVER_WORKERS": "2"})
    assert [fault.where for fault in faults] == [name]
    assert text in faults[0].what
    assert found == Hosting(workers=2)


def test_variables_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("SOMETHING", "else")
    variables = worker_variables(3)
    assert (variables["OPENBLAS_NUM_THREADS"], variables["OMP_NUM_THREADS"]) == ("3", "7")
    assert variables["SOMETHING"] == "else"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def limited(monkeypatch: pytest.MonkeyPatch, folder: Path, files: dict[str, str]) -> None:
    """A container whose control groups say what ``files`` hold."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="ascii")
    monkeypatch.setattr(module, "CGROUP", folder)


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "6400000 100000"}, 8),
        ({"cpu.max": "broken"}, 8),
        ({"cpu.max": "100000 0"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_cpu_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    limited(monkeypatch, tmp_path, files)
    assert cpu_count() == count


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, 1000),
        ({"memory.max": "max\n"}, 1000),
        ({"memory.max": "700\n"}, 700),
        ({"memory.max": "9000\n"}, 1000),
        ({"memory.max": "broken"}, 1000),
        ({"memory/memory.limit_in_bytes": "600\n"}, 600),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1000),  # version 1 says this for no limit
    ],
)
def test_memory_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], limit: int) -> None:
    limited(monkeypatch, tmp_path, files)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 250, "SC_PAGE_SIZE": 4}.__getitem__, raising=False)
    assert memory_limit() == limit
    monkeypatch.delattr(os, "sysconf")
    assert memory_limit() is None


@pytest.mark.parametrize(("text", "seconds"), [("", 600), ("5", 5), ("0.5", 0.5)])
def test_how_long_hosts_wait_for_each_other(monkeypatch, text, seconds):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_HOSTS_TIMEOUT", text)
    assert module.rendezvous_seconds() == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_a_time_that_is_none(monkeypatch, text):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_HOSTS_TIMEOUT", text)
    with pytest.raises(UserError, match=f"SAGEMAKER_SEMSEG_HOSTS_TIMEOUT: is '{text}'"):
        module.rendezvous_seconds()
