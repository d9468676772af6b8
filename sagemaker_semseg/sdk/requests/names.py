"""Names of jobs, models and endpoints: SageMaker's rules for them, and new ones that nobody has yet.

``requests`` checks what is given, the estimator asks for what isn't.
"""

from __future__ import annotations

import re
import time

from sagemaker_semseg.errors import Fault

NAME_LENGTH = 63
TUNING_NAME_LENGTH = 32

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_IMAGE = re.compile(r"(?:.*/)?([^:/@]+)(?::[^:@/]+)?(?:@.*)?", re.DOTALL)


def check_name(what: str, name: object, length: int = NAME_LENGTH) -> list[Fault]:
    """A fault if SageMaker wouldn't take the name. what: the argument that it came in."""
    if isinstance(name, str) and len(name) <= length and _NAME.fullmatch(name):
        return []
    rule = f"1 to {length} letters, digits and hyphens, with a letter or a digit at either end"
    return [Fault(what, f"{str(name)[:100]!r} came, {rule} are expected", "give another name")]


def unique_name(base: str, length: int = NAME_LENGTH, now: float | None = None) -> str:
    """``base`` with the time behind it in milliseconds, as AWS's SDK has it; cut where it would be too long."""
    now = time.time() if now is None else now
    if length < NAME_LENGTH:
        stamp = time.strftime("%y%m%d-%H%M", time.gmtime(now))
    else:
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(now)) + f"-{int(now * 1000) % 1000:03}"
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", base).strip("-") or "semseg"
    return f"{plain[: length - len(stamp) - 1].rstrip('-')}-{stamp}"


def base_name(image_uri: str) -> str:
    """What jobs of an image are called if nobody says it: the image's own name, without registry and tag."""
    match = _IMAGE.fullmatch(image_uri)
    return match.group(1) if match else "semseg"
