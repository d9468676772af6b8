"""This machine as the place where an estimator works: starts and finds jobs and endpoints.

Whatever keeps a job from starting is found beforehand, and objects in S3 are fetched into the cache, before the job's
process starts.
"""

from __future__ import annotations

import secrets
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sagemaker_semseg.container.job_directory import write_job_directory
from sagemaker_semseg.container.launcher import TRAINING
from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.sdk.inputs import MANIFEST_FILE
from sagemaker_semseg.sdk.local import validation
from sagemaker_semseg.sdk.local.endpoints import PORT_FILE, LocalEndpoint
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore, Kind, now
from sagemaker_semseg.sdk.local.jobs import LocalJob, start
from sagemaker_semseg.sdk.local.manifest_file import link_objects, read_manifest_file
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.sdk.local.spec_json import to_values
from sagemaker_semseg.sdk.local.study import NAME as STUDY_FILE
from sagemaker_semseg.sdk.local.tuning import LocalTuning, differences, has_result
from sagemaker_semseg.sdk.specs import (
    ENDED,
    Channel,
    EndpointSpec,
    ModelSpec,
    TrainingSpec,
    TransformSpec,
    TuningSpec,
)
from sagemaker_semseg.sdk.tensorboard_output import tensorboard_place
from sagemaker_semseg.storage import copy_files, filesystem_at, in_s3, is_s3, local_path
from sagemaker_semseg.storage.s3_cache import S3Cache

_PYTHON = (sys.executable, "-m")


class LocalBackend:
    """Starts jobs and endpoints as processes. command: another program than the training's, for tests."""

    def __init__(self, command: Sequence[str] = TRAINING):
        self._command = list(command)

    def faults(self, spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec) -> list[Fault]:
        return validation.faults(spec)

    def train(self, spec: TrainingSpec, *, attached: bool) -> LocalJob:
        def prepare(folder: Path) -> Mapping[str, Any]:
            locations = {channel.name: _fetch_channel(channel, folder) for channel in spec.channels}
            manifests = {c.name: str(locations.pop(c.name)) for c in spec.channels if c.is_piped(spec.input_mode)}
            kept, board = spec.checkpoint_s3_uri, tensorboard_place(spec)
            write_job_directory(
                folder / "ml",
                spec.hyperparameters,
                {channel.name: _channel_entry(channel, spec.input_mode) for channel in spec.channels},
                locations,
                instance_type=spec.instance_type,
                instance_count=spec.instance_count,
                checkpoints=local_path(kept) if kept and not in_s3(kept) else None,
                tensorboard=local_path(board) if board and not in_s3(board) else None,
            )
            command = self._command
            if spec.instance_count > 1:
                command = [*_PYTHON, "sagemaker_semseg.container.launch_hosts", str(spec.instance_count), *command]
            more = {"command": command, "place": _output_place(spec, folder), "manifests": manifests}
            if kept and in_s3(kept):
                copy_files(filesystem_at(kept), filesystem_at(str(folder / "ml" / "checkpoints")))
                more["checkpoints"] = kept
            if board and in_s3(board):
                more["tensorboard"] = board
            return more

        for ignored in validation.ignored_arguments(spec):
            warnings.warn(ignored, stacklevel=3)  # the line of the notebook that calls fit
        for note in validation.notes(spec):
            print(f"note: {note}", file=sys.stderr, flush=True)
        base = JobStore("training").folder(spec.name) / "ml"
        variables = {**spec.environment, "SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": spec.name}
        if spec.instance_type == "local":
            variables["CUDA_VISIBLE_DEVICES"] = "-1"
        return _start("training", spec, prepare, variables, attached=attached)

    def training_job(self, name: str) -> LocalJob:
        return _find("training", name)

    def create_model(self, spec: ModelSpec) -> None:
        """Do nothing: a model is its artifact."""

    def delete_model(self, name: str) -> None:
        """Do nothing: the artifact stays."""

    def deploy(self, spec: EndpointSpec, *, attached: bool) -> LocalEndpoint:
        def prepare(folder: Path) -> Mapping[str, Any]:
            model = str(fetch(spec.model.model_data))
            return {"command": [*_PYTHON, "sagemaker_semseg.container.serve", model, str(folder / PORT_FILE)]}

        return LocalEndpoint(_start("endpoints", spec, prepare, spec.model.environment, attached=attached))

    def endpoint(self, name: str) -> LocalEndpoint:
        return LocalEndpoint(_find("endpoints", name))

    def transform(self, spec: TransformSpec, *, attached: bool) -> LocalJob:
        output = spec.output_path or str(JobStore("transforms").folder(spec.name) / "output")
        model = replace(spec.model, model_data=str(fetch(spec.model.model_data)))
        payload = str(spec.max_payload or 0)
        variables = {**spec.environment, "SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": payload}
        command = [*_PYTHON, "sagemaker_semseg.sdk.local.transform", spec.name]
        spec = replace(spec, output_path=output, model=model)
        return _start("transforms", spec, lambda _: {"command": command}, variables, attached=attached, output=output)

    def transform_job(self, name: str) -> LocalJob:
        return _find("transforms", name)

    def tune(self, spec: TuningSpec, *, attached: bool) -> LocalTuning:
        for ignored in validation.ignored_arguments(spec):
            warnings.warn(ignored, stacklevel=3)
        store = JobStore("tuning")
        earlier = store.read(spec.name)
        if spec.random_seed is None:
            seed = earlier.spec.get("random_seed") if earlier else secrets.randbelow(2**31)
            spec = replace(spec, random_seed=seed)
        more = {"command": [*_PYTHON, "sagemaker_semseg.sdk.local.tuning_runner", spec.name], "training": self._command}
        variables = spec.training.environment
        if earlier is None:
            return LocalTuning(_start("tuning", spec, lambda _: more, variables, attached=attached))
        record = _record(spec, more)
        restarts = _check_resumable(earlier, record)
        if restarts:
            (store.folder(spec.name) / STUDY_FILE).unlink(missing_ok=True)
        store.write(record)
        for left in ("log", "ml/output/failure"):
            (store.folder(spec.name) / left).unlink(missing_ok=True)
        try:
            return LocalTuning(start("tuning", spec.name, attached=attached, variables=variables))
        except BaseException:
            store.write(earlier)
            raise

    def tuning_job(self, name: str) -> LocalTuning:
        return LocalTuning(_find("tuning", name))


def fetch(place: str) -> Path:
    """Return where a path, file:// or s3:// is on this machine, absolute. Objects in S3 are fetched into the cache."""
    if not is_s3(place):
        return local_path(place).absolute()
    with progress_bar(f"fetching {place}") as update:
        return S3Cache(data_cache()).at(place, update)


def _fetch_channel(channel: Channel, folder: Path) -> Path:
    """Return where a channel is on this machine. folder: the job's, for links to the objects of a ``ManifestFile``."""
    place = fetch(channel.place)
    if channel.data_type != MANIFEST_FILE:
        return place
    objects = folder / "objects" / channel.name
    with progress_bar(f"fetching {channel.place}") as update:
        link_objects(read_manifest_file(place, channel.place), objects, update)
    return objects


def _start(
    kind: Kind,
    spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec,
    prepare: Callable[[Path], Mapping[str, Any]],
    variables: Mapping[str, str],
    *,
    attached: bool,
    output: str | None = None,
) -> LocalJob:
    """Record a job, prepare its folder and start it; nothing stays of a job that can't be started.

    prepare: makes the record's ``more``, the command among it.
    """
    store = JobStore(kind)
    folder = store.create(_record(spec, {}, output))
    try:
        store.update(spec.name, more=prepare(folder))
        return start(kind, spec.name, attached=attached, variables=variables)
    except BaseException:
        store.remove(spec.name)
        raise


def _record(
    spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec, more: Mapping[str, Any], output: str | None = None
) -> JobRecord:
    """The record of a job that is about to start. Until its supervisor takes over, its process is this one."""
    values = to_values(spec)
    return JobRecord(spec.name, "InProgress", now(), Process.this(), output=output, spec=values, more=more)


def _channel_entry(channel: Channel, mode: str) -> dict[str, Any]:
    """A channel in inputdataconfig.json. SageMaker doesn't write AttributeNames there."""
    entry: dict[str, Any] = {
        "TrainingInputMode": channel.input_mode or mode,
        "S3DistributionType": channel.distribution,
        "RecordWrapperType": channel.record_wrapping or "None",
    }
    if channel.content_type:
        entry["ContentType"] = channel.content_type
    if channel.attribute_names:
        entry["AttributeNames"] = list(channel.attribute_names)
    return entry


def _output_place(spec: TrainingSpec, folder: Path) -> str:
    """Where a training's output belongs, as SageMaker arranges it: ``OUTPUT_PATH/NAME/output``."""
    if spec.output_path is None:
        return str(folder / "output")
    if is_s3(spec.output_path):
        return f"{spec.output_path.rstrip('/')}/{spec.name}/output"
    return str(local_path(spec.output_path).absolute() / spec.name / "output")


def _check_resumable(earlier: JobRecord, record: JobRecord) -> bool:
    """Return whether a tuning starts over with other settings, as one may of which every trial has failed.

    Raises ``UserError`` if it can't continue as ``record`` says.
    """
    if earlier.status not in ENDED:
        remedy = f"Tuner.attach({earlier.name!r}) finds it"
        raise UserError("The tuning can't be started:", [Fault(earlier.name, "is running", remedy)])
    faults = differences(earlier.spec, record.spec)
    if faults and earlier.status == "Failed" and not has_result(earlier):
        return True
    if faults:
        raise UserError(f"The tuning {earlier.name} is there and can't continue with other settings:", faults)
    return False


def _find(kind: Kind, name: str) -> LocalJob:
    job = LocalJob(kind, name)
    job.store.get(name)
    return job
