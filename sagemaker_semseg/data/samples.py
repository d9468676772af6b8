"""The data of a job, checked: from the channels' folders to samples, label tables and pixel counts.

In: where the channels lie and the number of classes. Out: ``Channels`` with one ``Split`` each for training and
validation, ready for the pipeline. Called once, before training or evaluation starts. Every file is read and decoded
in this one pass, so that whatever is wrong with any of them is known at the start, all of it, in one ``DataError``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.channels import SPLITS, FaultList, Pair, find_channels, shown, split_pairs
from sagemaker_semseg.data.class_names import resolve_class_names
from sagemaker_semseg.data.color_map import Colours
from sagemaker_semseg.data.files import Checked, SampleVisitor, check_samples
from sagemaker_semseg.data.labels import IGNORE, INVALID, LabelMap
from sagemaker_semseg.data.pairs import Progress
from sagemaker_semseg.errors import DataError

__all__ = [
    "Attributes",
    "Channels",
    "Progress",
    "Sample",
    "Split",
    "Tally",
    "find_channels",
    "read_channels",
    "read_split",
    "scan_dataset",
]

Counts = npt.NDArray[np.int64]
Attributes = Mapping[str, Sequence[str]]

_NONE: Final[Attributes] = MappingProxyType({})
_RELATIONS: Final = {
    "labels": "the number is the label",
    "key": "the number is the map's key",
    "key + 1": "the number is the map's key + 1",
    "neither": "the number is neither",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its mask, checked. height, width: as displayed; the rest as in ``Pair``."""

    name: str
    image: Path
    mask: Path
    height: int
    width: int
    colours: Colours | None = None
    where: str = ""


@dataclass(frozen=True, eq=False)
class Split:
    """The samples of one split, sorted by name, and what their masks hold.

    channel: "train" or "validation".
    labels: from mask values to labels.
    pixel_counts: (num_classes,) int64, pixels of each class.
    image_pixel_counts: (num_classes,) int64, labelled pixels of the images in which the class occurs.
    value_counts: (256,) int64, pixels of each mask value, before the label map.
    notes: what is worth telling, though nothing is wrong.
    class_names: those that were given, or that the manifests' maps of colours have, from label 0 on; or none.
    """

    channel: str
    samples: tuple[Sample, ...]
    labels: LabelMap
    pixel_counts: Counts
    image_pixel_counts: Counts
    value_counts: Counts
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, eq=False)
class Channels:
    train: Split
    validation: Split


def read_channels(
    channels: Mapping[str, Path],
    num_classes: int,
    progress: Progress | None = None,
    *,
    attributes: Attributes = _NONE,
    class_names: Sequence[str] = (),
) -> Channels:
    """Reads and checks both splits.

    channels: folders or manifests by channel name (``find_channels``). progress: called with (files done, files in
    all). attributes: names of a manifest's attributes for images and masks, by split. class_names: from label 0 on;
    only maps of colours need them, and have names of their own.
    Raises ``DataError`` with every fault of all channels.
    """
    splits = _read(channels, SPLITS, num_classes, progress, attributes, class_names)
    return Channels(splits["train"], splits["validation"])


def read_split(
    channels: Mapping[str, Path],
    num_classes: int,
    split: str = "validation",
    progress: Progress | None = None,
    *,
    attributes: Attributes = _NONE,
    class_names: Sequence[str] = (),
) -> Split:
    """Reads and checks one split alone; as ``read_channels``."""
    return _read(channels, (split,), num_classes, progress, attributes, class_names)[split]


@dataclass
class Tally:
    """What is known of one split while its files are being read.

    labels: None where its label map is bad. values: (256,) pixels of each mask value. By label, (256,): pixels, images
    in which it occurs, labelled pixels of those images. indices: of masks with colours, how their numbers stand to the
    labels (``coloured.Read``). class_names: as in ``Split``.
    """

    split: str
    labels: LabelMap | None
    notes: list[str]
    pairs: list[Pair]
    samples: list[Sample] = field(default_factory=list)
    values: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    pixels: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    images: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    image_pixels: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    indices: Counter[str] = field(default_factory=Counter)
    class_names: tuple[str, ...] = ()


def scan_dataset(
    channels: Mapping[str, Path],
    splits: tuple[str, ...],
    num_classes: int,
    faults: FaultList,
    progress: Progress | None = None,
    look: SampleVisitor | None = None,
    attributes: Attributes = _NONE,
    class_names: Sequence[str] = (),
) -> list[Tally]:
    """Reads every file of the splits once. What is wrong goes into ``faults``; ``look`` sees every pair as it is read.

    attributes, class_names: as for ``read_channels``. The doctor calls it too, so that it finds the very faults that
    stop a training.
    """
    channels = {name: Path(path) for name, path in channels.items()}
    maps = label_maps(channels, splits, num_classes, faults)
    tallies = []
    for split in splits:
        labels, notes = maps[split]
        pairs = split_pairs(channels, split, faults, notes, attributes.get(split, ()), progress)
        tallies.append(Tally(split, labels, notes, pairs))
    _settle(tallies, num_classes, class_names, faults)
    work = [(tally, pair) for tally in tallies for pair in tally.pairs]
    results = check_samples((pair for _, pair in work), look)
    for done, ((tally, pair), checked) in enumerate(zip(work, results, strict=True), start=1):
        _count(tally, pair, checked, faults)
        if look:
            look.pair(tally.split, pair, checked)
        if progress:
            progress(done, len(work))
    for tally in tallies:
        if not faults.kinds and not tally.pixels.any():
            what = "every pixel of every mask is ignored, none is left to learn from or to measure"
            where = channels.get(f"{tally.split}_annotation", channels[tally.split])
            faults.add("masks without labels", where, what, "check the label map")
        if tally.indices.total() > tally.indices["labels"]:
            listed = ", ".join(f"{_RELATIONS[sort]}: {count}" for sort, count in sorted(tally.indices.items()))
            tally.notes.append(f"{tally.split}: masks are read by their colours, not by their numbers ({listed})")
    return tallies


def _settle(tallies: Sequence[Tally], num_classes: int, class_names: Sequence[str], faults: FaultList) -> None:
    """One list of classes for all maps of colours; what they lead to are labels, which need no label map."""
    pairs, notes = ({tally.split: getattr(tally, name) for tally in tallies} for name in ("pairs", "notes"))
    mapped = [tally.split for tally in tallies if tally.labels is None or tally.labels.source]
    names = resolve_class_names(pairs, mapped, num_classes, class_names, faults, notes)
    for tally in tallies:
        tally.class_names = names


def _read(
    channels: Mapping[str, Path],
    splits: tuple[str, ...],
    num_classes: int,
    progress: Progress | None,
    attributes: Attributes,
    class_names: Sequence[str],
) -> dict[str, Split]:
    faults = FaultList()
    tallies = scan_dataset(channels, splits, num_classes, faults, progress, None, attributes, class_names)
    faults.raise_any()
    return {tally.split: _split(tally, num_classes) for tally in tallies}


def label_maps(
    channels: Mapping[str, Path], splits: tuple[str, ...], num_classes: int, faults: FaultList
) -> dict[str, tuple[LabelMap | None, list[str]]]:
    """The label map of each split, None where it is bad, and notes. ``label_map.json`` stands in for both names."""
    if "label_map" not in channels:
        return {split: (LabelMap.identity(num_classes), []) for split in splits}
    channel = channels["label_map"]
    files = [channel] if channel.is_file() else sorted(channel.iterdir()) if channel.is_dir() else []
    there = {path.name: path for path in files if path.is_file() and not path.name.startswith(".")}
    names = [f"{split}_label_map.json" for split in SPLITS]
    if not there.keys() & {*names, "label_map.json"}:
        what = f"no {' or '.join(names)} in it" + (f", only {', '.join(sorted(there)[:8])}" if there else "")
        faults.add("bad label map", channel, what, "name the file so, or leave the channel label_map out")
        return {split: (None, []) for split in splits}
    maps: dict[str, tuple[LabelMap | None, list[str]]] = {}
    read: dict[Path, LabelMap | None] = {}
    for split in splits:
        path = there.get(f"{split}_label_map.json", there.get("label_map.json"))
        if path is None:
            note = f"label_map has no {split}_label_map.json: the masks of {split} are read as they are"
            maps[split] = (LabelMap.identity(num_classes), [note])
            continue
        if path not in read:
            read[path] = None
            try:
                read[path] = LabelMap.from_json(path, num_classes, shown(path))
            except DataError as error:
                faults.take("bad label map", error)
        maps[split] = (read[path], [])
    return maps


def _count(tally: Tally, pair: Pair, checked: Checked, faults: FaultList) -> None:
    for kind, fault in checked.faults:
        faults.kinds.setdefault(kind, []).append(fault)
    if checked.size:
        tally.samples.append(Sample(pair.name, pair.image, pair.mask, *checked.size, pair.colours, pair.where))
    if checked.values is None or tally.labels is None:
        return
    if checked.indices:
        tally.indices[checked.indices] += 1
    table, values = tally.labels.table, checked.values
    if what := tally.labels.misfit(values):
        remedy = f"raise num_classes, mend the mask, or give a label_map/{tally.split}_label_map.json"
        faults.add("label out of range", pair.called(pair.mask), what, remedy)
    labelled = (table != INVALID) & (table != IGNORE)
    pixels = np.zeros(256, np.int64)
    np.add.at(pixels, table[labelled], values[labelled])
    tally.values += values
    tally.pixels += pixels
    tally.images[pixels > 0] += 1
    tally.image_pixels[pixels > 0] += pixels.sum()


def _split(tally: Tally, num_classes: int) -> Split:
    assert tally.labels is not None  # a bad label map is a fault, and faults have been raised
    unnamed = [value for value in np.flatnonzero(tally.values) if value != 255 and tally.labels.table[value] == IGNORE]
    if unnamed:
        share = tally.values[unnamed].sum() / tally.values.sum()
        listed = ", ".join(map(str, unnamed[:12])) + (", ..." if len(unnamed) > 12 else "")
        tally.notes.append(f"{tally.split}: pixels ignored by the label map: {share:.2%} (values {listed})")
    return Split(
        channel=tally.split,
        samples=tuple(tally.samples),
        labels=tally.labels,
        pixel_counts=tally.pixels[:num_classes].copy(),
        image_pixel_counts=tally.image_pixels[:num_classes].copy(),
        value_counts=tally.values,
        notes=tuple(tally.notes),
        class_names=tally.class_names,
    )
