"""What import-linter can't see: what an import loads while it runs, and who reads the environment."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "sagemaker_semseg"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)
ENGINE_ROOMS = ("models", "export", "training")
HEAVY = ("tensorflow", "keras", "torch", "jax", "boto3", "sagemaker", "optuna")


def test_no_room_but_the_engine_loads_tensorflow():
    """Importing every other module, one after the other, in a process of its own."""
    light = [module for module in MODULES if module.split(".")[1] not in ENGINE_ROOMS]
    assert len(light) > 5
    program = f"""
import importlib, sys
for module in {light!r}:
    importlib.import_module(module)
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    assert not loaded, f"{{module}} loads {{loaded}}"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr


def reads_environment(source: str) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    for node in ast.walk(ast.parse(source)):
        attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        if attribute and node.attr in names:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names}:
            return True
    return False


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ['X'] = '1'", "from os import getenv", "import os\ndef f():\n    return os.getenv('X')"],
)
def test_the_check_for_the_environment_finds_it(source):
    assert reads_environment(source)


def test_only_environment_reads_the_environment():
    readers = [
        str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py")) if reads_environment(path.read_text())
    ]
    assert [path for path in readers if path not in ("environment.py",)] == []
