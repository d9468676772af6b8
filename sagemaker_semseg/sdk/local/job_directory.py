"""SageMaker's tree for a training job: a specification and where its data lies come in, a folder like /opt/ml goes out.

    input/config/    hyperparameters.json, inputdataconfig.json, resourceconfig.json, as SageMaker writes them
    input/data/      one folder for each channel: links, so that nothing is copied; FIFOs in Pipe mode (``piped``)
    model/, output/data/, checkpoints/    what the training writes
    output/failure   why it has failed, from the training itself

``LocalBackend`` makes one for every job and ``supervisor`` takes the results out of it.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagemaker_semseg.sdk.specs import Channel, TrainingSpec
from sagemaker_semseg.storage import atomic_write

FAILURE_CHARACTERS = 1024
"""Of output/failure that SageMaker shows."""

HOST = "algo-1"


def lay_out(base: Path, spec: TrainingSpec, places: Mapping[str, Path]) -> None:
    """Make the tree. places: a folder or a file for each channel."""
    for folder in ("input/config", "input/data", "model", "output/data"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    checkpoints = base / "checkpoints"
    if spec.checkpoint_s3_uri:  # a folder here, which outlives the job
        kept = Path(spec.checkpoint_s3_uri.removeprefix("file://")).expanduser().absolute()
        kept.mkdir(parents=True, exist_ok=True)
        checkpoints.symlink_to(kept, target_is_directory=True)
    else:
        checkpoints.mkdir()
    hosts = {"current_host": HOST, "hosts": [HOST], "network_interface_name": "lo"}
    _write(base, "hyperparameters", dict(spec.hyperparameters))
    _write(base, "inputdataconfig", {channel.name: _config(channel, spec.input_mode) for channel in spec.channels})
    _write(base, "resourceconfig", {**hosts, "current_instance_type": spec.instance_type})
    for channel in (channel for channel in spec.channels if not channel.is_piped(spec.input_mode)):
        _link(base / "input" / "data" / channel.name, places[channel.name].absolute())


def failure_of(base: Path) -> str:
    """What the training says about its failure, as much of it as SageMaker shows; empty if it says nothing."""
    try:
        with open(base / "output" / "failure", encoding="utf-8", errors="replace") as file:
            return file.read(FAILURE_CHARACTERS).strip()
    except OSError:
        return ""


def pack(folder: Path, archive: Path) -> bool:
    """Write what lies in ``folder`` as a tar.gz; False if nothing does. Equal files give equal bytes."""
    found = folder.iterdir() if folder.is_dir() else ()
    names = sorted(path.name for path in found if not path.name.startswith("."))  # not those in the making
    if not names:
        return False
    archive.parent.mkdir(parents=True, exist_ok=True)
    # not compressed, as artifacts are not: weights are noise
    with atomic_write(archive) as temporary, tarfile.open(temporary, "w:gz", compresslevel=0) as tar:
        for name in names:
            tar.add(folder / name, arcname=name, filter=_anonymous)
    return True


def _config(channel: Channel, mode: str) -> dict[str, Any]:
    """A channel in inputdataconfig.json. SageMaker doesn't deliver AttributeNames; this tree does."""
    config: dict[str, Any] = {
        "TrainingInputMode": channel.input_mode or mode,
        "S3DistributionType": channel.distribution,
        "RecordWrapperType": channel.record_wrapping or "None",
    }
    if channel.content_type:
        config["ContentType"] = channel.content_type
    if channel.attribute_names:
        config["AttributeNames"] = list(channel.attribute_names)
    return config


def _write(base: Path, name: str, content: object) -> None:
    path = base / "input" / "config" / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _link(channel: Path, place: Path) -> None:
    """A channel's folder. One object alone lies in it under its name, as SageMaker puts it there."""
    if place.is_dir():
        channel.symlink_to(place, target_is_directory=True)
    else:
        channel.mkdir()
        (channel / place.name).symlink_to(place)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Regular files and folders alone, and nobody's."""
    if not (info.isreg() or info.isdir()):
        return None
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() else 0o644
    return info
