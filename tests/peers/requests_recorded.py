"""What AWS's SDK and this package send to SageMaker for the same job, recorded, compared, and checked with a list of
differences that are wanted. ``requests_2.py`` and ``requests_3.py`` are the jobs; what both ask for is here.

moto answers in this process: nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
import warnings
from pathlib import Path

_STAMP = re.compile(r"-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-\d{3}|-\d{14}")
ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/semseg:0.1.0"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234"
FOUR = {
    name: f"s3://images/set/{name}" for name in ("train", "train_annotation", "validation", "validation_annotation")
}
HYPERPARAMETERS = {
    "num_classes": 21, "use_pretrained_model": True, "learning_rate": 0.0001, "algorithm": "fcn", "epochs": "10",
}  # fmt: skip
PLAIN = {
    "image_uri": IMAGE, "role": ROLE, "instance_count": 1, "instance_type": "ml.g5.xlarge",
    "output_path": "s3://images/out",
}  # fmt: skip
TAGS = [{"Key": "team", "Value": "streets"}]
TRANSFORMER = {
    "strategy": "SingleRecord", "assemble_with": "None", "output_path": "s3://images/masks", "output_kms_key": KEY,
    "accept": "image/png", "env": {"A": "b"}, "max_concurrent_transforms": 2, "max_payload": 10, "tags": TAGS,
    "volume_kms_key": KEY,
}  # fmt: skip
TRANSFORM = {
    "content_type": "image/jpeg", "split_type": "None", "wait": False,
    "model_client_config": {"InvocationsMaxRetries": 1},
}  # fmt: skip
TUNING = {"max_jobs": 20, "max_parallel_jobs": 4, "early_stopping_type": "Auto", "random_seed": 1}


def ranges(continuous, integer, categorical) -> dict:
    """The ranges of a tuning. The arguments are an SDK's classes."""
    return {
        "learning_rate": continuous(1e-4, 1e-1, "Logarithmic"),
        "mini_batch_size": integer(4, 32),
        "optimizer": categorical(["sgd", "adam"]),
    }


def deployments(serverless, asynchronous, capture) -> dict[str, dict]:
    """Arguments of ``deploy`` for each kind of endpoint. The arguments are an SDK's classes."""
    machine = {"initial_instance_count": 1, "instance_type": "ml.c5.xlarge"}
    return {
        "a real-time endpoint": machine,
        "a real-time endpoint with everything": {
            "initial_instance_count": 2, "instance_type": "ml.c5.xlarge", "kms_key": KEY, "volume_size": 64,
            "model_data_download_timeout": 600, "container_startup_health_check_timeout": 300, "tags": TAGS,
        },
        "a serverless endpoint": {"serverless_inference_config": serverless(4096, 2)},
        "an asynchronous endpoint": {
            **machine,
            "async_inference_config": asynchronous("s3://images/a", 4, KEY, failure_path="s3://images/f"),
        },
        "capture of data": {**machine, "data_capture_config": capture(True, 50, "s3://images/d", KEY)},
    }  # fmt: skip


def prepare() -> None:
    """Before anything of AWS is imported: invented credentials, no configuration of the user's, no telemetry."""
    folder = Path(tempfile.mkdtemp())
    settings = folder / "config.yaml"
    settings.write_text("SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n")
    for name in [name for name in os.environ if name.startswith(("AWS_", "SAGEMAKER_"))]:
        del os.environ[name]
    os.environ.update({
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": str(folder / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(settings), "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(settings),
        "AWS_EC2_METADATA_DISABLED": "true", "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
    })  # fmt: skip
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # both SDKs tell a lot


class Recorder:
    """The requests of Create* operations that the clients of a boto3 session send. Made before any client is."""

    def __init__(self, session):
        self._sent: list[tuple[str, dict]] = []
        session.events.register("provide-client-params.sagemaker.*", self._note)

    @contextlib.contextmanager
    def recording(self):
        """What is sent meanwhile."""
        self._sent = sent = []
        yield sent
        self._sent = []

    def _note(self, params, model, **more):
        if model.name.startswith("Create"):
            self._sent.append((model.name, json.loads(json.dumps(params))))


def differences(theirs: list, ours: list) -> dict[str, tuple]:
    """Path -> (theirs, ours). The order of channels, metrics and actions says nothing."""
    found: dict[str, tuple] = {}
    first, second = ({name: _plain(request) for name, request in sent} for sent in (theirs, ours))
    for action in sorted(first.keys() | second.keys()):
        _compare(first.get(action), second.get(action), action, found)
    return found


def report(package: str, cases: dict[str, dict[str, tuple]], wanted: dict[str, str]) -> int:
    """Print every difference with its reason; 1 if one isn't wanted, or a wanted one isn't there any more."""
    seen, unwanted = set(), 0
    for case, found in cases.items():
        print(f"{package}, {case}: " + ("the same" if not found else f"{len(found)} differences"))
        for path, (theirs, ours) in found.items():
            reason = wanted.get(path)
            seen.add(path)
            unwanted += reason is None
            print(f"  {path}: {_short(theirs)} -> {_short(ours)}  [{reason or 'NOT WANTED'}]")
    gone = sorted(wanted.keys() - seen)
    if gone:
        print(f"listed as wanted, and not there any more: {gone}")
    print(f"{len(cases)} jobs, {len(seen)} wanted differences" if not (unwanted or gone) else "DIFFERENT")
    return 1 if unwanted or gone else 0


def _compare(theirs, ours, path, found) -> None:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            _compare(theirs.get(name), ours.get(name), f"{path}.{name}", found)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for one, other in zip(theirs, ours, strict=True):
            _compare(one, other, f"{path}[]", found)
    elif theirs != ours:
        found[path] = (theirs, ours)


def _plain(value):
    """Without stamps of the time in names, and with lists of named things in the order of their names."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        plain = [_plain(item) for item in value]
        return sorted(plain, key=_name) if plain and all(map(_name, plain)) else plain
    return _STAMP.sub("-STAMP", value) if isinstance(value, str) else value


def _name(item) -> str:
    if not isinstance(item, dict):
        return ""
    return next((item[key] for key in ("ChannelName", "Name", "Key") if key in item), "")


def _short(value) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 90 else text[:87] + "..."
