"""What is wrong with a data set, collected until all of it is known: faults come in one by one, one ``DataError`` with
all of them goes out. Every reader of channels, manifests and files puts its faults into one ``FaultList``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sagemaker_semseg.errors import DataError, Fault

_EACH_KIND_FIRST: Final = 5
_MOST_OF_A_KIND: Final = 10_000
"""More are counted only: a manifest has millions of lines, and each may be wrong."""


@dataclass
class FaultList:
    """Collects faults by kind, so that a thousand of one kind don't hide one of another."""

    kinds: dict[str, list[Fault]] = field(default_factory=dict)
    uncollected: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, where: Path | str, what: str, remedy: str = "") -> None:
        faults = self.kinds.setdefault(kind, [])
        if len(faults) < _MOST_OF_A_KIND:
            faults.append(Fault(shown(where), shown(what), shown(remedy)))
        else:
            self.uncollected[kind] += 1

    def take(self, kind: str, error: DataError) -> None:
        self.kinds.setdefault(kind, []).extend(error.faults)

    def raise_any(self) -> None:
        """Raises one ``DataError``: the message counts the kinds, ``faults`` begins with some of each kind."""
        if not self.kinds:
            return
        counts = ", ".join(f"{kind}: {len(faults) + self.uncollected[kind]}" for kind, faults in self.kinds.items())
        first = [fault for faults in self.kinds.values() for fault in faults[:_EACH_KIND_FIRST]]
        rest = [fault for faults in self.kinds.values() for fault in faults[_EACH_KIND_FIRST:]]
        raise DataError(f"the data can't be used ({counts})", first + rest)


def shown(path: Path | str) -> str:
    """A path, or a text with paths in it, for people: printing the bytes that are no Unicode would fail."""
    return str(path).encode("utf-8", "replace").decode()
