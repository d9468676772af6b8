"""Label maps: from the values in a mask to labels; and class weights from pixel counts.

    {"scale": "3"}                   label = pixel // 3
    {"map": {"0": 5, "1": [0, 7]}}   pixel 5 is label 0, pixels 0 and 7 are label 1, all others are ignored
    no file                          as {"scale": 1}

A pixel value of 255 is "ignore" unless the map names it or the scale gives it a label below ``num_classes``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.hyperparameters import MAX_CLASSES

IGNORE: Final = 255
"""A label that counts in no loss and no metric; also the pixel value that means it."""

INVALID: Final = -1
"""In a table: a pixel value that is neither a label nor ignored."""

MAX_BYTES: Final = 1 << 20
"""A label map is at most some kilobytes; a larger file is something else."""

_COUNT_AT_ONCE: Final = 1 << 20  # numpy widens pixels to eight bytes before it counts them
_EXAMPLE: Final = 'write {"scale": 1} or {"map": {"<label>": <pixel value or list of them>, ...}}'
_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,8}")  # as JSON writes a whole number that isn't negative


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The label of each of the 256 values of a mask.

    Attributes:
        table: (256,) int16, read-only; a label 0 .. num_classes-1, ``IGNORE`` or ``INVALID``.
        num_classes: 1 to ``MAX_CLASSES``.
        source: the file that it was read from; empty where there is none.
    """

    table: npt.NDArray[np.int16]
    num_classes: int
    source: str = ""

    def __post_init__(self) -> None:
        if self.table.shape != (256,) or not 1 <= self.num_classes <= MAX_CLASSES:
            raise ValueError(f"a table of shape {self.table.shape} for {self.num_classes} classes")
        self.table.setflags(write=False)

    @classmethod
    def identity(cls, num_classes: int) -> LabelMap:
        """Every value below ``num_classes`` is its own label, 255 is ignored, the others are invalid."""
        return cls.scaled(1, num_classes)

    @classmethod
    def scaled(cls, scale: int, num_classes: int) -> LabelMap:
        """Reads a value as the label value // scale; a 255 that leads to no class is ignored, others are invalid."""
        label = np.arange(256) // scale
        table = np.where(label < num_classes, label, INVALID)
        if table[IGNORE] == INVALID:
            table[IGNORE] = IGNORE
        return cls(table.astype(np.int16), num_classes)

    @classmethod
    def mapped(cls, labels: dict[int, int], num_classes: int) -> LabelMap:
        """Each pixel value in ``labels`` has its label there; the other ones are ignored."""
        table = np.full(256, IGNORE, np.int16)
        for value, label in labels.items():
            table[value] = label
        return cls(table, num_classes)

    @classmethod
    def from_json(cls, source: bytes | str | Path, num_classes: int, where: str | None = None) -> LabelMap:
        """Reads a label map.

        Args:
            source: its bytes, or the path of its file.
            num_classes: the number of classes of the data set.
            where: names it in errors; by default the path.

        Raises:
            DataError: with every fault of the file.

        Example:
            >>> LabelMap.from_json(b'{"map": {"0": 5, "1": [0, 7]}}', num_classes=2).apply(mask)
        """
        if isinstance(source, bytes):
            return _Reader(where or "label map", num_classes).read(source)
        where = where or str(source)
        try:
            with open(source, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise _label_map_error([Fault(where, f"can't be read: {error.strerror or error}")]) from error
        return _Reader(where, num_classes).read(data)

    @cached_property
    def lookup(self) -> npt.NDArray[np.uint8]:
        """(256,) uint8: ``table`` with ``INVALID`` as ``IGNORE``, for masks that have been checked."""
        lookup = np.where(self.table == INVALID, IGNORE, self.table).astype(np.uint8)
        lookup.setflags(write=False)
        return lookup

    @cached_property
    def is_identity(self) -> bool:
        """Whether masks are read as they are."""
        return bool(np.array_equal(self.table, LabelMap.identity(self.num_classes).table))

    @cached_property
    def _invalid(self) -> bytes:
        return bytes(self.table == INVALID)

    def fits(self, mask: npt.NDArray[np.uint8]) -> bool:
        """Whether each of a mask's values is a label or ignored."""
        return mask.tobytes().translate(self._invalid).find(1) < 0

    def misfit(self, value_counts: npt.NDArray[np.int64]) -> str:
        """What is wrong with a mask of these values, (256,) pixels of each; "" if nothing is."""
        wrong = np.flatnonzero((value_counts > 0) & (self.table == INVALID))
        if not wrong.size:
            return ""
        listed = ", ".join(f"{value} ({value_counts[value]} pixels)" for value in wrong[:5])
        more = f" and {wrong.size - 5} more" if wrong.size > 5 else ""
        classes = f"num_classes {self.num_classes} has labels 0 to {self.num_classes - 1}"
        return f"no label for pixel value {listed}{more}; {classes}"

    def apply(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The labels of a mask's values: uint8 of the same shape, 255 = ignore."""
        return self.lookup[mask]


def count_values(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Counts the pixels of each value of a mask: (256,) int64."""
    flat, values = mask.ravel(), np.zeros(256, np.int64)
    for start in range(0, flat.size, _COUNT_AT_ONCE):
        values += np.bincount(flat[start : start + _COUNT_AT_ONCE], minlength=256)
    return values


def median_frequency_weights(
    pixel_counts: npt.NDArray[np.int64], image_pixel_counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Weights that make rare classes count as much as frequent ones.

    frequency = pixel_counts / image_pixel_counts, weight = median of the frequencies / frequency (Eigen and Fergus,
    "Predicting Depth, Surface Normals and Semantic Labels", 2015, section 6.3.2). A class that never occurs is left out
    of the median and weighs 1: no pixel of the training set uses its weight.

    Args:
        pixel_counts: (n,) pixels of each class.
        image_pixel_counts: (n,) labelled pixels of the images in which the class occurs.

    Returns:
        (n,) float32.
    """
    counts, totals = np.asarray(pixel_counts, np.float64), np.asarray(image_pixel_counts, np.float64)
    present = counts > 0
    weights = np.ones(counts.shape, np.float64)
    if present.any():
        frequency = counts[present] / totals[present]
        weights[present] = np.median(frequency) / frequency
    return weights.astype(np.float32)


class _JsonObject(list[tuple[str, object]]):
    """A JSON object as its pairs in order, so that a key given twice is seen."""


class _Reader:
    """Reads one label map and collects what is wrong with it."""

    def __init__(self, where: str, num_classes: int):
        self.where = where
        self.num_classes = num_classes
        self.faults: list[Fault] = []

    def read(self, data: bytes) -> LabelMap:
        labels: LabelMap | None = None
        content = self._parse(data)
        if isinstance(content, _JsonObject):
            labels = self._entries(content)
        elif not self.faults:
            self._add_fault(f"expected a JSON object, not {json_type(content)}", _EXAMPLE)
        if self.faults or labels is None:
            raise _label_map_error(self.faults)
        return replace(labels, source=self.where)

    def _parse(self, data: bytes) -> object:
        if len(data) > MAX_BYTES:
            self._add_fault(f"larger than {MAX_BYTES} bytes", _EXAMPLE)
            return None
        try:
            return json.loads(data, object_pairs_hook=_JsonObject)
        except (ValueError, RecursionError) as error:  # ValueError: JSON's own, bad UTF-8, numbers of 5000 digits
            self._add_fault(f"not JSON: {error}", _EXAMPLE)
            return None

    def _entries(self, content: _JsonObject) -> LabelMap | None:
        self._check_keys(content, "")
        entries = dict(content)
        for name in entries.keys() - {"scale", "map"}:
            self._add_fault(f"unknown entry {name!r}", "a label map has one entry, 'scale' or 'map'")
        if "scale" in entries and "map" in entries:
            self._add_fault("both 'scale' and 'map'", "keep one of them")
        if "scale" not in entries and "map" not in entries:
            self._add_fault("neither 'scale' nor 'map'", _EXAMPLE)
        scaled = self._scale(entries["scale"]) if "scale" in entries else None
        mapped = self._map(entries["map"]) if "map" in entries else None
        return scaled or mapped

    def _scale(self, value: object) -> LabelMap | None:
        scale = _whole_number(value)
        if scale is None or not 1 <= scale <= 255:
            self._add_fault(f"scale {_quote(value)}; expected a whole number from 1 to 255")
            return None
        return LabelMap.scaled(scale, self.num_classes)

    def _map(self, value: object) -> LabelMap | None:
        if not isinstance(value, _JsonObject) or not value:
            self._add_fault(f"map is {json_type(value)}; expected an object of labels and pixel values", _EXAMPLE)
            return None
        self._check_keys(value, " of map")
        labels: dict[int, int] = {}
        for key, given in value:
            label = _whole_number(key)
            if label is None or label >= self.num_classes:
                remedy = "the key is the training label, the pixel value stands on the right"
                self._add_fault(f"map key {key!r}; expected a label from 0 to {self.num_classes - 1}", remedy)
            for pixel in given if isinstance(given, list) and not isinstance(given, _JsonObject) else [given]:
                self._pixel(labels, key, label, pixel)
        return LabelMap.mapped(labels, self.num_classes) if not self.faults else None

    def _pixel(self, labels: dict[int, int], key: str, label: int | None, given: object) -> None:
        pixel = _whole_number(given)
        if pixel is None or pixel > 255:
            self._add_fault(
                f"map[{key!r}] holds {_quote(given)}; expected a pixel value from 0 to 255 or a list of them"
            )
        elif label is not None and labels.setdefault(pixel, label) != label:
            self._add_fault(f"pixel value {pixel} stands for label {labels[pixel]} and for label {label}", "keep one")

    def _check_keys(self, pairs: _JsonObject, of: str) -> None:
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1:
                self._add_fault(f"the key {name!r}{of} is given {times} times", "keep one")

    def _add_fault(self, what: str, remedy: str = "") -> None:
        self.faults.append(Fault(self.where, what, remedy))


def _label_map_error(faults: list[Fault]) -> DataError:
    return DataError("the label map can't be used", faults)


def _whole_number(value: object) -> int | None:
    """A whole number from 0 up, given as a number or as a string; None for anything else."""
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    return value if type(value) is int and value >= 0 else None


def json_type(value: object) -> str:
    """Names the type of a JSON value, for messages."""
    if isinstance(value, _JsonObject):
        return "an object" if value else "an empty object"
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _quote(value: object) -> str:
    return json_type(value) if isinstance(value, list | type(None)) else repr(value)[:40]
