"""Checks that need the whole data set: names of files, classes, label maps, kinds and sizes of images."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from sagemaker_semseg.checks.image_checks import SampleSummary
from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.channels import EXTENSIONS, SPLITS, find_manifests
from sagemaker_semseg.data.datasets import DatasetScan, FileDataset, unmapped_values
from sagemaker_semseg.data.label_map_proposal import LabelMapProposal
from sagemaker_semseg.data.labels import IGNORE, INVALID

_MOSTLY_ONE_CLASS: Final = 0.5
_SIZE_RATIO: Final = 4
_MOST_NAMES: Final = 5
_MOST_VALUES: Final = 12
_FORBIDDEN: Final = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')  # in names on Windows, control characters everywhere
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
_LONGEST_KEY: Final = 900  # bytes: S3 takes 1024, of which a prefix needs some


def check_file_names(channels: Mapping[str, Path]) -> Iterator[Finding]:
    """Check the names of all files in the folders of images and masks, without opening one; manifests are left out."""
    yield from check_same_folder(channels)
    folders: dict[str, Path] = {}
    for channel in (name for split in SPLITS for name in (split, f"{split}_annotation")):
        if channel in channels and channels[channel].is_dir() and not find_manifests(channels[channel]):
            folders.setdefault(os.path.realpath(channels[channel]), channels[channel])
    for folder in folders.values():
        yield from _check_folder(folder)


def check_same_folder(channels: Mapping[str, Path]) -> Iterator[Finding]:
    """Find a validation that is the training itself."""
    train, validation = channels.get("train"), channels.get("validation")
    if train and validation and os.path.realpath(train) == os.path.realpath(validation):
        what = f"is also the channel train ({train})"
        yield finding("same folder", validation, what, "keep some pairs apart for validation, a tenth for example")


def _check_folder(folder: Path) -> Iterator[Finding]:
    hidden: list[str] = []
    others: dict[str, list[str]] = {}
    pending: list[tuple[str, frozenset[str]]] = [("", frozenset())]
    while pending:
        below, parents = pending.pop()
        parents |= {os.path.realpath(folder / below)}
        try:
            entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
        except OSError:  # an error of its own
            continue
        seen: dict[str, str] = {}
        for entry in entries:
            path = os.path.join(below, entry.name)
            if entry.name.startswith("."):
                hidden.append(path)
                continue
            yield from _check_name(folder, path, entry.name)
            clash = seen.setdefault(entry.name.casefold(), entry.name)
            if clash != entry.name:
                yield finding("names that differ in case", folder / path, f"beside {clash}", "rename one of them")
            if entry.is_dir():
                if entry.is_symlink() and os.path.realpath(entry.path) in parents:
                    what = f"a link to {os.path.realpath(entry.path)}, in which it lies"
                    yield finding("link that leads back", folder / path, what, "remove the link")
                else:
                    pending.append((path, parents))
            elif (extension := os.path.splitext(entry.name)[1].lower()) not in EXTENSIONS:
                others.setdefault(extension, []).append(path)
    if hidden:
        what = f"{len(hidden)} hidden: {_join(hidden)}"
        yield finding("hidden file", folder, what, "remove them, or rename those that are meant")
    for extension, paths in sorted(others.items()):
        what = f"{len(paths)} {f'with the extension {extension}' if extension else 'without extension'}"
        remedy = f"remove them, or convert those that are meant to {', '.join(EXTENSIONS)}"
        yield finding("file left out", folder, f"{what}: {_join(paths)}", remedy)


def _join(items: Sequence[object], most: int = _MOST_NAMES) -> str:
    """Join the first items with commas."""
    return ", ".join(map(str, items[:most])) + (f" and {len(items) - most} more" if len(items) > most else "")


def _check_name(folder: Path, path: str, name: str) -> Iterator[Finding]:
    if " " in name:
        yield finding("blank in a name", folder / path, "a blank in the name", "rename it, with _ for example")
    if reason := _why_not_portable(name, path):
        remedy = "rename it, and its mask or image alike; letters, digits, - and _ are good everywhere"
        yield finding("name that isn't portable", folder / path, reason, remedy)


def _why_not_portable(name: str, path: str) -> str:
    if any(0xDC80 <= ord(letter) <= 0xDCFF for letter in name):
        return "the name holds bytes that are no UTF-8"
    if match := _FORBIDDEN.search(name):
        return f"the name holds {match.group()!r}"
    if _RESERVED.fullmatch(name):
        return "the name is one of Windows' devices"
    if name.endswith((".", " ")):
        return "the name ends with a dot or a blank"
    if unicodedata.normalize("NFC", name) != name:
        return "an accent is a character of its own in it, as macOS writes it"
    if len(os.fsencode(path)) > _LONGEST_KEY:
        return f"the path below the channel is longer than {_LONGEST_KEY} bytes"
    return ""


def check_split(scan: DatasetScan, summaries: Sequence[SampleSummary], where: Path) -> Iterator[Finding]:
    """Check the pairs of one split together. where: its channel of images."""
    yield from _check_swapped(scan.split, summaries, where)
    yield from _check_gray(summaries, where)
    yield from check_sizes([(max(sample.size), sample.pair.image.name) for sample in summaries if sample.size], where)
    if scan.label_map is None:
        return
    total = scan.numberings.total()
    if unlike := total - scan.numberings["labels"]:
        what = f"the numbers in {unlike} of {total} masks aren't the labels that their colours stand for"
        remedy = "train from the manifest, which goes by colours, or write masks whose numbers are the labels"
        yield finding("numbers unlike colours", where, what, remedy)
    yield from check_counts(scan, where)


def check_masks(scan: DatasetScan, summaries: Sequence[SampleSummary]) -> Iterator[Finding]:
    """Find masks without labels, and with a value that is probably a slip. The label map is that of the data."""
    if scan.label_map is None:
        return
    for sample in summaries:
        if sample.values is None:
            continue
        present = np.unpackbits(sample.values).astype(np.bool_)
        mask = sample.pair.describe(sample.pair.mask)
        if (scan.label_map.table[present] == IGNORE).all():
            remedy = "label it, or remove the pair"
            yield finding("mask without labels", mask, "every pixel of it is ignored", remedy)
        if present[254] and scan.label_map.table[254] == INVALID:
            yield finding("254 in a mask", mask, "the value 254 occurs", "write 255 where ignore is meant")


def check_counts(scan: DatasetScan | FileDataset, where: Path) -> Iterator[Finding]:
    """Check what the masks of one split hold, by their counts."""
    masks = len(scan.pairs)
    if scan.one_class_masks > _MOSTLY_ONE_CLASS * masks:
        what = f"{scan.one_class_masks} of {masks} masks hold a single class ({scan.one_class_masks / masks:.0%})"
        yield finding("masks of one class", where, what, "crop the images so that they show more than one class")
    given = scan.label_map if scan.label_map and scan.label_map.source else None
    if unmapped := unmapped_values(given, scan.value_counts):
        share = scan.value_counts[unmapped].sum() / scan.value_counts.sum()
        what = (
            f"the values {_join(unmapped, _MOST_VALUES)} aren't in the label map: {share:.2%} of all pixels are ignored"
        )
        yield finding("pixel values left out", where, what, "add them to the label map, unless that is meant")


def _check_swapped(split: str, summaries: Sequence[SampleSummary], where: Path) -> Iterator[Finding]:
    swapped = sum(sample.like_a_mask and sample.mask_refused for sample in summaries)
    if summaries and swapped > len(summaries) / 2:
        what = f"its images have the form of masks, and {split}_annotation has colour images ({swapped} pairs)"
        yield finding("channels swapped", where, what, f"exchange the folders {split} and {split}_annotation")


def _check_gray(summaries: Sequence[SampleSummary], where: Path) -> Iterator[Finding]:
    gray = [sample.pair.image.name for sample in summaries if sample.digest and sample.gray]
    color = [sample.pair.image.name for sample in summaries if sample.digest and not sample.gray]
    if gray and color:
        few = _join(min(gray, color, key=len))
        total = len(gray) + len(color)
        what = f"{len(gray)} of {total} images are grey, {len(color)} have colours (such as {few})"
        remedy = "check whether they belong together; where new images will be grey, make all of them grey"
        yield finding("grey images among colour ones", where, what, remedy)


def check_sizes(sides: Sequence[tuple[int, str]], where: Path) -> Iterator[Finding]:
    """Find images of very different sizes. sides: the long side of each image, in pixels, and its name."""
    (small, smallest), (large, largest) = min(sides, default=(0, "")), max(sides, default=(0, ""))
    if large > _SIZE_RATIO * small:
        what = f"long sides from {small} pixels ({smallest}) to {large} ({largest})"
        remedy = "scale images of one kind to similar sizes, masks by nearest neighbour"
        yield finding("sizes far apart", where, what, remedy)


def check_classes(
    scans: Sequence[DatasetScan | FileDataset], num_classes: int, names: Sequence[str]
) -> Iterator[Finding]:
    """Find classes that occur in no split or in one alone; a split without a readable pixel isn't counted."""
    present = {scan.split: scan.pixel_counts > 0 for scan in scans if scan.pixel_counts.any()}
    used = int(np.flatnonzero(np.any([*present.values()], axis=0)).max(initial=-1)) + 1 if present else 0
    for label in range(num_classes):
        where = f"class {label}" + (f" ({names[label]})" if label < len(names) else "")
        absent = [split for split in SPLITS if split in present and not present[split][label]]
        if absent and len(absent) == len(present):
            remedy = "check the label map and whether the masks are complete"
            if label >= used:
                remedy = f"lower num_classes, or {remedy}"
            elif used > 1:
                remedy += f"; a lower num_classes would cut off class {used - 1}, which occurs"
            yield finding("class that never occurs", where, "no pixel of it in any mask", remedy)
        elif absent:
            other = next(split for split in SPLITS if split not in absent)
            what = f"it occurs in {other} alone"
            yield finding(f"class absent from {absent[0]}", where, what, f"move pairs that show it to {absent[0]}")


def missing_label_map(proposals: Mapping[str, LabelMapProposal], scans: Sequence[DatasetScan]) -> Finding:
    """Return the finding that the masks hold other values than labels, and the label map for them."""
    proposal = next(iter(proposals.values()))
    values = np.flatnonzero(sum(scan.value_counts for scan in scans if scan.split in proposals)).tolist()
    what = f"the values are {_join(values, _MOST_VALUES)}"
    if 0 not in values and values[0] <= proposal.num_classes:
        what += "; labels begin at 0"
    remedy = f"{proposal.remedy(list(proposals))}, and num_classes {proposal.num_classes}"
    return finding("label map missing", "the masks", what, remedy)


def check_label_maps(scans: Sequence[DatasetScan | FileDataset], channel: Path | None) -> Iterator[Finding]:
    """Find files of the channel of label maps that no split reads, and values in a map that no mask has."""
    if channel is None:
        return
    if channel.is_dir():
        yield from _check_label_map_files(channel)
    occurs = np.any([scan.value_counts > 0 for scan in scans], axis=0)
    labelled = np.any([scan.pixel_counts > 0 for scan in scans], axis=0)
    named: dict[int, int] = {}
    for scan in scans:
        if (
            scan.label_map is not None and np.count_nonzero(scan.label_map.table == IGNORE) > 1
        ):  # a scale ignores only 255
            named |= {value: label for value, label in enumerate(scan.label_map.table) if label != IGNORE}
    useless = [value for value, label in named.items() if not occurs[value] and labelled[label]]
    if useless and occurs.any():
        what = f"no mask holds the values {_join(useless, _MOST_VALUES)}, which the label map names"
        yield finding("useless label map", channel, what, "check the numbers, or leave them out")


def _check_label_map_files(channel: Path) -> Iterator[Finding]:
    names = {path.name for path in channel.iterdir() if path.is_file() and not path.name.startswith(".")}
    own = {f"{split}_label_map.json" for split in SPLITS}
    used = names & (own if own <= names else own | {"label_map.json"})
    for name in sorted(names - used if used else ()):
        remedy = f"name it {' or '.join(sorted(own))}, or remove it"
        yield finding("useless label map", channel / name, "no split reads a file of this name", remedy)
    if len(used) == 1 and "label_map.json" not in used:
        other = next(iter(own - used))
        remedy = f"add {other}, or name the file label_map.json if both splits need it"
        what = f"there is no {other}: the masks of that split are read as they are"
        yield finding("label map of one split", channel, what, remedy)
