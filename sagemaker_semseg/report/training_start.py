"""What is known when a training starts, as ``training.json`` beside its report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.storage import atomic_write

__all__ = ["NAME", "TrainingStart"]

NAME: Final = "training.json"

_FORMAT: Final = 1
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class TrainingStart:
    """How a training was started, and what it has taken so far.

    Attributes:
        started: The time in UTC, ISO 8601.
        seconds: From then to the last epoch's end.
        peak_memory: Bytes of the process at most; 0 if they aren't known.
        class_names: From label 0 on, or none.
        facts: A title and a text each: data, network, device.
        notes: What is worth knowing of the data and the initial weights.
    """

    started: str = ""
    seconds: float = 0.0
    peak_memory: int = 0
    class_names: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write ``training.json``. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / NAME) as temporary:
            temporary.write_text(json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> TrainingStart | None:
        """Read ``training.json``; None if there is none. Raises DataError for another or a damaged file."""
        path = folder / NAME
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unusable(path, f"can't be read: {error.strerror or error}") from error
        if len(data) > _MAX_BYTES:
            raise _unusable(path, f"has more than {_MAX_BYTES} bytes")
        try:
            return cls._parse(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise _unusable(path, f"is damaged, or of another program: {error}") from None

    @classmethod
    def _parse(cls, values: Any) -> TrainingStart:
        match values:
            case {
                "format": 1,
                "started": str(started),
                "seconds": int() | float() as seconds,
                "peak_memory": int(peak_memory),
                "class_names": list(names),
                "facts": list(facts),
                "notes": list(notes),
            }:
                if all(isinstance(text, str) for text in (*names, *notes)) and all(map(_is_fact, facts)):
                    pairs = tuple((title, text) for title, text in facts)
                    return cls(started, float(seconds), peak_memory, tuple(names), pairs, tuple(notes))
        raise ValueError("its keys or values are not those of format 1")


def _is_fact(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)


def _unusable(path: Path, what: str) -> DataError:
    return DataError("the report can't be written:", [Fault(str(path), what, "remove the file")])
