"""The machine's side of a job: environment variables and SageMaker's configuration files come in, a frozen
``Environment`` goes out, and for an endpoint a frozen ``Hosting``. Training asks for the host's name, the command line
for the base folder, the server for cores and for its workers' variables; no other module touches ``os.environ``.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        base = _base(variables)
        return cls(base=base, host=_host(base / "input" / "config" / "resourceconfig.json"))


def base_folder() -> Path:
    """``Environment.base``, whatever the files under it say."""
    return _base(os.environ)


def _base(variables: Mapping[str, str]) -> Path:
    return Path(variables.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


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
        return cls(
            cache=_cache(variables),
            image=Path(variables.get("SAGEMAKER_SEMSEG_WEIGHTS") or "/usr/local/share/sagemaker-semseg/weights"),
            hub=(variables.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/"),
            offline=variables.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"),
        )


def weight_places() -> WeightPlaces:
    """This process's ``WeightPlaces``."""
    return WeightPlaces.read(os.environ)


def data_cache() -> Path:
    """Where copies of data in S3 are kept: beside the cache of weights."""
    return _cache(os.environ) / "data"


def _cache(variables: Mapping[str, str]) -> Path:
    if own := variables.get("SAGEMAKER_SEMSEG_CACHE"):
        return Path(own)
    return Path(variables.get("XDG_CACHE_HOME") or _home() / ".cache") / "sagemaker-semseg"


def _home() -> Path:
    """The user's folder; a temporary one for users whom the system doesn't know, as containers may be given."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"user-{os.getuid()}"


@dataclass(frozen=True)
class Hosting:
    """What SageMaker tells the container of an endpoint or a batch transform. None: it says nothing.

    port, accept, workers, max_payload_mb, batch: as SageMaker names them. runtime, scales, flip, tile_pixels: fields of
    ``InferenceOptions``, for containers, which are started without flags.
    """

    port: int | None = None
    accept: str | None = None
    workers: int | None = None
    max_payload_mb: int | None = None
    batch: bool | None = None
    runtime: str | None = None
    scales: tuple[float, ...] | None = None
    flip: bool | None = None
    tile_pixels: int | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> tuple[Hosting, list[Fault]]:
        """What can be read, and a fault for each variable that can't. An empty one counts as not there."""
        found: dict[str, Any] = {}
        faults = []
        for field, (name, parse, expected) in _HOSTING.items():
            text = variables.get(name, "").strip()
            try:
                found[field] = parse(text) if text else None
            except (ValueError, LookupError):
                faults.append(Fault(name, f"{text[:100]!r} came, {expected} is expected", "mend it or leave it out"))
        return cls(**found), faults

    @staticmethod
    def variable(field: str) -> str:
        """The variable that a field is read from."""
        return _HOSTING[field][0]


def hosting() -> tuple[Hosting, list[Fault]]:
    """This process's ``Hosting``, and what is wrong with it."""
    return Hosting.read(os.environ)


def worker_variables(threads: int) -> dict[str, str]:
    """The variables of a process that has ``threads`` threads: this one's, and how many the libraries for arrays take.

    ONNX Runtime and OpenVINO are told directly; what reads these would otherwise take every core beside them.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**dict.fromkeys(names, str(threads)), **os.environ}


def state_folder() -> Path:
    """Where the jobs and endpoints of this machine are kept: ``SAGEMAKER_SEMSEG_STATE``, else a folder in
    ``XDG_STATE_HOME`` or ``~/.local/state``.
    """
    home = Path(os.environ.get("XDG_STATE_HOME") or _home() / ".local" / "state")
    return Path(os.environ.get("SAGEMAKER_SEMSEG_STATE") or home / "sagemaker-semseg").absolute()


def job_variables(more: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process that runs a job or an endpoint: this one's, but for what was said of another job."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_A_JOB}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def image_uri() -> str | None:
    """The container's image for jobs on SageMaker, if no other is given: ``SAGEMAKER_SEMSEG_IMAGE_URI``."""
    return os.environ.get("SAGEMAKER_SEMSEG_IMAGE_URI") or None


def cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its container's share of time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, int(_share(Path("/sys/fs/cgroup"), bound))))


def memory() -> int | None:
    """Bytes of memory that this process may use: the machine's, and no more than its container's. None: not known."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None
    return _memory_limit(Path("/sys/fs/cgroup"), machine)


def _memory_limit(cgroup: Path, machine: int) -> int:
    """The least of the machine's memory and what control groups, version 2 or 1, grant to a container."""
    for file in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        try:
            return min(machine, int(file.read_text(encoding="ascii")))
        except (OSError, ValueError):  # not there, or "max": as much as there is
            continue
    return machine


def prepare_tensorflow() -> bool:
    """Set the variables that TensorFlow reads when it is imported, where the user hasn't; call it before that import.

    Returns False if TensorFlow has been imported already, which makes them come too late.
    """
    for name, value in _TENSORFLOW.items():
        os.environ.setdefault(name, value)
    return "tensorflow" not in sys.modules


def forbid_telemetry() -> None:
    """Newer releases of ONNX Runtime report their use to Microsoft, unless this is set when they are imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _share(cgroup: Path, default: float) -> float:
    """The cores' worth of time that control groups, version 2 or 1, grant to a container."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii")
        except (OSError, ValueError):
            return default
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": as much as there is
        return default
    return share if share > 0 else default  # version 1 says -1


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError
        return number

    return parse


def _switch(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


# field of ``Hosting`` -> variable, how it is read, what is expected
_HOSTING: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "port": ("SAGEMAKER_BIND_TO_PORT", _number(1, 65535), "a number from 1 to 65535"),
    "accept": ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", str, "a media type"),
    "workers": ("SAGEMAKER_MODEL_SERVER_WORKERS", _number(1, 1024), "a number from 1 on"),
    "max_payload_mb": ("SAGEMAKER_MAX_PAYLOAD_IN_MB", _number(0, 1024), "a number from 0 (no limit) to 1024"),
    "batch": ("SAGEMAKER_BATCH", _switch, "true or false"),
    "runtime": ("SAGEMAKER_SEMSEG_RUNTIME", str, "the name of a runtime"),
    "scales": ("SAGEMAKER_SEMSEG_SCALES", _numbers, "a list of numbers such as 0.75,1,1.25"),
    "flip": ("SAGEMAKER_SEMSEG_FLIP", _switch, "true or false"),
    "tile_pixels": ("SAGEMAKER_SEMSEG_TILE_PIXELS", _number(1, 2**31), "a number of pixels"),
}


_OF_A_JOB = frozenset(name for name, _, _ in _HOSTING.values()) | {"SAGEMAKER_BASE_DIR", "TRAINING_JOB_NAME"}


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
