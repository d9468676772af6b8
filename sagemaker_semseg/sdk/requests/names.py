"""SageMaker's rules for names of jobs, models and endpoints."""

from __future__ import annotations

import re

from sagemaker_semseg.errors import Fault

NAME_LENGTH = 63
TUNING_NAME_LENGTH = 32

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def check_name(what: str, name: object, length: int = NAME_LENGTH) -> list[Fault]:
    """Return a fault if SageMaker wouldn't take the name. what: the argument's name."""
    if isinstance(name, str) and len(name) <= length and _NAME.fullmatch(name):
        return []
    rule = f"1 to {length} letters, digits and hyphens, with a letter or a digit at either end"
    return [Fault(what, f"{str(name)[:100]!r} came, {rule} are expected", "give another name")]
