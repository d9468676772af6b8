"""What ``import sagemaker_semseg`` gives: its public names, and nothing heavy before they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

import sagemaker_semseg

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("tensorflow", "keras", "boto3", "botocore", "sagemaker", "numpy", "PIL", "rich")


def loaded(program):
    """Which heavy modules are loaded after a program, in a process of its own."""
    program += f"\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


def test_the_import_alone_loads_nothing_heavy():
    assert loaded("import sagemaker_semseg; sagemaker_semseg.__version__; dir(sagemaker_semseg)") == []


def test_the_public_names_load_nothing_of_the_engine_or_of_aws():
    program = "import sagemaker_semseg\nfor name in sagemaker_semseg.__all__: getattr(sagemaker_semseg, name)"
    assert set(loaded(program)) <= {"numpy", "PIL", "rich"}


@pytest.mark.parametrize("name", sagemaker_semseg.__all__)
def test_every_public_name_is_there_and_listed(name):
    assert getattr(sagemaker_semseg, name).__name__ == {"Tuner": "HyperparameterTuner"}.get(name, name)
    assert name in dir(sagemaker_semseg)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="SemSegEstimtor"):
        sagemaker_semseg.SemSegEstimtor  # noqa: B018
