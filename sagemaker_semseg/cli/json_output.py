"""Writes the result of a command as JSON, where its flag --json asks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.storage import atomic_write


def write_json(values: Mapping[str, Any], place: str | os.PathLike[str] | None) -> bool:
    """Write the values to a file, or to standard output where ``place`` is "-"; nothing where it is None.

    Returns whether something else may be printed, which would spoil JSON on standard output.
    """
    text = json.dumps(values, indent=1) + "\n"
    if place == "-":
        print(text, end="")
    elif place:
        with atomic_write(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return place != "-"
