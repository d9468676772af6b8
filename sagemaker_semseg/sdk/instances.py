"""SageMaker's instance types: the GPUs of each, for warnings, and the type that all of them are redirected to.

Only the families that can train this package's networks; an unknown type is no error: SageMaker knows its own types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpus:
    """GPUs of a family. memory: of each, in GB; counts: by size, 1 for a size that isn't listed."""

    name: str
    memory: int
    counts: tuple[tuple[str, int], ...] = ()

    def count(self, size: str) -> int:
        """Return the number of GPUs of a size."""
        return dict(self.counts).get(size, 1)


GPUS: dict[str, Gpus] = {
    "p2": Gpus("K80", 12, (("8xlarge", 8), ("16xlarge", 16))),
    "p3": Gpus("V100", 16, (("8xlarge", 4), ("16xlarge", 8))),
    "p3dn": Gpus("V100", 32, (("24xlarge", 8),)),
    "p4d": Gpus("A100", 40, (("24xlarge", 8),)),
    "p4de": Gpus("A100", 80, (("24xlarge", 8),)),
    "p5": Gpus("H100", 80, (("48xlarge", 8),)),
    "p5e": Gpus("H200", 141, (("48xlarge", 8),)),
    "p5en": Gpus("H200", 141, (("48xlarge", 8),)),
    "g4dn": Gpus("T4", 16, (("12xlarge", 4),)),
    "g5": Gpus("A10G", 24, (("12xlarge", 4), ("24xlarge", 4), ("48xlarge", 8))),
    "g6": Gpus("L4", 24, (("12xlarge", 4), ("24xlarge", 4), ("48xlarge", 8))),
    "g6e": Gpus("L40S", 48, (("12xlarge", 4), ("24xlarge", 4), ("48xlarge", 8))),
}
"""Family -> its GPUs."""

_TYPE = re.compile(r"ml\.([a-z0-9-]+)\.([a-z0-9]+)")
_ACCELERATED = re.compile(r"[pg]\d|trn|inf|dl")


def gpus(instance_type: str) -> tuple[int, Gpus] | None:
    """Return how many GPUs of which kind; None if there are none or the family isn't known here."""
    match = _TYPE.fullmatch(instance_type)
    if not match or match[1] not in GPUS:
        return None
    return GPUS[match[1]].count(match[2]), GPUS[match[1]]


def training_warning(instance_type: str) -> str:
    """Return the reason against training on an instance type; empty if there is none."""
    match = _TYPE.fullmatch(instance_type)
    if not match or match[1] in GPUS:
        return ""
    if re.match("trn|inf|dl", match[1]):
        return f"{instance_type} has an accelerator that TensorFlow doesn't use here: take a GPU such as ml.g5.xlarge"
    if _ACCELERATED.match(match[1]):
        return ""
    return f"{instance_type} has no GPU: training will take days instead of hours. Take one such as ml.g5.xlarge"


_redirection: list[str] = []


def redirect_instances(instance_type: str | None) -> None:
    """Send every ``ml.*`` job of this process to another instance type, such as "local"; None undoes it."""
    _redirection[:] = [instance_type] if instance_type else []


def redirected_type(instance_type: str | None, *, serverless: bool = False) -> str | None:
    """Return the instance type that a job is sent to; None if it isn't redirected. serverless: as ``ml.*``."""
    if _redirection and (serverless or str(instance_type).startswith("ml.")):
        return _redirection[0]
    return None
