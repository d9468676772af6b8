"""Records in the output of a prediction what is done, so that the next run skips it.

    {"model": "9f2c...", "options": {"accept": "image/png", ...}}
    {"image": "/data/a.jpg", "stamp": "5243-17...", "files": {"a.png": "1201-17..."}}

The first line says how the images after it were made; a run with other settings adds another. Lines are only appended,
and the last line about a file counts. An image is done if its files were made from the same bytes by the same model
with the same options, and are still those that were written, by size and time or by S3's ETag. After a line that can't
be read, because a process died while writing it, entries are ignored up to the next line that names a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker_semseg.jobs.prediction_inputs import InputImage
from sagemaker_semseg.storage import FileInfo, FileSystem

NAME = ".sagemaker-semseg.jsonl"

Settings = dict[str, Any]


@dataclass(frozen=True)
class ProgressEntry:
    """How a file was made. image, image_version: from what; version: the file's own, once it was written."""

    settings: Settings
    image: str
    image_version: str
    version: str


class ProgressLog:
    """The log in an output, and the model and options of this run. Raises what ``output.log`` does."""

    def __init__(self, output: FileSystem, settings: Settings):
        self._settings: Settings = json.loads(json.dumps(settings))
        self._log = output.log(NAME)
        self._last: Settings | None = None
        self._entries: dict[str, ProgressEntry] = {}
        for line in self._log.data.splitlines():
            self._read(_value(line))

    @property
    def versions(self) -> dict[str, str]:
        """Files that any run has written, with their versions."""
        return {name: entry.version for name, entry in self._entries.items()}

    def is_done(self, image: InputImage, files: Mapping[str, FileInfo | None]) -> bool:
        """Whether ``files``, as they are, were made from this image with this run's settings."""
        made = self._settings, image.identity, image.entry.version
        return all(
            entry and self._entries.get(name) == ProgressEntry(*made, entry.version) for name, entry in files.items()
        )

    def add(self, image: InputImage, files: Mapping[str, str]) -> None:
        """Record that an image is done. files: what was written for it, with the versions."""
        if self._last != self._settings:
            self._append(self._settings)
        self._append({"image": image.identity, "stamp": image.entry.version, "files": dict(files)})

    def close(self) -> None:
        self._log.close()

    def _append(self, line: dict[str, Any]) -> None:
        self._log.append(json.dumps(line).encode())
        self._read(line)

    def _read(self, line: Any) -> None:
        match line:
            case {"model": _, "options": _}:
                self._last = line
            case {"image": str(image), "stamp": str(version), "files": dict(files)} if self._last:
                for name, written in files.items():
                    self._entries[name] = ProgressEntry(self._last, image, version, str(written))
            case _:
                self._last = None


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
