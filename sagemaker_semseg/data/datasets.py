"""Data sets in File mode: reads the channels, checks every file and counts the pixels of each class.

Every file is read and decoded once before a training or an evaluation starts, so that everything that is wrong with any
of them is known then, all of it, in one ``DataError``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.channels import SPLITS, find_channels, find_pairs, read_label_maps
from sagemaker_semseg.data.color_map import resolve_class_names
from sagemaker_semseg.data.files import CheckedPair, SampleVisitor, check_samples
from sagemaker_semseg.data.label_map_proposal import propose_label_map
from sagemaker_semseg.data.labels import IGNORE, INVALID, LabelMap
from sagemaker_semseg.data.manifest import ProgressCallback
from sagemaker_semseg.data.pipe_mode import PipeDataset
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.errors import FaultList
from sagemaker_semseg.hyperparameters import MAX_CLASSES

__all__ = [
    "AttributeNames",
    "Dataset",
    "DatasetScan",
    "Datasets",
    "FileDataset",
    "ValidationSplit",
    "find_channels",
    "read_channels",
    "read_split",
    "scan_dataset",
]

Counts = npt.NDArray[np.int64]
AttributeNames = Mapping[str, Sequence[str]]

_NONE: Final[AttributeNames] = MappingProxyType({})
_NUMBERINGS: Final = {
    "labels": "the number is the label",
    "key": "the number is the map's key",
    "key + 1": "the number is the map's key + 1",
    "neither": "the number is neither",
}


@dataclass(frozen=True, eq=False)
class FileDataset:
    """The checked pairs of one channel, and what their masks hold.

    Attributes:
        channel: "train" or "validation".
        pairs: sorted by name, or in the order of a manifest.
        label_map: from mask values to labels.
        pixel_counts: (num_classes,) int64, pixels of each class.
        image_pixel_counts: (num_classes,) int64, labelled pixels of the images in which the class occurs.
        value_counts: (256,) int64, pixels of each mask value, before the label map.
        notes: what is worth knowing, though nothing is wrong.
        class_names: those that were given, or that the manifests' color maps have, from label 0 on; or none.
        one_class_masks: masks whose labelled pixels are of one class.
    """

    channel: str
    pairs: tuple[ImageMaskPair, ...]
    label_map: LabelMap
    pixel_counts: Counts
    image_pixel_counts: Counts
    value_counts: Counts
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    one_class_masks: int = 0

    @property
    def split(self) -> str:
        """The channel, by its other name."""
        return self.channel

    @property
    def count(self) -> int:
        """The number of pairs."""
        return len(self.pairs)


Dataset = FileDataset | PipeDataset


@dataclass(frozen=True, eq=False)
class Datasets:
    """The two data sets of a training. notes: what is worth knowing of both."""

    train: Dataset
    validation: Dataset
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValidationSplit:
    """A share of the training pairs that is kept apart for validation, where there is no channel for that.

    Attributes:
        share: above 0 and below 1.
        seed: with another one, other pairs are chosen.
    """

    share: float
    seed: int = 0

    def divide(self, pairs: Sequence[ImageMaskPair]) -> tuple[list[ImageMaskPair], list[ImageMaskPair]]:
        """Returns the pairs of training and of validation, one at least, each in the order of ``pairs``.

        A pair's place depends on its name and the seed, so that most stay where they are when pairs are added.
        """

        def place(pair: ImageMaskPair) -> bytes:
            return hashlib.blake2b(f"{self.seed} {pair.name}".encode("utf-8", "surrogateescape")).digest()

        count = min(max(round(self.share * len(pairs)), 1), len(pairs) - 1)
        chosen = {pair.name for pair in sorted(pairs, key=place)[:count]}
        return [pair for pair in pairs if pair.name not in chosen], [pair for pair in pairs if pair.name in chosen]


def read_channels(
    channels: Mapping[str, Path],
    num_classes: int,
    progress: ProgressCallback | None = None,
    *,
    attributes: AttributeNames = _NONE,
    class_names: Sequence[str] = (),
    validation_split: ValidationSplit | None = None,
) -> Datasets:
    """Reads and checks the data sets for training and validation.

    Args:
        channels: folders or manifests by channel name (``find_channels``).
        num_classes: the number of classes, background included.
        progress: called with (files done, files in all).
        attributes: names of a manifest's attributes for images and masks, by split.
        class_names: from label 0 on; only color maps need them, and have names of their own.
        validation_split: takes validation out of the channel train, instead of reading one.

    Raises:
        DataError: with every fault of all channels.

    Example:
        >>> datasets = read_channels(find_channels("mydata"), num_classes=11)
        >>> datasets.train.pixel_counts
    """
    splits = _read(channels, SPLITS, num_classes, progress, attributes, class_names, validation_split)
    return Datasets(splits["train"], splits["validation"])


def read_split(
    channels: Mapping[str, Path],
    num_classes: int,
    split: str = "validation",
    progress: ProgressCallback | None = None,
    *,
    attributes: AttributeNames = _NONE,
    class_names: Sequence[str] = (),
) -> FileDataset:
    """Reads and checks one split alone; as ``read_channels``."""
    return _read(channels, (split,), num_classes, progress, attributes, class_names)[split]


def _zeros() -> Counts:
    return np.zeros(256, np.int64)


@dataclass
class DatasetScan:
    """What is known of one split while its files are being read.

    Attributes:
        label_map: None if it is bad.
        pairs: all of them, as they were found.
        checked: those whose image can be read, with their sizes.
        value_counts: (256,) pixels of each mask value.
        pixel_counts: (256,) pixels of each label.
        image_counts: (256,) images in which each label occurs.
        image_pixel_counts: (256,) labelled pixels of those images.
        numberings: color masks by ``ColorMask.numbering``.
        class_names: as in ``FileDataset``; ``one_class_masks`` alike.
        misfits: masks with values that have no label, and what they are.
    """

    split: str
    label_map: LabelMap | None
    notes: list[str]
    pairs: list[ImageMaskPair]
    checked: list[ImageMaskPair] = field(default_factory=list)
    value_counts: Counts = field(default_factory=_zeros)
    pixel_counts: Counts = field(default_factory=_zeros)
    image_counts: Counts = field(default_factory=_zeros)
    image_pixel_counts: Counts = field(default_factory=_zeros)
    numberings: Counter[str] = field(default_factory=Counter)
    class_names: tuple[str, ...] = ()
    one_class_masks: int = 0
    misfits: list[tuple[str, str]] = field(default_factory=list)

    def add(self, pair: ImageMaskPair, checked: CheckedPair, faults: FaultList) -> None:
        """Counts the pixels of one pair and collects its faults."""
        for kind, fault in checked.faults:
            faults.extend(kind, [fault])
        if checked.size:
            self.checked.append(replace(pair, size=checked.size))
        if checked.values is None or self.label_map is None:
            return
        if checked.numbering:
            self.numberings[checked.numbering] += 1
        table, values = self.label_map.table, checked.values
        if what := self.label_map.misfit(values):
            self.misfits.append((pair.describe(pair.mask), what))
        labelled = (table != INVALID) & (table != IGNORE)
        pixels = _zeros()
        np.add.at(pixels, table[labelled], values[labelled])
        self.value_counts += values
        self.pixel_counts += pixels
        self.image_counts[pixels > 0] += 1
        self.image_pixel_counts[pixels > 0] += pixels.sum()
        self.one_class_masks += np.count_nonzero(pixels) == 1

    def dataset(self, num_classes: int) -> FileDataset:
        """The data set, once all pairs have been added and no fault was found."""
        assert self.label_map is not None  # a bad label map is a fault, and faults have been raised
        return FileDataset(
            channel=self.split,
            pairs=tuple(self.checked),
            label_map=self.label_map,
            pixel_counts=self.pixel_counts[:num_classes].copy(),
            image_pixel_counts=self.image_pixel_counts[:num_classes].copy(),
            value_counts=self.value_counts,
            notes=tuple(self.notes),
            class_names=self.class_names,
            one_class_masks=self.one_class_masks,
        )


def unmapped_values(label_map: LabelMap | None, value_counts: Counts) -> list[int]:
    """Mask values that occur and are ignored since the label map doesn't name them."""
    if label_map is None:
        return []
    ignored = (value_counts > 0) & (label_map.table == IGNORE)
    return [value for value in np.flatnonzero(ignored).tolist() if value != IGNORE]


def scan_dataset(
    channels: Mapping[str, Path],
    splits: tuple[str, ...],
    num_classes: int,
    faults: FaultList,
    progress: ProgressCallback | None = None,
    visitor: SampleVisitor | None = None,
    attributes: AttributeNames = _NONE,
    class_names: Sequence[str] = (),
    validation_split: ValidationSplit | None = None,
) -> list[DatasetScan]:
    """Reads every file of the splits once; a training and the data report find the same faults by it.

    Args:
        splits: which of "train" and "validation".
        faults: gets everything that is wrong.
        visitor: sees every pair as it is read.

    The other arguments are those of ``read_channels``.
    """
    channels = {name: Path(path) for name, path in channels.items()}
    if validation_split:
        channels = _with_validation(channels, faults)
    read = ("train",) if validation_split else splits
    maps = read_label_maps(channels, read, num_classes, faults)
    scans = []
    for split in read:
        label_map, notes = maps[split]
        pairs = find_pairs(channels, split, faults, notes, attributes.get(split, ()), progress)
        scans.append(DatasetScan(split, label_map, notes, pairs))
    if validation_split:
        scans = _divide(scans[0], validation_split, faults)
    _resolve_class_names(scans, num_classes, class_names, faults)
    work = [(scan, pair) for scan in scans for pair in scan.pairs]
    results = check_samples((pair for _, pair in work), visitor)
    for done, ((scan, pair), checked) in enumerate(zip(work, results, strict=True), start=1):
        scan.add(pair, checked, faults)
        if visitor:
            visitor.pair(scan.split, pair, checked)
        if progress:
            progress(done, len(work))
    _report_misfits(scans, num_classes, faults)
    for scan in scans:
        if not faults.kinds and not scan.pixel_counts.any():
            what = "every pixel of every mask is ignored, none is left to learn from or to measure"
            where = channels.get(f"{scan.split}_annotation", channels[scan.split])
            remedy = "check the label map"
            if scan.label_map and not scan.label_map.source:
                remedy = "the masks hold 255 alone, which means ignore: write labels from 0 on"
            faults.add("masks without labels", where, what, remedy)
        if scan.numberings.total() > scan.numberings["labels"]:
            listed = ", ".join(f"{_NUMBERINGS[name]}: {count}" for name, count in sorted(scan.numberings.items()))
            scan.notes.append(f"{scan.split}: masks are read by their colours, not by their numbers ({listed})")
    return scans


def _with_validation(channels: Mapping[str, Path], faults: FaultList) -> dict[str, Path]:
    """Validation has the places of train. A channel of its own is a fault."""
    for name in ("validation", "validation_annotation"):
        if name in channels:
            what = "is a channel of its own, and a share of train is asked for"
            faults.add("two validations", channels[name], what, "leave one of the two out")
    places = {name.replace("train", "validation"): path for name, path in channels.items() if name.startswith("train")}
    return {**channels, **places}


def _divide(train: DatasetScan, validation_split: ValidationSplit, faults: FaultList) -> list[DatasetScan]:
    if len(train.pairs) == 1:
        what = "there is one pair alone, of which none can be kept apart"
        faults.add("one pair", train.pairs[0].image, what, "add pairs, or give the channels of validation")
    pairs, kept_apart = validation_split.divide(train.pairs) if len(train.pairs) > 1 else (train.pairs, [])
    note = f"validation: {len(kept_apart)} pairs of train, chosen by the seed"
    return [replace(train, pairs=pairs), DatasetScan("validation", train.label_map, [note], kept_apart)]


def _report_misfits(scans: Sequence[DatasetScan], num_classes: int, faults: FaultList) -> None:
    """Adds the values without a label, with a label map that fits all masks which are read as they are.

    ``MAX_CLASSES`` stands for a number that isn't known.
    """
    unmapped = [scan for scan in scans if scan.misfits and scan.label_map is not None and scan.label_map.is_identity]
    values = np.flatnonzero(sum((scan.value_counts for scan in unmapped), _zeros())).tolist()
    proposal = propose_label_map(values, None if num_classes == MAX_CLASSES else num_classes) if unmapped else None
    for scan in scans:
        remedy = f"raise num_classes, fix the mask, or give a label_map/{scan.split}_label_map.json"
        if scan.label_map is not None and scan.label_map.source:
            remedy = f"raise num_classes, or fix the mask or {scan.label_map.source}"
        elif proposal:
            remedy = proposal.remedy([other.split for other in unmapped])
            if 0 not in values:
                remedy = f"labels begin at 0: {remedy}, or raise num_classes if 0 is one of them"
        for where, what in scan.misfits:
            faults.add("label out of range", where, what, remedy)


def _resolve_class_names(
    scans: Sequence[DatasetScan], num_classes: int, class_names: Sequence[str], faults: FaultList
) -> None:
    pairs, notes = ({scan.split: getattr(scan, name) for scan in scans} for name in ("pairs", "notes"))
    mapped = [scan.split for scan in scans if scan.label_map is None or scan.label_map.source]
    names = resolve_class_names(pairs, mapped, num_classes, class_names, faults, notes)
    for scan in scans:
        scan.class_names = names


def _read(
    channels: Mapping[str, Path],
    splits: tuple[str, ...],
    num_classes: int,
    progress: ProgressCallback | None,
    attributes: AttributeNames,
    class_names: Sequence[str],
    validation_split: ValidationSplit | None = None,
) -> dict[str, FileDataset]:
    faults = FaultList()
    scans = scan_dataset(
        channels, splits, num_classes, faults, progress, None, attributes, class_names, validation_split
    )
    faults.raise_any()
    return {scan.split: scan.dataset(num_classes) for scan in scans}
