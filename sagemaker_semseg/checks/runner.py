"""The examination of a data set: where its channels lie and what it is meant for come in, a ``Report`` goes out.

Called by the command ``check``. Every file is read once, by ``samples.inspect``, which finds what would stop a
training; the modules of this folder look on and add what is doubtful.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.checks import dataset_checks, duplicates
from sagemaker_semseg.checks.file_checks import of_names
from sagemaker_semseg.checks.image_checks import ImageChecker, SampleSummary
from sagemaker_semseg.checks.report import Preview, Report, SplitFacts
from sagemaker_semseg.checks.rules import in_order, of_faults
from sagemaker_semseg.data.channels import SPLITS, FaultList
from sagemaker_semseg.data.labels import IGNORE, INVALID, MOST_CLASSES
from sagemaker_semseg.data.samples import Progress, Tally, scan_dataset
from sagemaker_semseg.hyperparameters import Hyperparameters

SETTINGS: Final = (
    *("algorithm", "backbone", "base_size", "crop_size", "mini_batch_size", "validation_mini_batch_size"),
    *("num_training_samples", "class_weights", "optimizer", "precision"),
)
"""Hyperparameters besides num_classes that say something about the data, or about the memory they need."""

_SPECIMENS: Final = 8


def run_checks(
    channels: Mapping[str, Path],
    hyperparameters: Hyperparameters,
    *,
    num_classes: int | None,
    class_names: Sequence[str] = (),
    attributes: Mapping[str, Sequence[str]] = MappingProxyType({}),
    progress: Progress | None = None,
) -> Report:
    """Everything that is wrong or doubtful with a data set, and what it holds.

    channels, attributes: as for ``read_channels``. hyperparameters: what it is meant for, but for its num_classes.
    num_classes: None proposes the number that the masks need. progress: called with (files done, files in all).
    """
    channels = {name: Path(path) for name, path in channels.items()}
    onlooker = ImageChecker(hyperparameters.padded_crop_size)
    faults = FaultList()
    known = num_classes or MOST_CLASSES
    tallies = scan_dataset(channels, SPLITS, known, faults, progress, onlooker, attributes, class_names)
    class_names = class_names or next((tally.class_names for tally in tallies if tally.class_names), ())
    records = {split: onlooker.records.get(split, []) for split in SPLITS}
    classes = num_classes or max(_proposed(tallies), len(class_names))
    found = [*of_faults(faults), *onlooker.findings, *of_names(channels)]
    for tally in tallies:
        found += dataset_checks.of_split(tally, records[tally.split], channels.get(tally.split, Path(tally.split)))
    found += dataset_checks.of_classes(tallies, classes, class_names)
    masks = channels.get("train_annotation", channels.get("train", Path("train_annotation")))
    found += dataset_checks.of_scale(tallies, num_classes, masks)
    found += dataset_checks.of_label_maps(tallies, channels.get("label_map"))
    if _realpath(channels, "train") != _realpath(channels, "validation"):
        found += duplicates.near_copies(records["train"], records["validation"])
    else:  # each picture of one is in the other
        records.pop("validation")
    found += duplicates.copies(records)
    return Report(
        findings=in_order(found),
        splits=[_facts(tally, onlooker.records.get(tally.split, []), classes) for tally in tallies],
        num_classes=classes,
        class_names=tuple(class_names),
        settings={"num_classes": classes, **{name: getattr(hyperparameters, name) for name in SETTINGS}},
    )


def _realpath(channels: Mapping[str, Path], channel: str) -> str:
    return os.path.realpath(channels[channel]) if channel in channels else channel


def _proposed(tallies: Sequence[Tally]) -> int:
    """The number of classes that the labels in the masks need."""
    seen = np.flatnonzero(sum(tally.pixels for tally in tallies))
    return max(2, int(seen.max()) + 1 if seen.size else 0)


def _facts(tally: Tally, records: Sequence[SampleSummary], num_classes: int) -> SplitFacts:
    sizes: dict[tuple[int, int], int] = {}
    for record in records:
        if record.size:
            sizes[record.size] = sizes.get(record.size, 0) + 1
    return SplitFacts(
        channel=tally.split,
        pairs=sum(record.size is not None and record.values is not None for record in records),
        sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])),
        pixel_counts=tally.pixels[:num_classes].copy(),
        image_counts=tally.images[:num_classes].copy(),
        image_pixel_counts=tally.image_pixels[:num_classes].copy(),
        ignored_pixels=int(tally.values.sum() - tally.pixels.sum()),
        value_counts=tally.values,
        specimens=_specimens(tally, records, num_classes),
        lookup=None if tally.labels is None or dataset_checks.is_identity(tally.labels) else tally.labels.lookup,
    )


def _specimens(tally: Tally, records: Sequence[SampleSummary], num_classes: int) -> tuple[Preview, ...]:
    """Pairs that show every class where that is possible: for the rarest one not seen yet, the pair that shows most."""
    good = [record for record in records if record.size is not None and record.values is not None]
    if tally.labels is None or not good:
        return ()
    shows = _labels_of(good, tally.labels.table, num_classes)
    unseen = shows.any(0)
    chosen: list[int] = []
    while len(chosen) < min(_SPECIMENS, len(good)):
        if unseen.any():
            rarest = min(np.flatnonzero(unseen), key=lambda label: tally.images[label])
            gain = np.where(shows[:, rarest], (shows & unseen).sum(1), -1)
        else:  # all are seen: pairs spread over the set
            gain = np.zeros(len(good), np.int64)
            gain[len(good) * len(chosen) // _SPECIMENS :] = 1
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        unseen &= ~shows[chosen[-1]]
    return tuple(_specimen(good[number]) for number in chosen)


def _labels_of(
    records: Sequence[SampleSummary], table: npt.NDArray[np.int16], num_classes: int
) -> npt.NDArray[np.bool_]:
    """(records, num_classes): which labels each mask holds."""
    shows = np.zeros((len(records), num_classes), np.bool_)
    valid = (table != IGNORE) & (table != INVALID) & (table < num_classes)
    for row, record in zip(shows, records, strict=True):
        if record.values is not None:
            row[table[np.unpackbits(record.values).astype(np.bool_) & valid]] = True
    return shows


def _specimen(record: SampleSummary) -> Preview:
    height, width = record.size or (0, 0)
    return Preview(record.pair.name, record.pair.image, record.pair.mask, height, width, record.pair.colours)
