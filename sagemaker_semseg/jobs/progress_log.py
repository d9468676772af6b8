"""What earlier runs of ``predict`` have left in an output: the lines of its journal come in, which images are done goes
out, and lines for the next run go in.

    {"model": "9f2c...", "options": {"accept": "image/png", ...}}
    {"image": "/data/a.jpg", "stamp": "5243-17...", "files": {"a.png": "1201-17..."}}

The first says how the images after it were made; a run that makes them otherwise adds another. Nothing is ever changed
in it, and the last line about a file is the one that counts. An image is done if its files were made from the same
bytes by the same model with the same options, and are still those that were written, by size and time or by S3's ETag.
After a line that can't be read, because a process died over it, nothing is believed until the next that names a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker_semseg.jobs.prediction_inputs import Image
from sagemaker_semseg.storage import FileInfo, FileSystem

NAME = ".sagemaker-semseg.jsonl"

Settings = dict[str, Any]


@dataclass(frozen=True)
class ProgressEntry:
    """How a file was made. image, image_stamp: from what; stamp: the file's own, once it was written."""

    settings: Settings
    image: str
    image_stamp: str
    stamp: str


class Journal:
    """settings: the model and the options of this run, as JSON has them. Raises what ``output.log`` does."""

    def __init__(self, output: FileSystem, settings: Settings):
        self._settings: Settings = json.loads(json.dumps(settings))
        self._log = output.log(NAME)
        self._last: Settings | None = None
        self._records: dict[str, ProgressEntry] = {}
        for line in self._log.data.splitlines():
            self._take(_value(line))

    @property
    def stamps(self) -> dict[str, str]:
        """The files that any run has written, and their stamps."""
        return {name: record.stamp for name, record in self._records.items()}

    def done(self, image: Image, files: Mapping[str, FileInfo | None]) -> bool:
        """Whether ``files``, as they are, were made from this image in this run's way."""
        made = self._settings, image.identity, image.entry.version
        return all(
            entry and self._records.get(name) == ProgressEntry(*made, entry.version) for name, entry in files.items()
        )

    def add(self, image: Image, files: Mapping[str, str]) -> None:
        """An image is done. files: what was written for it, and the stamps."""
        if self._last != self._settings:
            self._append(self._settings)
        self._append({"image": image.identity, "stamp": image.entry.version, "files": dict(files)})

    def close(self) -> None:
        self._log.close()

    def _append(self, line: dict[str, Any]) -> None:
        self._log.append(json.dumps(line).encode())
        self._take(line)

    def _take(self, line: Any) -> None:
        match line:
            case {"model": _, "options": _}:
                self._last = line
            case {"image": str(image), "stamp": str(stamp), "files": dict(files)} if self._last:
                for name, written in files.items():
                    self._records[name] = ProgressEntry(self._last, image, stamp, str(written))
            case _:
                self._last = None


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
