"""The set as a whole: tallies and records of all pairs come in, what only all of them together show goes out. Called by
``examination`` after the one pass over the files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.checks.image_checks import SampleSummary
from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.data.labels import IGNORE, INVALID, LabelMap
from sagemaker_semseg.data.samples import Tally

Table = npt.NDArray[np.int16]

_MOST_OF_ONE_CLASS: Final = 0.5
_FAR_APART: Final = 4
_NAMED: Final = 5
_VALUES_NAMED: Final = 12


def of_split(tally: Tally, records: Sequence[SampleSummary], where: Path) -> Iterator[Finding]:
    """What one split shows. where: its images."""
    yield from _swapped(tally.split, records, where)
    yield from _mixed(records, where)
    yield from _sizes(records, where)
    if tally.labels is None:
        return
    if unlike := tally.indices.total() - tally.indices["labels"]:
        what = (
            f"the numbers in {unlike} of {tally.indices.total()} masks aren't the labels that their colours stand for"
        )
        remedy = "train from the manifest, which goes by colours, or write masks whose numbers are the labels"
        yield finding("numbers unlike colours", where, what, remedy)
    one_class = known = 0
    for record in records:
        if record.values is None:
            continue
        present = np.unpackbits(record.values).astype(np.bool_)
        known += 1
        labels = np.unique(tally.labels.table[present])
        labels = labels[labels != IGNORE]
        one_class += len(labels) == 1 and labels[0] != INVALID
        if not len(labels):
            remedy = "label it, or remove the pair"
            yield finding(
                "mask without labels", record.pair.called(record.pair.mask), "every pixel of it is ignored", remedy
            )
        if present[254] and tally.labels.table[254] == INVALID:
            mask = record.pair.called(record.pair.mask)
            yield finding("254 in a mask", mask, "the value 254 occurs", "write 255 where ignore is meant")
    if known and one_class > _MOST_OF_ONE_CLASS * known:
        what = f"{one_class} of {known} masks hold a single class ({one_class / known:.0%})"
        yield finding("masks of one class", where, what, "cut the pictures so that they show more than one class")
    unnamed = [value for value in np.flatnonzero(tally.values) if value != 255 and tally.labels.table[value] == IGNORE]
    if unnamed:
        share = tally.values[unnamed].sum() / tally.values.sum()
        what = f"the values {_numbers(unnamed)} aren't in the label map: {share:.2%} of all pixels are ignored"
        yield finding("pixel values left out", where, what, "add them to the label map, unless that is meant")


def of_classes(tallies: Sequence[Tally], num_classes: int, names: Sequence[str]) -> Iterator[Finding]:
    """Classes that are missing, from one split or both. A split of which nothing could be read says nothing."""
    there = {tally.split: tally.pixels > 0 for tally in tallies if tally.pixels.any()}
    for label in range(num_classes):
        where = f"class {label}" + (f" ({names[label]})" if label < len(names) else "")
        absent = [split for split in SPLITS if split in there and not there[split][label]]
        if absent and len(absent) == len(there):
            remedy = "lower num_classes, or check the label map and whether the masks are complete"
            yield finding("class that never occurs", where, "no pixel of it in any mask", remedy)
        elif absent:
            other = next(split for split in SPLITS if split not in absent)
            what = f"it occurs in {other} alone"
            yield finding(f"class absent from {absent[0]}", where, what, f"move pairs that show it to {absent[0]}")


def of_scale(tallies: Sequence[Tally], num_classes: int | None, where: Path) -> Iterator[Finding]:
    """Masks whose values are multiples of one number, or 0 and 255, and that no label map explains."""
    if any(tally.labels is None or not is_identity(tally.labels) for tally in tallies):
        return
    values = [int(value) for value in np.flatnonzero(sum(tally.values for tally in tallies))]
    scale = _scale(values, num_classes)
    if scale:
        what = f"the values in the masks are {_numbers(values)}"
        classes = max(value for value in values) // scale + 1
        remedy = f'give a label map {{"scale": {scale}}}, and num_classes {max(classes, 2)}'
        yield finding("scale missing", where, what, remedy)


def of_label_maps(tallies: Sequence[Tally], channel: Path | None) -> Iterator[Finding]:
    """Files that no split uses, and values in a map that no mask has. channel: of the label maps."""
    if channel is None:
        return
    if channel.is_dir():
        yield from _useless_files(channel)
    occurs = np.any([tally.values > 0 for tally in tallies], axis=0)
    labelled = np.any([tally.pixels > 0 for tally in tallies], axis=0)
    named: dict[int, int] = {}
    for tally in tallies:
        if tally.labels is not None and np.count_nonzero(tally.labels.table == IGNORE) > 1:  # a scale ignores but 255
            named |= {value: label for value, label in enumerate(tally.labels.table) if label != IGNORE}
    useless = [value for value, label in named.items() if not occurs[value] and labelled[label]]
    if useless and occurs.any():
        what = f"no mask holds the values {_numbers(useless)}, which the label map names"
        yield finding("useless label map", channel, what, "check the numbers, or leave them out")


def _useless_files(channel: Path) -> Iterator[Finding]:
    there = {path.name for path in channel.iterdir() if path.is_file() and not path.name.startswith(".")}
    own = {f"{split}_label_map.json" for split in SPLITS}
    used = there & (own if own <= there else own | {"label_map.json"})
    for name in sorted(there - used if used else ()):
        remedy = f"name it {' or '.join(sorted(own))}, or remove it"
        yield finding("useless label map", channel / name, "no split reads a file of this name", remedy)
    if len(used) == 1 and "label_map.json" not in used:
        other = next(iter(own - used))
        remedy = f"add {other}, or name the one there label_map.json if it serves both"
        what = f"there is no {other}: the masks of that split are read as they are"
        yield finding("label map of one split", channel, what, remedy)


def _swapped(split: str, records: Sequence[SampleSummary], where: Path) -> Iterator[Finding]:
    turned = sum(record.like_a_mask and record.mask_refused for record in records)
    if records and turned > len(records) / 2:
        what = f"it holds pictures like masks, and {split}_annotation pictures like photographs ({turned} pairs)"
        yield finding("channels swapped", where, what, f"exchange the folders {split} and {split}_annotation")


def _mixed(records: Sequence[SampleSummary], where: Path) -> Iterator[Finding]:
    known = [record for record in records if record.digest]
    grey = [record for record in known if record.grey]
    if 0 < len(grey) < len(known):
        few = min(grey, [record for record in known if not record.grey], key=len)
        listed = ", ".join(record.pair.image.name for record in few[:_NAMED]) + (", ..." if len(few) > _NAMED else "")
        what = f"{len(grey)} of {len(known)} images are grey, {len(known) - len(grey)} have colours (such as {listed})"
        remedy = "check whether they belong together; where new images will be grey, make all of them grey"
        yield finding("grey images among colour ones", where, what, remedy)


def _sizes(records: Sequence[SampleSummary], where: Path) -> Iterator[Finding]:
    sides = {max(record.size): record for record in records if record.size}
    if sides and max(sides) > _FAR_APART * min(sides):
        small, large = sides[min(sides)], sides[max(sides)]
        what = (
            f"long sides from {min(sides)} pixels ({small.pair.image.name}) to {max(sides)} ({large.pair.image.name})"
        )
        yield finding(
            "sizes far apart", where, what, "bring pictures of one kind to like sizes, masks by nearest neighbour"
        )


def is_identity(labels: LabelMap) -> bool:
    """Whether the masks are read as they are."""
    return bool(np.array_equal(labels.table, LabelMap.identity(labels.num_classes).table))


def _scale(values: Sequence[int], num_classes: int | None) -> int | None:
    """The number that masks with these values should be divided by; None where they look like labels already."""
    positive = [value for value in values if value]
    if positive == [255]:
        return 255
    highest = max((value for value in positive if value != 255), default=0)
    few = highest < num_classes if num_classes else math.gcd(*positive) < 3
    if len(positive) < 1 or few:
        return None
    for candidates in (positive, [value for value in positive if value != 255]):
        scale = math.gcd(*candidates)
        if scale > 1 and max(candidates) // scale < (num_classes or 32):
            return scale
    return None


def _numbers(values: Sequence[int] | Sequence[np.intp]) -> str:
    return ", ".join(map(str, values[:_VALUES_NAMED])) + (", ..." if len(values) > _VALUES_NAMED else "")
