"""SageMaker's folder of a training job, /opt/ml in a container: written for a job, and read as its configuration.

input/config/    hyperparameters.json, inputdataconfig.json, resourceconfig.json
input/data/      a folder for each channel; FIFOs in Pipe mode
checkpoints/     where the training continues
model/           the files of the model, which SageMaker packs as model.tar.gz
output/data/     report.html, training.json, metrics.csv, metrics.json; error.log after a fault of this program
output/failure   the reason, if it fails
output/tensorboard/   TensorBoard's files, which SageMaker copies if the job has a TensorBoardOutputConfig
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagemaker_semseg.data.channels import CHANNELS, SPLITS
from sagemaker_semseg.environment import Environment, cluster
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.prepare_training import TrainingConfig

MODEL_TYPE = "application/x-sagemaker-model"
"""The content type of a channel with a model, whatever the channel is called."""

TENSORBOARD = Path("output", "tensorboard")
"""Where SageMaker takes TensorBoard's files from, unless TensorBoardOutputConfig has another LocalPath."""

_MAX_BYTES = 2**24
_OF_TUNER = "_tuning_objective_metric"


def is_job_directory(base: Path) -> bool:
    """Whether SageMaker's configuration of a job is there."""
    return (base / "input" / "config").is_dir()


def write_job_directory(
    base: Path,
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, Mapping[str, Any]],
    locations: Mapping[str, Path],
    *,
    instance_type: str,
    instance_count: int = 1,
    checkpoints: Path | None = None,
    tensorboard: Path | None = None,
) -> None:
    """Write the folder of a job as SageMaker would. Channels are links, so nothing is copied.

    Args:
        base: The folder; it need not be there.
        hyperparameters: As strings.
        channels: The entry of each channel in inputdataconfig.json.
        locations: The folder or file of each channel that isn't in Pipe mode.
        instance_type: For resourceconfig.json; ``instance_count`` too.
        checkpoints: A folder for the checkpoints that outlives the job.
        tensorboard: A folder for TensorBoard's files.
    """
    for folder in ("input/config", "input/data", "model", "output/data"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for inside, place in ((base / "checkpoints", checkpoints), (base / TENSORBOARD, tensorboard)):
        if place:
            place.mkdir(parents=True, exist_ok=True)
            inside.symlink_to(place.absolute(), target_is_directory=True)
        else:
            inside.mkdir()
    names = [f"algo-{number}" for number in range(1, instance_count + 1)]
    hosts = {"current_host": names[0], "hosts": names, "network_interface_name": "lo"}
    files = {
        "hyperparameters": dict(hyperparameters),
        "inputdataconfig": {name: dict(entry) for name, entry in channels.items()},
        "resourceconfig": {**hosts, "current_instance_type": instance_type},
    }
    for name, content in files.items():
        _config_file(base, name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for name, location in locations.items():
        channel = base / "input" / "data" / name
        if location.is_dir():
            channel.symlink_to(location.absolute(), target_is_directory=True)
        else:  # SageMaker puts a single object into the channel's folder
            channel.mkdir()
            (channel / location.name).symlink_to(location.absolute())


def read_training_config(base: Path) -> tuple[TrainingConfig, list[Fault]]:
    """Return the training that SageMaker's files describe, and what is wrong with them.

    Raises ``UserError`` for a file that isn't JSON of the expected form.
    """
    Environment.read({"SAGEMAKER_BASE_DIR": str(base)})  # raises for a wrong resourceconfig.json
    data = base / "input" / "data"
    faults: list[Fault] = []
    several = cluster() is not None
    hyperparameters = dict(_read_config_file(base, "hyperparameters"))
    hyperparameters.pop(_OF_TUNER, None)
    entries = {
        name: entry if isinstance(entry, Mapping) else {}
        for name, entry in _read_config_file(base, "inputdataconfig").items()
    }
    models = [name for name, entry in entries.items() if name == "model" or entry.get("ContentType") == MODEL_TYPE]
    faults += [Fault(name, f"is a model, and so is {models[0]}", "give one model") for name in models[1:]]
    channels, attribute_names, in_pipe_mode = {}, {}, False
    for name, entry in entries.items():
        channel = "model" if name in models else name
        if several and entry.get("S3DistributionType") == "ShardedByS3Key":
            what = "is ShardedByS3Key: each host has a part of the files, and needs all"
            faults.append(Fault(name, what, "give FullyReplicated, or instance_count 1"))
        if entry.get("TrainingInputMode") == "Pipe":
            in_pipe_mode = True
            faults += _faults_of_pipe(name, entry)
        elif channel in CHANNELS:
            channels[channel] = str(data / name)
            names = entry.get("AttributeNames")  # SageMaker doesn't write it, ``write_job_directory`` does
            if channel in SPLITS and isinstance(names, list):
                attribute_names[channel] = tuple(map(str, names))
        else:
            faults.append(Fault(name, "there is no such channel", f"there are {', '.join(CHANNELS)}"))
    if in_pipe_mode:
        missing = [name for name in SPLITS if name not in entries]
        faults += [Fault(name, "the channel is missing", "give the channels train and validation") for name in missing]
    config = TrainingConfig(
        hyperparameters=hyperparameters,
        output=str(base / "model"),
        data=None if entries else str(data),  # the error for an empty folder says what belongs there
        channels=channels,
        attribute_names=attribute_names,
        model_path=str(base / "model"),
        checkpoints=str(base / "checkpoints"),
        fifos=str(data) if in_pipe_mode else None,
        in_job=True,
        reports=str(base / "output" / "data"),
        tensorboard=str(base / TENSORBOARD),
    )
    return config, faults


def _faults_of_pipe(name: str, entry: Mapping[str, Any]) -> list[Fault]:
    if name not in SPLITS:
        what = "comes in Pipe mode, in which train and validation alone can be read"
        return [Fault(name, what, "send masks with their images, as an augmented manifest, and the rest in File mode")]
    if entry.get("RecordWrapperType") != "RecordIO":
        what = f"comes in Pipe mode with RecordWrapperType {entry.get('RecordWrapperType')}"
        return [Fault(name, what, "give RecordIO (record_wrapping='RecordIO'), which tells where a record ends")]
    return []


def _config_file(base: Path, name: str) -> Path:
    return base / "input" / "config" / f"{name}.json"


def _read_config_file(base: Path, name: str) -> Mapping[str, Any]:
    """One of SageMaker's files. Raises ``UserError`` if it isn't the object that it should be."""
    path = _config_file(base, name)
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        fault = Fault(str(path), f"can't be read: {error}")
        raise UserError("The job's configuration can't be used:", [fault]) from None
    if not isinstance(content, dict):
        fault = Fault(str(path), f"holds {type(content).__name__}, an object is expected")
        raise UserError("The job's configuration can't be used:", [fault])
    return content
