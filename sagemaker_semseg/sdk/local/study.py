"""What a tuning on this machine has tried: the lines of its journal come in, trials go out, and new lines go in.

    {"trial": 3, "job": "tuning-003-5d2c81f0", "values": {"learning_rate": "0.001"}}
    {"trial": 3, "status": "Completed", "objective": 0.52, "failure": ""}
    {"trial": 4, "status": "Interrupted", "objective": 0.31, "failure": ""}

The first line of a trial is there before its job is started. Nothing is ever changed in the journal, and the last line
about a trial is the one that counts. Lines that can't be read, because a process died over them, are passed over: a
trial whose end is missing is looked up among the training jobs. ``tuning`` calls it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sagemaker_semseg.storage import filesystem_at

NAME: Final = "study.jsonl"
MOST_TRIALS: Final = 10_000
_ENDS: Final = ("Completed", "Failed", "Stopped", "Interrupted")


@dataclass(frozen=True)
class Trial:
    """number: from 1 on. values: of what is searched, as strings. status: of the job; Interrupted if the tuning was
    stopped over it: it is tried again when that goes on. objective: of its best epoch; None if there is none.
    """

    number: int
    job: str
    values: Mapping[str, str]
    status: str = "InProgress"
    objective: float | None = None
    failure: str = ""

    @property
    def ended(self) -> bool:
        return self.status in _ENDS

    @property
    def counts(self) -> bool:
        """Whether it is done with, well or not."""
        return self.ended and self.status != "Interrupted"


class Study:
    """folder: the tuning job's, where the journal is. trials: by their numbers, as they are known."""

    def __init__(self, folder: Path):
        self._log = filesystem_at(str(folder)).log(NAME)
        self.trials: dict[int, Trial] = {}
        for line in self._log.data.splitlines():
            self._take(_value(line))

    def started(self, trial: Trial) -> None:
        self._append({"trial": trial.number, "job": trial.job, "values": dict(trial.values)})

    def ended(self, number: int, status: str, objective: float | None, failure: str = "") -> Trial:
        self._append({"trial": number, "status": status, "objective": objective, "failure": failure[:2000]})
        return self.trials[number]

    def close(self) -> None:
        self._log.close()

    def best(self, *, maximize: bool) -> Trial | None:
        """The trial with the best objective, the first of equal ones."""
        tried = [trial for trial in self.trials.values() if trial.objective is not None]
        sign = -1 if maximize else 1
        return min(tried, key=lambda trial: (sign * (trial.objective or 0.0), trial.number), default=None)

    def _append(self, line: dict[str, Any]) -> None:
        self._log.append(json.dumps(line).encode())
        self._take(line)

    def _take(self, line: Any) -> None:
        match line:
            case {"trial": int(number), "job": str(job), "values": dict(values)}:
                texts = all(isinstance(value, str) for value in values.values())
                if type(number) is int and 1 <= number <= MOST_TRIALS and texts:
                    self.trials[number] = Trial(number, job, values)
            case {"trial": int(number), "status": str(status), "objective": objective, "failure": str(failure)}:
                if number in self.trials and status in _ENDS and (objective is None or _is_finite(objective)):
                    value = None if objective is None else float(objective)
                    known = self.trials[number]
                    self.trials[number] = replace(known, status=status, objective=value, failure=failure)


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
