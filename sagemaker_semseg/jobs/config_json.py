"""Writes and reads the configuration of a job as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from sagemaker_semseg.errors import UserError

Config = TypeVar("Config")


def to_json(config: Any) -> str:
    """Return a configuration (``TrainingConfig`` or another frozen dataclass of plain values) as JSON."""
    return json.dumps(dataclasses.asdict(config), indent=1) + "\n"


def from_json(kind: type[Config], text: str | bytes) -> Config:
    """Return the configuration of class ``kind`` that ``to_json`` wrote. Raises UserError for any other text."""
    try:
        values = json.loads(text)
        return kind(**values)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"This is no {kind.__name__}: {error}") from None
