"""Defines all errors: whose fault they are, the exit status of a command, the HTTP status of a server.

    SemSegError
    ├── UserError                 what the user gave can't be used            exit 2, HTTP 400
    │   ├── HyperparameterError   names, types, ranges of hyperparameters
    │   ├── DataError             channels, images, masks, label maps
    │   ├── ArtifactError         a model.tar.gz or a file of weights that is damaged, foreign or unsafe
    │   │   └── SageMakerArtifactError  one of AWS's built-in algorithm, which can be imported
    │   ├── DivergedError         a loss, weight or logit became NaN or infinite
    │   └── HostLostError         another host of a training doesn't answer any more
    └── AlgorithmError            our own fault                               exit 1, HTTP 500

Catch ``UserError`` to show a message and continue; let ``AlgorithmError`` through and report it.
An error that found several faults has all of them in ``faults``, one ``Fault`` each.
"""

from __future__ import annotations

import enum
import errno
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class ErrorCode(str, enum.Enum):
    """Kinds of faults that a caller tells apart, as ``Fault.code``."""

    NOT_FOUND = "not found"
    NAME_TAKEN = "name taken"


class ExitStatus(enum.IntEnum):
    """Exit statuses of the command and of a job in a container."""

    DONE = 0  # also a training that SIGTERM has stopped, as SageMaker stops jobs
    ALGORITHM_ERROR = 1
    USER_ERROR = 2
    INTERRUPTED = 130
    PIPE_CLOSED = 141


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        where: the file (with line or value) or the hyperparameter, as the user wrote it.
        what: what was found and what was expected.
        remedy: how to fix it, as an imperative; empty if there is none.
        code: the kind of fault, where a caller has to know; it isn't shown.
    """

    where: str
    what: str
    remedy: str = ""
    code: ErrorCode | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


FAULTS_SHOWN = 50
"""Faults that a message lists; the error's ``faults`` has all of them."""


class SemSegError(Exception):
    """Any error this package raises on purpose."""

    exit_status = ExitStatus.ALGORITHM_ERROR
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
    """What the user gave can't be used as it is; the message says how to fix it."""

    exit_status = ExitStatus.USER_ERROR
    http_status = 400
    prefix = "ClientError"


class HyperparameterError(UserError):
    """A hyperparameter has an unknown name, a wrong type or value, or is missing."""


class DataError(UserError):
    """A channel, an image, a mask or a label map can't be used."""


class ArtifactError(UserError):
    """A model artifact or a file of weights is damaged, comes from elsewhere or is unsafe to open."""


class SageMakerArtifactError(ArtifactError):
    """A model artifact is one of AWS's built-in algorithm, where one of this package is expected."""


class DivergedError(UserError):
    """Training produced a loss, a weight or logits that are not finite numbers."""


class HostLostError(UserError):
    """Another host of a training doesn't answer any more."""


class AlgorithmError(SemSegError):
    """A fault of this package."""


_REMEDIES = {
    errno.ENOSPC: "make room on the disk, or give another folder",
    errno.EDQUOT: "make room within the quota, or give another folder",
    errno.EACCES: "check the permissions, or give another folder",
    errno.EPERM: "check the permissions, or give another folder",
    errno.EROFS: "give a folder that can be written to",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_OUT_OF_MEMORY = (
    "not enough memory: lower mini_batch_size, validation_mini_batch_size or crop_size, set recompute, "
    "or use smaller images"
)


def explain(error: BaseException) -> tuple[str, ExitStatus]:
    """Return the message for any exception, and the exit status of a process that ends with it."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", ExitStatus.INTERRUPTED
    context = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
    if isinstance(error, SemSegError):
        return context + str(error), error.exit_status
    if isinstance(error, MemoryError) or _is_from_tensorflow(error, "ResourceExhaustedError"):
        return _OUT_OF_MEMORY, ExitStatus.USER_ERROR
    if isinstance(error, OSError):
        remedy = _REMEDIES.get(error.errno or 0, "")
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return context + what + (f" ({remedy})" if remedy else ""), ExitStatus.USER_ERROR
    first = str(error).strip().partition("\n")[0]
    message = f"a fault of this program: {type(error).__name__}" + (f": {first[:300]}" if first else "")
    return message, ExitStatus.ALGORITHM_ERROR


def _is_from_tensorflow(error: BaseException, name: str) -> bool:
    # by name: TensorFlow is not imported for this
    return any(cls.__name__ == name and cls.__module__.startswith("tensorflow") for cls in type(error).__mro__)


@dataclass
class FaultList:
    """Collects the faults of a data set by kind, so that a thousand of one kind don't hide one of another."""

    kinds: dict[str, list[Fault]] = field(default_factory=dict)
    uncollected: Counter[str] = field(default_factory=Counter)
    most_of_a_kind: int = 10_000  # more are counted only: a manifest has millions of lines, and each may be wrong

    def add(self, kind: str, where: Path | str, what: str, remedy: str = "") -> None:
        """Adds a fault; of very many of one kind, the later ones are counted only."""
        faults = self.kinds.setdefault(kind, [])
        if len(faults) < self.most_of_a_kind:
            faults.append(Fault(printable(where), printable(what), printable(remedy)))
        else:
            self.uncollected[kind] += 1

    def extend(self, kind: str, faults: Iterable[Fault]) -> None:
        """Adds faults that an error carries."""
        self.kinds.setdefault(kind, []).extend(faults)

    def raise_any(self) -> None:
        """Raises one ``DataError``: its message counts the kinds, its ``faults`` begin with some of each kind."""
        if not self.kinds:
            return
        counts = ", ".join(f"{kind}: {len(faults) + self.uncollected[kind]}" for kind, faults in self.kinds.items())
        first = [fault for faults in self.kinds.values() for fault in faults[:5]]
        rest = [fault for faults in self.kinds.values() for fault in faults[5:]]
        raise DataError(f"the data can't be used ({counts})", first + rest)


def printable(text: Path | str) -> str:
    """A path, or a text with paths in it, without the bytes that are no Unicode and can't be printed."""
    return str(text).encode("utf-8", "replace").decode()
