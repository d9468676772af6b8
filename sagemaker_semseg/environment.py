"""The machine's side of a job: environment variables and SageMaker's configuration files come in, a frozen
``Environment`` goes out. Training asks it for the host's name, the command line for the base folder; no other module
touches ``os.environ``.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagemaker_semseg.errors import Fault, UserError

# What TensorFlow reads when it is imported. oneDNN's kernels are what makes training on CPUs fast; level 2 leaves out
# the messages about them at every start, and keeps errors.
_TENSORFLOW = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


@dataclass(frozen=True)
class Environment:
    """What a process is told about its job from outside.

    base: the root of SageMaker's tree (``input``, ``model``, ``output``, ``checkpoints``), from ``SAGEMAKER_BASE_DIR``.
    host: this machine's name within the job, as log lines carry it.
    """

    base: Path
    host: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """The environment as ``variables`` and the files under the base folder describe it.

        Raises ``UserError`` if ``input/config/resourceconfig.json`` is there and doesn't name the host.
        """
        base = Path(variables.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
        return cls(base=base, host=_host(base / "input" / "config" / "resourceconfig.json"))


@functools.cache
def environment() -> Environment:
    """This process's environment, read the first time and the same ever after."""
    return Environment.read(os.environ)


@dataclass(frozen=True)
class WeightPlaces:
    """Where ImageNet weights may be.

    cache: what was fetched; ``SAGEMAKER_SEMSEG_CACHE``, else a folder in ``XDG_CACHE_HOME`` or ``~/.cache``.
    image: what a container brings; ``SAGEMAKER_SEMSEG_WEIGHTS``, else a folder in ``/usr/local/share``.
    hub: ``HF_ENDPOINT``, else Hugging Face's. offline: whether ``HF_HUB_OFFLINE`` forbids to ask it.
    """

    cache: Path
    image: Path
    hub: str
    offline: bool

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> WeightPlaces:
        home = Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(
            cache=Path(variables.get("SAGEMAKER_SEMSEG_CACHE") or home / "sagemaker-semseg"),
            image=Path(variables.get("SAGEMAKER_SEMSEG_WEIGHTS") or "/usr/local/share/sagemaker-semseg/weights"),
            hub=(variables.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/"),
            offline=variables.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"),
        )


def weight_places() -> WeightPlaces:
    """This process's ``WeightPlaces``."""
    return WeightPlaces.read(os.environ)


def prepare_tensorflow() -> bool:
    """Set the variables that TensorFlow reads when it is imported, where the user hasn't; call it before that import.

    Returns False if TensorFlow has been imported already, which makes them come too late.
    """
    for name, value in _TENSORFLOW.items():
        os.environ.setdefault(name, value)
    return "tensorflow" not in sys.modules


def _host(path: Path) -> str:
    """``current_host`` of a resourceconfig.json; ``algo-1``, the name of a job's only machine, if there is none."""
    try:
        host = json.loads(path.read_bytes())["current_host"]
    except FileNotFoundError:
        return "algo-1"
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        fault = Fault(str(path), f"can't be read: {error!r}", 'write {"current_host": "algo-1", "hosts": ["algo-1"]}')
        raise UserError("The job's configuration can't be used:", [fault]) from None
    # log lines are cut into words at blanks
    if not isinstance(host, str) or not host or any(not letter.isprintable() or letter.isspace() for letter in host):
        fault = Fault(str(path), f"current_host is {host!r}", "give a name without blanks, such as algo-1")
        raise UserError("The job's configuration can't be used:", [fault])
    return host
