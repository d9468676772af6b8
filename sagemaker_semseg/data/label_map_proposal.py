"""Proposes a label map for masks whose pixel values aren't labels."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.hyperparameters import MAX_CLASSES

_NOT_IGNORE: Final = 254  # a slip for 255
_MOST_SCALED: Final = 32  # classes, where their number isn't given
_LEAST_SCALE: Final = 3  # likewise: 0, 2, 4 may be labels
_MOST_LISTED: Final = 12  # classes of a map, likewise
_SPARSE: Final = 4  # likewise: the highest value is at least so many times their number


@dataclass(frozen=True)
class LabelMapProposal:
    """A label map that would make labels of mask values.

    Attributes:
        content: of its JSON file.
        num_classes: the number of classes that it needs.
    """

    content: dict[str, Any]
    num_classes: int

    def __str__(self) -> str:
        return json.dumps(self.content)

    def remedy(self, splits: Sequence[str]) -> str:
        """What to do, as an imperative. splits: those whose masks need it."""
        files = " and ".join(f"label_map/{split}_label_map.json" for split in splits)
        return f"give the label map {self} as {files}, which check --write-label-map writes"


def propose_label_map(values: Iterable[int], num_classes: int | None) -> LabelMapProposal | None:
    """Proposes a label map for masks that are read as they are.

    Args:
        values: the pixel values that occur.
        num_classes: the number of classes; None proposes that, too.

    Returns:
        None where the values are labels, or where no map is likelier than others.

    Example:
        >>> str(propose_label_map([0, 15, 190], 3))
        '{"map": {"0": 0, "1": 15, "2": 190}}'
    """
    present = sorted(set(values))
    below = [value for value in present if value != IGNORE]
    if num_classes is None:
        return _propose_with_classes(present, below)
    if not below or below[-1] < num_classes:
        absent = sorted(set(range(num_classes)) - set(below))
        if IGNORE not in present or len(absent) != 1:
            return None
        return _scaled([0, IGNORE], 2) if present == [0, IGNORE] else _mapped(sorted(below + absent), absent[0])
    if below[-1] == _NOT_IGNORE and len(below) > 2 and all(value < num_classes for value in below[:-1]):
        return _mapped(range(num_classes))
    for candidates in (present, below):
        found = _scaled(candidates, num_classes)
        if found and _keeps_apart(found.content["scale"], present, num_classes):
            return found
    return next((_mapped(found) for found in (below, present) if len(found) == num_classes), None)


def _propose_with_classes(present: Sequence[int], below: Sequence[int]) -> LabelMapProposal | None:
    """Propose a map and the number of classes."""
    if len(below) > 2 and below[-1] == _NOT_IGNORE:
        return _propose_with_classes([], below[:-1]) or _mapped(range(below[-2] + 1))
    if present == [0, IGNORE]:
        return _scaled(present, 2)
    for candidates in filter(None, (present, below)):
        scale = math.gcd(*candidates)
        if scale >= _LEAST_SCALE and max(candidates) // scale < _MOST_SCALED:
            return _scaled(candidates, max(max(candidates) // scale + 1, 2))
    sparse = 2 <= len(below) <= _MOST_LISTED and below[-1] >= _SPARSE * len(below)
    from_one = len(below) >= 2 and list(below) == list(range(1, len(below) + 1))
    return _mapped(below) if sparse or from_one else None


def _scaled(values: Sequence[int], num_classes: int) -> LabelMapProposal | None:
    """Propose the common divisor, if it makes labels of the values."""
    scale = math.gcd(*values)
    if scale <= 1 or max(values) // scale >= num_classes:
        return None
    return LabelMapProposal({"scale": scale}, num_classes)


def _keeps_apart(scale: int, values: Sequence[int], num_classes: int) -> bool:
    """Return whether the values become labels of their own, of which there are two at least; 255 may be ignored."""
    labels = [value // scale for value in values if value != IGNORE or value // scale < num_classes]
    return len(set(labels)) == len(labels) > 1


def _mapped(values: Sequence[int], lost: int | None = None) -> LabelMapProposal | None:
    """Propose the values in their order as labels. lost: the label that 255 stands for."""
    if not 2 <= len(values) <= MAX_CLASSES:
        return None
    pixels = [IGNORE if label == lost else value for label, value in enumerate(values)]
    return LabelMapProposal({"map": {str(label): pixel for label, pixel in enumerate(pixels)}}, len(values))
