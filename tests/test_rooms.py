"""What import-linter can't see: what an import loads, who reads the environment, names and copies of files' code."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
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


# their files of one name play the same part
SIBLINGS = (
    {"sdk/local", "sdk/remote", "sdk/requests"},
    {"sdk", "sagemaker", "storage"},  # SDK 2's names
)
# file names that are still used twice; the list shrinks to nothing
NAMES_NOT_YET = {"files.py", "model.py", "table.py"}


def test_no_two_files_share_a_name():
    rooms = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        rooms[path.name].add(str(path.parent.relative_to(PACKAGE)))
    twice = {
        name: found
        for name, found in rooms.items()
        if len(found) > 1 and not any(found <= siblings for siblings in SIBLINGS)
    }
    assert {name for name in twice if not name.startswith("__")} - NAMES_NOT_YET == set(), twice


RUN = 8  # lines of code


def repeated(files: dict[str, str]) -> list[str]:
    """Find runs of the same 8 lines of code; blank lines, comments, imports and lone punctuation don't count."""
    places = defaultdict(list)
    for name, source in files.items():
        lines = [(number, " ".join(line.split())) for number, line in enumerate(source.splitlines(), 1)]
        lines = [(n, line) for n, line in lines if re.search(r"\w", line) and not re.match(r"#|import |from ", line)]
        for start in range(len(lines) - RUN + 1):
            run = lines[start : start + RUN]
            places[tuple(line for _, line in run)].append(f"{name}:{run[0][0]}")
    return [" and ".join(found) for found in places.values() if len(found) > 1]


def test_no_code_is_written_twice():
    found = repeated({str(path.relative_to(PACKAGE)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))})
    not_yet = r"sdk/(estimator|model|requests/\w+)\.py:\d+ and sdk/"
    assert [places for places in found if not re.match(not_yet, places)] == []


def test_code_that_is_written_twice_is_found():
    lines = [f"x{number} = {number}" for number in range(RUN)]
    assert repeated({"a.py": "\n".join(lines), "b.py": "\n\n# why\n    ".join(["import os", *lines])}) == [
        "a.py:1 and b.py:4"
    ]
    assert repeated({"a.py": "\n".join(lines), "b.py": "\n".join(lines[1:])}) == []
