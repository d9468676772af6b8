"""This machine as the place where an estimator works: specifications come in, jobs and endpoints are started or found.

What would keep a job from starting is looked for beforehand (``checks``); what lies in S3 is fetched into the cache
before the job's process starts.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.local import job_directory, outputs, validation
from sagemaker_semseg.sdk.local.endpoints import LocalEndpoint
from sagemaker_semseg.sdk.local.inputs import here
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore, Kind, now
from sagemaker_semseg.sdk.local.jobs import LocalJob, start
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.sdk.local.specs import to_values
from sagemaker_semseg.sdk.local.tuning import LocalTuning, differences
from sagemaker_semseg.sdk.specs import ENDED, EndpointSpec, ModelSpec, TrainingSpec, TransformSpec, TuningSpec

_PROGRAM = (sys.executable, "-m", "sagemaker_semseg")


class LocalBackend:
    """command: another program than the training entry; for tests."""

    def __init__(self, command: Sequence[str] = (*_PROGRAM, "train")):
        self._command = tuple(command)

    def faults(self, spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec) -> list[Fault]:
        return validation.faults(spec)

    def train(self, spec: TrainingSpec, *, keep: bool) -> LocalJob:
        kind: Kind = "training"
        registry = JobStore(kind)
        place = outputs.place_of(spec.output_path, spec.name, registry.folder(spec.name))
        record = _record(spec, command=list(self._command), place=place)
        folder = registry.create(record)
        try:
            places = {channel.name: here(channel.place) for channel in spec.channels}
            record = replace(record, more={**record.more, "places": {name: str(at) for name, at in places.items()}})
            registry.write(record)
            job_directory.lay_out(folder / "ml", spec, places)
            return start(kind, record, keep=keep, variables=dict(spec.environment))
        except BaseException:
            registry.remove(spec.name)
            raise

    def training_job(self, name: str) -> LocalJob:
        return _found("training", name)

    def create_model(self, spec: ModelSpec) -> None:
        """A model is its artifact; there is nothing to be made known."""

    def delete_model(self, name: str) -> None:
        """The artifact stays."""

    def deploy(self, spec: EndpointSpec, *, keep: bool) -> LocalEndpoint:
        kind: Kind = "endpoints"
        model = here(spec.model.model_data)
        command = [*_PROGRAM, "serve", "--model", str(model), "--host", "127.0.0.1", "--port", "0"]
        record = _record(spec, command=command)
        registry = JobStore(kind)
        registry.create(record)
        try:
            return LocalEndpoint(start(kind, record, keep=keep, variables=dict(spec.model.environment)))
        except BaseException:
            registry.remove(spec.name)
            raise

    def endpoint(self, name: str) -> LocalEndpoint:
        return LocalEndpoint(_found("endpoints", name))

    def transform(self, spec: TransformSpec, *, keep: bool) -> LocalJob:
        kind: Kind = "transforms"
        registry = JobStore(kind)
        output = spec.output_path or str(registry.folder(spec.name) / "output")
        model = replace(spec.model, model_data=str(here(spec.model.model_data)))
        spec = replace(spec, output_path=output, model=model)
        record = _record(spec, command=[sys.executable, "-m", "sagemaker_semseg.sdk.local.transform", spec.name])
        registry.create(replace(record, output=output))
        try:
            return start(kind, record, keep=keep, variables=dict(spec.environment))
        except BaseException:
            registry.remove(spec.name)
            raise

    def transform_job(self, name: str) -> LocalJob:
        return _found("transforms", name)

    def tune(self, spec: TuningSpec, *, keep: bool) -> LocalTuning:
        kind: Kind = "tuning"
        registry = JobStore(kind)
        earlier = registry.read(spec.name)
        if spec.random_seed is None:
            drawn = earlier.spec.get("random_seed") if earlier else secrets.randbelow(2**31)
            spec = replace(spec, random_seed=drawn)
        program = [sys.executable, "-m", "sagemaker_semseg.sdk.local.tuning_runner", spec.name]
        record = _record(spec, command=program, training=list(self._command))
        if earlier:
            _may_go_on(earlier, record)
            registry.write(record)
            for left in ("log", "ml/output/failure"):
                (registry.folder(spec.name) / left).unlink(missing_ok=True)
        else:
            registry.create(record)
        try:
            return LocalTuning(start(kind, record, keep=keep, variables=dict(spec.training.environment)))
        except BaseException:
            if earlier:
                registry.write(earlier)
            else:
                registry.remove(spec.name)
            raise

    def tuning_job(self, name: str) -> LocalTuning:
        return LocalTuning(_found("tuning", name))


def _record(spec: TrainingSpec | EndpointSpec | TransformSpec | TuningSpec, **more: object) -> JobRecord:
    """Of something that is about to start. Until its supervisor has taken over, this process sees to it."""
    return JobRecord(spec.name, "InProgress", now(), Process.this(), spec=to_values(spec), more=more)


def _may_go_on(earlier: JobRecord, record: JobRecord) -> None:
    """Raises ``UserError`` if a tuning can't go on as ``record`` says."""
    if earlier.status not in ENDED:
        remedy = f"Tuner.attach({earlier.name!r}) finds it"
        raise UserError("The tuning can't be started:", [Fault(earlier.name, "is running", remedy)])
    if faults := differences(earlier.spec, record.spec):
        raise UserError(f"The tuning {earlier.name} is there and can't go on with other settings:", faults)


def _found(kind: Kind, name: str) -> LocalJob:
    job = LocalJob(kind, name)
    job.registry.get(name)
    return job
