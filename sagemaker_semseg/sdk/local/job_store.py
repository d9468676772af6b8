"""The records of what was started on this machine: training jobs, transforms, tunings and endpoints.

    STATE/training/NAME/    record.json   what it is, its status, which process runs it
                            log           what it has printed
                            ml/           SageMaker's folder, /opt/ml in a container
    STATE/transforms/NAME/  record.json, log
    STATE/tuning/NAME/      record.json, log, study.jsonl; its training jobs are in STATE/training
    STATE/endpoints/NAME/   record.json, log, port

STATE is ``environment.state_folder()``. A record is replaced whole, so that any process may read it at any time. It
holds no variables of the environment, which may be secrets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from sagemaker_semseg.environment import state_folder
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.storage import atomic_write

Kind = Literal["training", "transforms", "tuning", "endpoints"]

KINDS: dict[Kind, str] = {
    "training": "training job",
    "transforms": "transform job",
    "tuning": "tuning job",
    "endpoints": "endpoint",
}
"""The folders, and the word for what is in each."""

MAX_RECORD_BYTES = 2**24

_NAME = re.compile("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_RUNNING = ("InProgress", "Stopping", "Creating", "InService")


@dataclass(frozen=True)
class JobRecord:
    """One job or endpoint.

    status: as it was last written; ``JobStore.read`` corrects it. process: its supervisor, or the process that starts
    it. spec: how it was started. more: its command, and what belongs to its kind alone.
    """

    name: str
    status: str
    created: str
    process: Process | None = None
    started: str | None = None
    ended: str | None = None
    failure: str = ""
    output: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        values = {name.name: getattr(self, name.name) for name in dataclasses.fields(self)}
        values["process"] = self.process.to_dict() if self.process else None
        return json.dumps(values, indent=1, default=str).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> JobRecord:
        """Read a record. Raises ``ValueError`` for anything else."""
        values = json.loads(data)
        match values:
            case {"name": str(), "status": str(), "created": str(), "spec": dict(), "more": dict()}:
                names = {name.name for name in dataclasses.fields(cls)}
                known = {name: value for name, value in values.items() if name in names}
                return cls(**{**known, "process": Process.from_dict(values.get("process"))})
        raise ValueError("no record")


class JobStore:
    """The records of one kind. root: where their folders are."""

    def __init__(self, kind: Kind):
        self.kind, self.what = kind, KINDS[kind]
        self.root = state_folder() / kind

    def folder(self, name: str) -> Path:
        """The folder of a name. Raises ``UserError`` for what can't be a name."""
        if not _NAME.fullmatch(name):
            what = "1 to 63 letters, digits and hyphens are expected, without a hyphen at an end"
            raise UserError(f"{name[:100]!r} can't be the name of a {self.what}: {what}.")
        return self.root / name

    def create(self, record: JobRecord) -> Path:
        """Write a new record; returns its folder. Raises ``UserError`` if the name is taken."""
        folder = self.folder(record.name)
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            other = self.read(record.name)
            state = f", {other.status}" if other else ""
            delete = f"sagemaker-semseg jobs delete {record.name}"
            fault = Fault(record.name, f"is the name of another one{state}", f"give another name, or: {delete}")
            raise UserError(f"The {self.what} can't be started:", [fault]) from None
        self.write(record)
        return folder

    def write(self, record: JobRecord) -> None:
        with atomic_write(self.folder(record.name) / "record.json") as temporary:
            temporary.write_bytes(record.to_json())

    def update(self, name: str, **changes: Any) -> JobRecord:
        """Change a record. Only for the process that supervises the job."""
        record = self._load(name)
        if record is None:
            raise UserError(f"{self.folder(name) / 'record.json'} is gone or damaged.")
        record = dataclasses.replace(record, **changes)
        self.write(record)
        return record

    def read(self, name: str) -> JobRecord | None:
        """The record as it is true now: a job whose process is gone has failed, whatever its record says."""
        record = self._load(name)
        if record is None or record.status not in _RUNNING or (record.process and record.process.alive):
            return record
        record = self._load(name) or record  # it may have ended since it was read
        if record.status not in _RUNNING:
            return record
        pid = f" {record.process.pid}" if record.process else ""
        failure = f"its process{pid} is gone without a message: it was killed, or the machine was"
        return dataclasses.replace(record, status="Failed", failure=record.failure or failure)

    def get(self, name: str) -> JobRecord:
        """Raises ``UserError`` if there is none of this name."""
        record = self.read(name)
        if record is None:
            names = sorted((other.name for other in self.all()), reverse=True)
            there = f"there are {', '.join(names[:5])}" if names else "there is none at all"
            raise UserError(f"This machine knows no {self.what} called {name[:100]} ({there}).")
        return record

    def all(self) -> list[JobRecord]:
        """All records, the newest first."""
        try:
            names = [path.name for path in self.root.iterdir() if _NAME.fullmatch(path.name)]
        except FileNotFoundError:
            return []
        records = [record for name in names if (record := self.read(name))]
        return sorted(records, key=lambda record: record.created, reverse=True)

    def remove(self, name: str) -> None:
        """Delete the folder of a job that doesn't run any more."""
        folder = self.folder(name)
        with contextlib.suppress(FileNotFoundError):
            (folder / "record.json").unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def _load(self, name: str) -> JobRecord | None:
        try:
            with open(self.folder(name) / "record.json", "rb") as file:
                return JobRecord.from_json(file.read(MAX_RECORD_BYTES))
        except (OSError, ValueError, TypeError, RecursionError):
            return None


def now() -> str:
    """The time, in a record's form."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
