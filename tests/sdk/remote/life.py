"""The whole life of remote jobs against moto, as one function that several tests run, and what it asked of AWS."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import boto3

from sagemaker_semseg.sdk.parameters import ContinuousParameter
from sagemaker_semseg.sdk.remote import RemoteBackend
from sagemaker_semseg.sdk.specs import Channel, TuningSpec

NAMES = ("train", "train_annotation", "validation", "validation_annotation")


def recorded(backend: RemoteBackend) -> set[tuple[str, str]]:
    """Grows with every call of the backend: service and operation."""
    calls: set[tuple[str, str]] = set()

    def note(model, **more):
        calls.add((model.service_model.signing_name, model.name))

    backend.account.session.events.register("before-call", note)
    return calls


def make_role() -> str:
    """The role that jobs run as; its name."""
    boto3.client("iam").create_role(RoleName="SageMakerRole", Path="/service/", AssumeRolePolicyDocument="{}")
    return "SageMakerRole"


def data(folder):
    """Four channels on this machine."""
    for name in NAMES:
        (folder / name / "north").mkdir(parents=True)
        for file in ("a.png", "north/b.png"):
            (folder / name / file).write_bytes(f"{name} {file}".encode())
    return [Channel(name, str(folder / name)) for name in NAMES]


def log(group: str, stream: str, *messages: str) -> None:
    client = boto3.client("logs")
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)  # what is older than two weeks is not taken
    events = [{"timestamp": now + i, "message": text} for i, text in enumerate(messages)]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def artifact(place: str) -> None:
    """What a job would have left."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    boto3.client("s3").upload_fileobj(io.BytesIO(b"the model"), bucket, key)


def live(backend: RemoteBackend, folder, training, endpoint, transform):
    """Train on local data, follow it, fetch the model, deploy it, transform, tune, delete everything."""
    role = make_role()
    spec = replace(training, channels=data(folder / "in"), role=role, output_path=str(folder / "out"))
    assert backend.faults(spec) == []
    job = backend.train(spec, attached=True)
    output = job.state().output
    artifact(output)
    log("/aws/sagemaker/TrainingJobs", f"{job.name}/algo-1-1790000000", "#quality_metric: mIOU", "AKIATHEKEYTHEKEYTHE1")
    state = job.wait(logs=True)
    job.stop()  # it has ended: nothing is asked

    model = replace(endpoint.model, model_data=output, role=role)
    started = backend.deploy(replace(endpoint, model=model), attached=True)
    started.wait()
    predictor = backend.endpoint(started.name)
    predictor.delete()
    predictor.delete_model()

    images = folder / "in" / "train"
    batch = replace(transform, data=str(images), output_path=None, model=model)
    done = backend.transform(batch, attached=True)
    done.wait(logs=False)
    backend.delete_model(model.name)

    tuning = backend.tune(
        TuningSpec("semseg-tuning", spec, {"learning_rate": ContinuousParameter(1e-4, 1e-1)}, max_jobs=2), attached=True
    )
    return state, done, tuning
