"""The tree of all errors: whose fault, the exit status of a command, the HTTP status of a server.

    SemSegError
    ├── UserError                 what the user gave can't be used            exit 2, HTTP 400
    │   ├── HyperparameterError   names, types, ranges of hyperparameters
    │   ├── DataError             channels, images, masks, label maps
    │   ├── ArtifactError         a model.tar.gz or a file of weights that is damaged, foreign or unsafe
    │   │   └── OriginalArtifactError   one of AWS's built-in algorithm, which can be imported
    │   └── DivergedError         the loss became NaN or infinite
    └── AlgorithmError            our own fault                               exit 1, HTTP 500

Catch ``UserError`` to show a message and go on; let ``AlgorithmError`` through and report it.
An error that found several faults carries all of them in ``faults``, one ``Fault`` each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    where: the file (with line or value) or the hyperparameter, as the user wrote it.
    what: what came and what was expected.
    remedy: how to mend it, as an imperative; empty where there is none to give.
    """

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


FAULTS_SHOWN = 50
"""Lines of faults in a message; the error's ``faults`` has all of them."""


class SemSegError(Exception):
    """Any error this package raises on purpose."""

    exit_status = 1
    http_status = 500
    prefix = "AlgorithmError"

    def __init__(self, message: str, faults: Sequence[Fault] = ()):
        self.message = message
        self.faults = tuple(faults)
        super().__init__(message)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {fault}" for fault in self.faults[:FAULTS_SHOWN])]
        if len(self.faults) > FAULTS_SHOWN:
            lines.append(f"  ... and {len(self.faults) - FAULTS_SHOWN} more")
        return "\n".join(lines)


class UserError(SemSegError):
    """What the user gave can't be used as it is; the message says how to mend it."""

    exit_status = 2
    http_status = 400
    prefix = "ClientError"


class HyperparameterError(UserError):
    """A hyperparameter has an unknown name, a wrong type or value, or is missing."""


class DataError(UserError):
    """A channel, an image, a mask or a label map can't be used."""


class ArtifactError(UserError):
    """A model artifact or a file of weights is damaged, comes from elsewhere or is unsafe to open."""


class OriginalArtifactError(ArtifactError):
    """A model artifact is one of AWS's built-in algorithm, where one of this package is expected."""


class DivergedError(UserError):
    """Training produced a loss that is not a finite number."""


class AlgorithmError(SemSegError):
    """A fault of this package."""
