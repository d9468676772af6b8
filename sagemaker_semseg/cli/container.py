"""``train`` without flags, as SageMaker starts a container: a tree like /opt/ml comes in, and what SageMaker collects
goes out there.

    model/              the files of the model; SageMaker makes the model.tar.gz
    output/data/        metrics.csv, a line for each epoch, and metrics.json; error.log after a fault of this program
    output/failure      the reason, if it fails; the last that is written
    checkpoints/        where the training stands, from which the next job goes on

Hyperparameters and channels become the flags that a person would have given, so that both ways are one. ``guard`` has
``train`` call it, in a process of its own; ``sdk.local`` makes such a tree for every job on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import signal
import tarfile
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sagemaker_semseg.data.channels import CHANNELS, SPLITS
from sagemaker_semseg.environment import Environment
from sagemaker_semseg.errors import AlgorithmError, ExitStatus, Fault, SemSegError, UserError, explain
from sagemaker_semseg.hyperparameters import TABLE
from sagemaker_semseg.storage import atomic_write

FAILURE_CHARACTERS = 1024
"""SageMaker shows no more of output/failure."""

MODEL_TYPE = "application/x-sagemaker-model"

_CUT = "\n... the rest is in the job's log"
_MOST_BYTES = 2**24
_TUNERS = "_tuning_objective_metric"
_PREFIXES = {ExitStatus.USER_ERROR: UserError.prefix}


def is_job(options: argparse.Namespace, base: Path) -> bool:
    """Whether ``train`` was started without a flag, in a container or in a tree like one's."""
    ours = {"command", "run", "verbose", "faults", "restart"}
    given = any(value is not None for name, value in vars(options).items() if name not in ours)
    return not given and not options.faults and not options.restart and (base / "input" / "config").is_dir()


def reports(base: Path) -> Path:
    """The folder of what SageMaker collects beside the model."""
    return base / "output" / "data"


def run(base: Path, parse: Callable[[list[str]], argparse.Namespace], work: Callable[[argparse.Namespace], int]) -> int:
    """Do ``work`` with the options that follow from the tree; returns its exit status.

    parse: a command line to options. Whatever is raised is told in output/failure, too.
    """
    try:
        reports(base).mkdir(parents=True, exist_ok=True)
        try:
            return work(_options(base, parse))
        finally:  # a training that has diverged leaves a model, too
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is left takes seconds
            try:
                _deliver(base)
            finally:
                signal.signal(signal.SIGTERM, before)
    except BaseException as error:
        if not isinstance(error, SystemExit):
            tell(base, error)
        raise


def tell(base: Path, error: BaseException) -> None:
    """Write output/failure: whose fault it is first, as SageMaker's own algorithms do, then what to do."""
    message, status = explain(error)
    prefix = error.prefix if isinstance(error, SemSegError) else _PREFIXES.get(status, AlgorithmError.prefix)
    text = f"{prefix}: {message}"
    if status == ExitStatus.ALGORITHM_ERROR:
        text += "\nPlease report it with the traceback, which is in error.log of the job's output.tar.gz."
    if len(text) > FAILURE_CHARACTERS:
        text = text[: FAILURE_CHARACTERS - len(_CUT)] + _CUT
    with contextlib.suppress(OSError):
        (base / "output").mkdir(parents=True, exist_ok=True)
        (base / "output" / "failure").write_text(text, encoding="utf-8", errors="backslashreplace")


def _options(base: Path, parse: Callable[[list[str]], argparse.Namespace]) -> argparse.Namespace:
    Environment.read({"SAGEMAKER_BASE_DIR": str(base)})  # what is wrong with it is told before anything is read
    flags = ["train", "--output", str(base / "model"), "--checkpoints", str(base / "checkpoints")]
    faults = _faults_of_hosts(_read(base, "resourceconfig").get("hosts"))
    rows = {row.name: row for row in TABLE}
    for name, value in _read(base, "hyperparameters").items():
        if name in rows:
            flags.append(f"{rows[name].flag}={value}")
        elif name != _TUNERS:
            near = get_close_matches(name, rows, n=1)
            what = "there is no such hyperparameter"
            faults.append(Fault(name, what, f"did you mean {near[0]}?" if near else "leave it out"))
    inputs = {
        name: config if isinstance(config, Mapping) else {} for name, config in _read(base, "inputdataconfig").items()
    }
    models = [name for name, config in inputs.items() if name == "model" or config.get("ContentType") == MODEL_TYPE]
    faults += [Fault(name, f"is a model, and so is {models[0]}", "give one model") for name in models[1:]]
    for name, config in inputs.items():
        channel = "model" if name in models else name
        if config.get("TrainingInputMode") == "Pipe":
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
    elif not inputs:
        flags += ["--data", str(base / "input" / "data")]  # which says what belongs there
    options = parse(flags)
    options.faults = [*options.faults, *faults]
    return options


def _faults_of_hosts(hosts: object) -> list[Fault]:
    if isinstance(hosts, list) and len(hosts) > 1:
        what = f"is {len(hosts)}, and a training runs on one machine: all its GPUs, and no other's"
        return [Fault("InstanceCount", what, "give 1 (instance_count=1), and a type with more GPUs to be faster")]
    return []


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


def _deliver(base: Path) -> None:
    """The model's files in the place of the archive, for SageMaker makes one itself; and the metrics beside it."""
    folder = base / "model"
    archive = folder / "model.tar.gz"
    if not archive.is_file():
        return
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()
    print(f"{archive} is unpacked: SageMaker packs the files itself", flush=True)
    text = (folder / "metrics.json").read_text(encoding="utf-8")
    _write(reports(base) / "metrics.json", text)
    if history := json.loads(text).get("history"):
        table = io.StringIO()
        writer = csv.DictWriter(table, history[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        _write(reports(base) / "metrics.csv", table.getvalue())


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
