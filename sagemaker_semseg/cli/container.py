"""``train`` without flags, as SageMaker starts a container: a tree like /opt/ml comes in, and what SageMaker collects
goes out there: ``model/``, ``output/data/``, and ``output/failure`` with the reason if it fails.

Hyperparameters and channels become the flags that a person would have given, so that both ways are one. ``train`` calls
it; ``sdk.local`` makes such a tree for every job on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tarfile
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sagemaker_semseg.cli.failures import USERS_FAULT, explain
from sagemaker_semseg.data.channels import CHANNELS, SPLITS
from sagemaker_semseg.errors import AlgorithmError, Fault, SemSegError, UserError
from sagemaker_semseg.hyperparameters import TABLE

FAILURE_CHARACTERS = 1024
"""SageMaker shows no more of output/failure."""

MODEL_TYPE = "application/x-sagemaker-model"

_MOST_BYTES = 2**24
_TUNERS = "_tuning_objective_metric"
_PREFIXES = {USERS_FAULT: UserError.prefix}


def is_job(options: argparse.Namespace, base: Path) -> bool:
    """Whether ``train`` was started without a flag, in a container or in a tree like one's."""
    ours = {"command", "run", "verbose", "faults", "restart"}
    given = any(value is not None for name, value in vars(options).items() if name not in ours)
    config = base / "input" / "config" / "hyperparameters.json"
    return not given and not options.faults and not options.restart and config.is_file()


def run(base: Path, parse: Callable[[list[str]], argparse.Namespace], work: Callable[[argparse.Namespace], int]) -> int:
    """Do ``work`` with the options that follow from the tree; returns its exit status.

    parse: a command line to options. Whatever is raised is told in output/failure, too.
    """
    try:
        return work(_options(base, parse))
    except BaseException as error:
        if not isinstance(error, SystemExit):
            tell(base, error)
        raise
    finally:  # a training that has diverged leaves one, too
        _unpack(base)


def tell(base: Path, error: BaseException) -> None:
    """Write output/failure: whose fault it is first, as SageMaker's own algorithms do, then what to do."""
    message, status = explain(error)
    prefix = error.prefix if isinstance(error, SemSegError) else _PREFIXES.get(status, AlgorithmError.prefix)
    with contextlib.suppress(OSError):
        (base / "output").mkdir(parents=True, exist_ok=True)
        text = f"{prefix}: {message}"[:FAILURE_CHARACTERS]
        (base / "output" / "failure").write_text(text, encoding="utf-8", errors="backslashreplace")


def _options(base: Path, parse: Callable[[list[str]], argparse.Namespace]) -> argparse.Namespace:
    flags = ["train", "--output", str(base)]
    faults = []
    rows = {row.name: row for row in TABLE}
    for name, value in _read(base, "hyperparameters").items():
        if name in rows:
            flags.append(f"{rows[name].flag}={value}")
        elif name != _TUNERS:
            near = get_close_matches(name, rows, n=1)
            what = "there is no such hyperparameter"
            faults.append(Fault(name, what, f"did you mean {near[0]}?" if near else "leave it out"))
    inputs = _read(base, "inputdataconfig")
    for name, config in inputs.items():
        is_model = isinstance(config, Mapping) and config.get("ContentType") == MODEL_TYPE
        channel = "model" if is_model else name
        if isinstance(config, Mapping) and config.get("TrainingInputMode") == "Pipe":
            flags += ["--fifos", str(base / "input" / "data")]
            faults += _faults_of_pipe(name, config)
        elif channel in CHANNELS:
            flag = "--pretrained-weights" if channel == "pretrained" else f"--{channel.replace('_', '-')}"
            flags += [flag, str(base / "input" / "data" / name)]
            flags += _attributes(channel, config)
        else:
            faults.append(Fault(name, "there is no such channel", f"there are {', '.join(CHANNELS)}"))
    if "--fifos" in flags:
        missing = [name for name in SPLITS if name not in inputs]
        faults += [Fault(name, "the channel is missing", "give the channels train and validation") for name in missing]
    options = parse(flags)
    options.faults = [*options.faults, *faults]
    return options


def _faults_of_pipe(name: str, config: Mapping[str, Any]) -> list[Fault]:
    if name not in SPLITS:
        what = "comes in Pipe mode, in which train and validation alone can be read"
        return [Fault(name, what, "send masks with their images, as an augmented manifest, and the rest in File mode")]
    if config.get("RecordWrapperType") != "RecordIO":
        what = f"comes in Pipe mode with RecordWrapperType {config.get('RecordWrapperType')}"
        return [Fault(name, what, "give RecordIO (record_wrapping='RecordIO'), which tells where a record ends")]
    return []


def _attributes(channel: str, config: object) -> list[str]:
    """The flag for a manifest's attributes, which SageMaker keeps to itself and ``sdk.local`` tells."""
    names = config.get("AttributeNames") if isinstance(config, Mapping) else None
    if channel not in SPLITS or not isinstance(names, list):
        return []
    return [f"--{'validation-' if channel == 'validation' else ''}attribute-names={','.join(map(str, names))}"]


def _read(base: Path, name: str) -> Mapping[str, Any]:
    """One of SageMaker's files. Raises ``UserError`` if it isn't the object that it should be."""
    path = base / "input" / "config" / f"{name}.json"
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        fault = Fault(str(path), f"can't be read: {error}")
        raise UserError("The job's configuration can't be used:", [fault]) from None
    if not isinstance(content, dict):
        fault = Fault(str(path), f"holds {type(content).__name__}, an object is expected")
        raise UserError("The job's configuration can't be used:", [fault])
    return content


def _unpack(base: Path) -> None:
    """SageMaker makes the model.tar.gz itself, of the files in ``model``."""
    archive = base / "model.tar.gz"
    if archive.is_file():
        with tarfile.open(archive) as tar:
            tar.extractall(base / "model", filter="data")
        archive.unlink()
