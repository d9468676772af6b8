"""Environment variables, SageMaker's resource configuration and this container's limits. Alone reads ``os.environ``."""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagemaker_semseg.cluster import TORCHRUN, Cluster, read_cluster
from sagemaker_semseg.errors import Fault, UserError

GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
CGROUP = Path("/sys/fs/cgroup")

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


@dataclass(frozen=True)
class Environment:
    """The environment of a job.

    base: root of SageMaker's tree (``input``, ``model``, ``output``, ``checkpoints``), from ``SAGEMAKER_BASE_DIR``.
    host: this machine's name within the job, which log lines carry.
    """

    base: Path
    host: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """Read the variables and the files under the base folder.

        Raises ``UserError`` if ``input/config/resourceconfig.json`` exists and doesn't name the host.
        """
        base = _base(variables)
        return cls(base=base, host=_host(base / "input" / "config" / "resourceconfig.json"))


def base_folder() -> Path:
    """Return ``Environment.base`` without reading the files under it."""
    return _base(os.environ)


def _base(variables: Mapping[str, str]) -> Path:
    return Path(variables.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def cluster() -> Cluster | None:
    """Return this process's ``Cluster``."""
    return read_cluster(os.environ, base_folder())


def is_chief() -> bool:
    """Whether this process prints and writes files: the only host of a training, or the first one."""
    hosts = cluster()
    return hosts is None or hosts.rank == 0


def variables_of_host(rank: int, size: int, port: int) -> dict[str, str]:
    """Return this process's variables for one of several hosts on this machine, with those of torchrun."""
    return {**os.environ, **dict(zip(TORCHRUN, ("127.0.0.1", str(port), str(rank), str(size)), strict=True))}


def rendezvous_seconds() -> float:
    """Return how long hosts wait for each other: ``SAGEMAKER_SEMSEG_HOSTS_TIMEOUT``, 600 seconds if it isn't set."""
    text = os.environ.get("SAGEMAKER_SEMSEG_HOSTS_TIMEOUT") or "600"
    try:
        seconds = float(text)
        if not 0 < seconds < float("inf"):
            raise ValueError
    except ValueError:
        fault = Fault("SAGEMAKER_SEMSEG_HOSTS_TIMEOUT", f"is {text!r}", "give a number of seconds, or unset it")
        raise UserError("The hosts of this training can't meet:", [fault]) from None
    return seconds


def set_tf_config(addresses: Sequence[str], rank: int) -> None:
    """Set TF_CONFIG, from which ``tf.distribute`` reads the hosts."""
    task = {"type": "worker", "index": rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


@functools.cache
def environment() -> Environment:
    """Read this process's environment once."""
    return Environment.read(os.environ)


@dataclass(frozen=True)
class WeightLocations:
    """Where ImageNet weights may be.

    cache: downloads; ``SAGEMAKER_SEMSEG_CACHE``, else a folder in ``XDG_CACHE_HOME`` or ``~/.cache``.
    image: part of a container's image; ``SAGEMAKER_SEMSEG_WEIGHTS``, else a folder in ``/usr/local/share``.
    hub: ``HF_ENDPOINT``, else Hugging Face's address. offline: whether ``HF_HUB_OFFLINE`` forbids downloads.
    """

    cache: Path
    image: Path
    hub: str
    offline: bool

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> WeightLocations:
        return cls(
            cache=_cache(variables),
            image=Path(variables.get("SAGEMAKER_SEMSEG_WEIGHTS") or "/usr/local/share/sagemaker-semseg/weights"),
            hub=(variables.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/"),
            offline=variables.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"),
        )


def weight_locations() -> WeightLocations:
    """Return this process's ``WeightLocations``."""
    return WeightLocations.read(os.environ)


def data_cache() -> Path:
    """Return the folder for copies of data in S3, beside the cache of weights."""
    return _cache(os.environ) / "data"


def _cache(variables: Mapping[str, str]) -> Path:
    if own := variables.get("SAGEMAKER_SEMSEG_CACHE"):
        return Path(own)
    return Path(variables.get("XDG_CACHE_HOME") or _home() / ".cache") / "sagemaker-semseg"


def _home() -> Path:
    """The user's home; a temporary folder for users unknown to the system, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"user-{os.getuid()}"


@dataclass(frozen=True)
class Hosting:
    """SageMaker's settings for an endpoint or a batch transform. None: not set.

    port, accept, workers, max_payload_mb, batch: as SageMaker names them. runtime, precision, scales, flip,
    tile_pixels: fields of ``InferenceOptions``, for containers, which are started without flags.
    """

    port: int | None = None
    accept: str | None = None
    workers: int | None = None
    max_payload_mb: int | None = None
    batch: bool | None = None
    runtime: str | None = None
    precision: str | None = None
    scales: tuple[float, ...] | None = None
    flip: bool | None = None
    tile_pixels: int | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> tuple[Hosting, list[Fault]]:
        """Parse the variables; return a fault for each that can't be parsed. An empty one counts as not set."""
        found: dict[str, Any] = {}
        faults = []
        for field, (name, parse, expected) in _HOSTING.items():
            text = variables.get(name, "").strip()
            try:
                found[field] = parse(text) if text else None
            except (ValueError, LookupError):
                faults.append(Fault(name, f"is {text[:100]!r}, {expected} is expected", "correct or unset it"))
        return cls(**found), faults

    @staticmethod
    def variable(field: str) -> str:
        """Return the name of the variable that sets a field."""
        return _HOSTING[field][0]


def hosting() -> tuple[Hosting, list[Fault]]:
    """Return this process's ``Hosting`` and its faults."""
    return Hosting.read(os.environ)


def worker_variables(threads: int) -> dict[str, str]:
    """Return this process's variables for a worker with ``threads`` threads, also for libraries of arrays.

    ONNX Runtime and OpenVINO get the number as an argument; the others would start a thread for each CPU.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**dict.fromkeys(names, str(threads)), **os.environ}


def state_folder() -> Path:
    """Return the folder of this machine's local jobs and endpoints.

    ``SAGEMAKER_SEMSEG_STATE``, else a folder in ``XDG_STATE_HOME`` or ``~/.local/state``.
    """
    home = Path(os.environ.get("XDG_STATE_HOME") or _home() / ".local" / "state")
    return Path(os.environ.get("SAGEMAKER_SEMSEG_STATE") or home / "sagemaker-semseg").absolute()


def job_variables(more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a job's process: this process's without those of another job, and ``more``."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_A_JOB}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def aws_region() -> str:
    """Return the region that the environment names, else us-east-1, where no AWS account is used."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def image_uri() -> str | None:
    """Return the default container image for jobs on SageMaker, ``SAGEMAKER_SEMSEG_IMAGE_URI``."""
    return os.environ.get("SAGEMAKER_SEMSEG_IMAGE_URI") or None


def cpu_count() -> int:
    """Return the number of CPUs that this process may use: its affinity, or its container's quota if that is less."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, int(_cpu_quota() or affinity)))


def _cpu_quota() -> float | None:
    """CPUs that control groups, version 2 or 1, grant to a container; None without a limit."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota, period = (
                (CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        except (OSError, ValueError):
            return None
    try:
        return max(0, int(quota)) / int(period) or None  # version 1 says -1 for no limit
    except (ValueError, ZeroDivisionError):  # version 2 says "max"
        return None


def has_gpu() -> bool:
    """Return whether the driver of an NVIDIA GPU is there, WSL's included; True where it isn't known."""
    return sys.platform != "linux" or any(Path(device).exists() for device in GPU_DEVICES)


def memory_limit() -> int | None:
    """Return the bytes of memory that this process may use: the machine's or its container's. None: unknown."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None
    for file in (CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes"):  # version 2, version 1
        try:
            return min(machine, int(file.read_text(encoding="ascii")))
        except (OSError, ValueError):  # missing, or "max"
            continue
    return machine


def use_onednn() -> None:
    """Let TensorFlow use oneDNN's kernels, unless the user has set this or has imported TensorFlow before.

    TensorFlow reads the variable when it is imported. It uses oneDNN by itself only where the CPU has VNNI; elsewhere
    a training step takes 1.3 to 2.4 times as long without it (benchmarks/results/onednn-2026-11-27.md).
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault(_ONEDNN, "1")


def onednn_is_set() -> bool:
    """Whether oneDNN was turned on or off by a variable: by ``use_onednn`` or by the user."""
    return _ONEDNN in os.environ


def configure_tensorflow() -> bool:
    """Set TensorFlow's variables that the user hasn't set; to be called before TensorFlow is imported.

    Besides ``use_onednn``, log level 2 hides messages about oneDNN at every start and shows errors.
    Returns False if TensorFlow has been imported already and ignores them.
    """
    if "tensorflow" in sys.modules:
        return False
    use_onednn()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return True


def disable_telemetry() -> None:
    """Stop newer releases of ONNX Runtime from reporting their use to Microsoft; to be called before its import."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _integer(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not lowest <= number <= highest:
            raise ValueError
        return number

    return parse


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


# field of ``Hosting`` -> variable, parser, what is expected
_HOSTING: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "port": ("SAGEMAKER_BIND_TO_PORT", _integer(1, 65535), "a number from 1 to 65535"),
    "accept": ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", str, "a media type"),
    "workers": ("SAGEMAKER_MODEL_SERVER_WORKERS", _integer(1, 1024), "a number from 1 on"),
    "max_payload_mb": ("SAGEMAKER_MAX_PAYLOAD_IN_MB", _integer(0, 1024), "a number from 0 (no limit) to 1024"),
    "batch": ("SAGEMAKER_BATCH", _boolean, "true or false"),
    "runtime": ("SAGEMAKER_SEMSEG_RUNTIME", str, "the name of a runtime"),
    "precision": ("SAGEMAKER_SEMSEG_PRECISION", str, "auto, float32 or int8"),
    "scales": ("SAGEMAKER_SEMSEG_SCALES", _numbers, "a list of numbers such as 0.75,1,1.25"),
    "flip": ("SAGEMAKER_SEMSEG_FLIP", _boolean, "true or false"),
    "tile_pixels": ("SAGEMAKER_SEMSEG_TILE_PIXELS", _integer(1, 2**31), "a number of pixels"),
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
    # log lines are split into words at blanks
    if not isinstance(host, str) or not host or any(not letter.isprintable() or letter.isspace() for letter in host):
        fault = Fault(str(path), f"current_host is {host!r}", "give a name without blanks, such as algo-1")
        raise UserError("The job's configuration can't be used:", [fault])
    return host
