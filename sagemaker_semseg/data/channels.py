"""The channels of a training job: finds them, and the image-mask pairs and label maps in them. No image is opened."""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final

from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.data.layouts import propose
from sagemaker_semseg.data.manifest import SUFFIXES, ProgressCallback, read_pairs
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.errors import DataError, FaultList, printable

SPLITS: Final = ("train", "validation")
LABEL_MAP: Final = "label_map"
EXTENSIONS: Final = (".jpg", ".jpeg", ".png")


def annotation_channel(split: str) -> str:
    """The channel of the masks that belong to the images of ``split``."""
    return f"{split}_annotation"


DATA_CHANNELS: Final = tuple(name for split in SPLITS for name in (split, annotation_channel(split)))
CHANNELS: Final = (*DATA_CHANNELS, LABEL_MAP, "model", "pretrained")
SHARE: Final = "to take a fifth of train, at random, train with --validation-split 0.2"
_LAYOUT: Final = (
    "expected: train/a.jpg with train_annotation/a.png, validation/b.jpg with validation_annotation/b.png, "
    "and, if the masks need one, label_map/train_label_map.json and label_map/validation_label_map.json"
)


def find_channels(root: Path | str) -> dict[str, Path]:
    """Finds the channels in ``root``: folders named like them, or manifests (``train.manifest``).

    Raises:
        DataError: if there is no such folder, or none of the four channels of images and masks in it.
    """
    root = Path(root)
    faults = FaultList()
    found = {name: root / name for name in CHANNELS if (root / name).is_dir()}
    for split in SPLITS:
        manifests = [root / f"{split}{suffix}" for suffix in SUFFIXES if (root / f"{split}{suffix}").is_file()]
        if split in found and annotation_channel(split) in found:
            continue
        if len(manifests) > 1:
            faults.add("two manifests", manifests[1], f"stands beside {manifests[0].name}", "remove one of them")
        elif manifests:
            found[split] = manifests[0]
    if not root.is_dir():
        faults.add("missing folder", root, "no such folder", _LAYOUT)
    elif not found.keys() & set(DATA_CHANNELS):
        what = f"holds none of the folders {', '.join(DATA_CHANNELS)}, and no train.manifest"
        faults.add("missing channel", root, what, propose(root) or f"{_list_folders(root)}; {_LAYOUT}")
    faults.raise_any()
    return found


def find_manifests(channel: Path) -> list[Path]:
    """The manifests that stand for a channel's images: the channel itself if it is a file, or those in its folder.

    Empty for a folder that holds images or folders.
    """
    if channel.is_file():
        return [channel]
    manifests = []
    try:
        with os.scandir(channel) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                suffix = os.path.splitext(entry.name)[1].lower()
                if suffix in EXTENSIONS or entry.is_dir():
                    return []
                if suffix in SUFFIXES:
                    manifests.append(channel / entry.name)
    except OSError:  # it is reported when its files are searched
        return []
    return sorted(manifests)


def find_pairs(
    channels: Mapping[str, Path],
    split: str,
    faults: FaultList,
    notes: list[str],
    attributes: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> list[ImageMaskPair]:
    """Finds the pairs of one split: of folders sorted by name, of a manifest in the order of its lines.

    Args:
        channels: folders or manifests by channel name.
        split: "train" or "validation".
        faults: gets what is wrong.
        notes: gets what was left out.
        attributes: of a manifest's images and masks (``manifest.read_lines``).
        progress: called with (files done, files in all) while files are fetched from S3.
    """
    manifests = find_manifests(channels[split]) if split in channels else []
    if len(manifests) > 1:
        listed = ", ".join(path.name for path in manifests[:12])
        faults.add("two manifests", channels[split], f"holds {listed}", f"name one of them for the channel {split}")
        return []
    if manifests:
        if annotation_channel(split) in channels:
            notes.append(f"{split}: a manifest names its masks, the channel {annotation_channel(split)} isn't read")
        return read_pairs(manifests[0], split, faults, notes, attributes, progress)
    return _find_in_folders(channels, split, faults, notes)


def _find_in_folders(
    channels: Mapping[str, Path], split: str, faults: FaultList, notes: list[str]
) -> list[ImageMaskPair]:
    annotation = annotation_channel(split)
    images = _find_files(channels, split, faults, notes)
    masks = _find_files(channels, annotation, faults, notes)
    if not images or not masks:  # one fault says it; each file of the other channel needn't
        return []
    unpaired = sorted(masks.keys() - images.keys())
    by_casefold = {name.casefold(): name for name in unpaired}
    parents = {channels[name].parent for name in (split, annotation)}
    known = propose(parents.pop()) if len(parents) == 1 and not images.keys() & masks.keys() else ""
    for name in sorted(images.keys() - masks.keys()):
        remedy = _suggest_mask(name, unpaired, by_casefold, masks) or known
        remedy = remedy or f"add {channels[annotation]}/{name}.png or remove the image"
        faults.add("image without mask", images[name], f"no mask of this name in {annotation}", remedy)
    for name in unpaired:
        faults.add("mask without image", masks[name], f"no image of this name in {split}", "add the image or remove it")
    return [ImageMaskPair(name, images[name], masks[name]) for name in sorted(images.keys() & masks.keys())]


def _find_folder(channels: Mapping[str, Path], name: str, faults: FaultList) -> Path | None:
    if name in channels and channels[name].is_dir():
        return channels[name]
    if name in channels:
        kind = "manifest" if channels[name].suffix in SUFFIXES else "folder"
        faults.add("missing channel", channels[name], f"the {kind} of the channel {name} doesn't exist", _LAYOUT)
        return None
    parents = {path.parent for path in channels.values()}
    remedy = _LAYOUT
    if len(parents) == 1:
        root = parents.pop()
        known = propose(root) if "missing channel" not in faults.kinds else ""
        remedy = "; ".join(filter(None, [known, _list_folders(root, name), _LAYOUT]))
    if name in DATA_CHANNELS[2:] and "train" in channels and not set(DATA_CHANNELS[2:]) & channels.keys():
        remedy = f"{SHARE}; {remedy}"
    faults.add("missing channel", name, "the channel is missing", remedy)
    return None


def _list_folders(root: Path, missing: str = "") -> str:
    """The folders in ``root``, and which of them may be the missing channel."""
    names = sorted(entry.name for entry in root.glob("[!.]*") if entry.is_dir())
    listing = f"folders there: {', '.join(names[:12]) or 'none'}"
    others = [name for name in names if name not in CHANNELS]
    nearest = max(others, key=lambda name: SequenceMatcher(None, name.lower(), missing).ratio(), default="")
    if missing and nearest and SequenceMatcher(None, nearest.lower(), missing).ratio() > 0.4:
        return f"rename {root / nearest} to {missing} if it is that; {listing}"
    return listing


def _find_files(channels: Mapping[str, Path], channel: str, faults: FaultList, notes: list[str]) -> dict[str, Path]:
    """The images below a channel's folder, by name. Hidden files and folders (.DS_Store, ._a.jpg) don't count."""
    folder = _find_folder(channels, channel, faults)
    if folder is None:
        return {}
    files: dict[str, Path] = {}
    others: Counter[str] = Counter()
    for path in _walk(folder, faults):
        extension = path.suffix.lower()
        if extension not in EXTENSIONS:
            others[extension or "no extension"] += 1
            continue
        # macOS writes an accent as a character of its own, and image and mask may have come different ways
        name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if name in files:
            what = f"has the same name as {files[name]} but for the extension"
            faults.add("two files of one name", path, what, "rename or remove one of them")
        else:
            files[name] = path
    rest = ", ".join(f"{count} x {extension}" for extension, count in others.most_common(8))
    if not files:
        what = f"no {', '.join(EXTENSIONS)} file in it" + (f", only {rest}" if rest else "")
        faults.add("channel without images", folder, what, _LAYOUT)
    elif rest:
        notes.append(f"{channel}: files that are no images were left out ({rest})")
    return files


def _walk(folder: Path, faults: FaultList) -> Iterator[Path]:
    """Every file below a folder, sorted within each folder. Links are followed, but not back to a folder above."""
    pending: list[tuple[Path, frozenset[str]]] = [(folder, frozenset())]
    while pending:
        here, parents = pending.pop()
        parents |= {os.path.realpath(here)}
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            what = f"the folder can't be listed: {error.strerror or error}"
            faults.add("unreadable folder", here, what, "check its permissions")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = here / entry.name
            if not path.is_dir():  # a broken link counts as a file, and can't be read later
                yield path
            elif not path.is_symlink() or os.path.realpath(path) not in parents:
                pending.append((path, parents))


def _suggest_mask(name: str, sorted_names: list[str], by_casefold: Mapping[str, str], files: Mapping[str, Path]) -> str:
    """A remedy that names the mask which was probably meant: ``1_L.png`` for ``1.jpg``, ``IMG.png`` for ``img.jpg``."""
    at = bisect_left(sorted_names, name)
    similar = by_casefold.get(name.casefold())
    if at < len(sorted_names) and sorted_names[at].startswith(name):
        similar = sorted_names[at]
    return f"if {files[similar]} belongs to it, give both the same name" if similar else ""


def read_label_maps(
    channels: Mapping[str, Path], splits: Sequence[str], num_classes: int, faults: FaultList
) -> dict[str, tuple[LabelMap | None, list[str]]]:
    """Reads the label map of each split, None where it is bad, with notes.

    ``label_map.json`` is read where there is no ``<split>_label_map.json``.
    """
    if LABEL_MAP not in channels:
        return {split: (LabelMap.identity(num_classes), []) for split in splits}
    channel = channels[LABEL_MAP]
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
                read[path] = LabelMap.from_json(path, num_classes, printable(path))
            except DataError as error:
                faults.extend("bad label map", error.faults)
        maps[split] = (read[path], [])
    return maps
