"""The channels of a training job and the files in them, by name; no picture is opened here.

In: a folder that holds channels, or the channels' paths. Out: which channel lies where, and the pairs of an image and a
mask: those whose path below their folders is the same but for the extension, or those that a manifest names. Faults go
into a ``FaultList``, which raises them all at once. Called by ``samples``; ``find_channels`` also by the command line.
"""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final

from sagemaker_semseg.data.faults import FaultList, shown
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.data.manifest import SUFFIXES, ProgressCallback, read_pairs
from sagemaker_semseg.data.pairs import ImageMaskPair
from sagemaker_semseg.errors import DataError

__all__ = [
    "CHANNELS",
    "EXTENSIONS",
    "SPLITS",
    "FaultList",
    "ImageMaskPair",
    "find_channels",
    "manifest_of",
    "shown",
    "split_pairs",
]

SPLITS: Final = ("train", "validation")
_REQUIRED: Final = ("train", "train_annotation", "validation", "validation_annotation")
CHANNELS: Final = (*_REQUIRED, "label_map", "model", "pretrained")
EXTENSIONS: Final = (".jpg", ".jpeg", ".png")
_LAYOUT: Final = (
    "expected: train/a.jpg with train_annotation/a.png, validation/b.jpg with validation_annotation/b.png, "
    "and, if the masks need one, label_map/train_label_map.json and label_map/validation_label_map.json"
)


def find_channels(root: Path | str) -> dict[str, Path]:
    """The channels that lie in ``root`` as folders named like them, or as manifests (``train.manifest``).

    Raises ``DataError`` where there is no such folder, or none of the four channels of images and masks in it.
    """
    root = Path(root)
    faults = FaultList()
    found = {name: root / name for name in CHANNELS if (root / name).is_dir()}
    for split in SPLITS:
        manifests = [root / f"{split}{suffix}" for suffix in SUFFIXES if (root / f"{split}{suffix}").is_file()]
        if split in found and f"{split}_annotation" in found:
            continue
        if len(manifests) > 1:
            faults.add("two manifests", manifests[1], f"stands beside {manifests[0].name}", "remove one of them")
        elif manifests:
            found[split] = manifests[0]
    if not root.is_dir():
        faults.add("missing folder", root, "no such folder", _LAYOUT)
    elif not found.keys() & set(_REQUIRED):
        what = f"holds none of the folders {', '.join(_REQUIRED)}, and no train.manifest"
        faults.add("missing channel", root, what, f"{_there(root)}; {_LAYOUT}")
    faults.raise_any()
    return found


def manifest_of(channel: Path) -> list[Path]:
    """The manifests that stand for a channel's pictures: the channel itself if it is a file, or those in a folder that
    holds neither pictures nor folders. Empty for a channel of pictures.
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
    except OSError:  # it is reported where its files are looked for
        return []
    return sorted(manifests)


def split_pairs(
    channels: Mapping[str, Path],
    split: str,
    faults: FaultList,
    notes: list[str],
    attributes: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> list[ImageMaskPair]:
    """The pairs of one split: of folders sorted by name, of a manifest as its lines are.

    What is wrong goes into ``faults``, what was left out into ``notes``. attributes: of a manifest's images and masks
    (``manifest.read_lines``). progress: is told of files that are fetched from S3.
    """
    manifests = manifest_of(channels[split]) if split in channels else []
    if len(manifests) > 1:
        listed = ", ".join(path.name for path in manifests[:12])
        faults.add("two manifests", channels[split], f"holds {listed}", f"name one of them for the channel {split}")
        return []
    if manifests:
        if f"{split}_annotation" in channels:
            notes.append(f"{split}: a manifest names its masks, the channel {split}_annotation isn't read")
        return read_pairs(manifests[0], split, faults, notes, attributes, progress)
    return _pairs_of_folders(channels, split, faults, notes)


def _pairs_of_folders(
    channels: Mapping[str, Path], split: str, faults: FaultList, notes: list[str]
) -> list[ImageMaskPair]:
    annotation = f"{split}_annotation"
    images = _files(channels, split, faults, notes)
    masks = _files(channels, annotation, faults, notes)
    if not images or not masks:  # one fault says it; each file of the other channel needn't
        return []
    lonely = sorted(masks.keys() - images.keys())
    in_small = {name.casefold(): name for name in lonely}
    for name in sorted(images.keys() - masks.keys()):
        remedy = _like(name, lonely, in_small, masks) or f"add {channels[annotation]}/{name}.png or remove the image"
        faults.add("image without mask", images[name], f"no mask of this name in {annotation}", remedy)
    for name in lonely:
        faults.add("mask without image", masks[name], f"no image of this name in {split}", "add the image or remove it")
    return [ImageMaskPair(name, images[name], masks[name]) for name in sorted(images.keys() & masks.keys())]


def _folder(channels: Mapping[str, Path], name: str, faults: FaultList) -> Path | None:
    if name in channels and channels[name].is_dir():
        return channels[name]
    if name in channels:
        kind = "manifest" if channels[name].suffix in SUFFIXES else "folder"
        faults.add("missing channel", channels[name], f"the {kind} of the channel {name} doesn't exist", _LAYOUT)
        return None
    parents = {path.parent for path in channels.values()}
    remedy = f"{_there(parents.pop(), name)}; {_LAYOUT}" if len(parents) == 1 else _LAYOUT
    faults.add("missing channel", name, "the channel is missing", remedy)
    return None


def _there(root: Path, missing: str = "") -> str:
    """The folders that lie in ``root``, the likeliest one for a missing channel apart."""
    names = sorted(entry.name for entry in root.glob("[!.]*") if entry.is_dir())
    listing = f"folders there: {', '.join(names[:12]) or 'none'}"
    others = [name for name in names if name not in CHANNELS]
    nearest = max(others, key=lambda name: SequenceMatcher(None, name.lower(), missing).ratio(), default="")
    if missing and nearest and SequenceMatcher(None, nearest.lower(), missing).ratio() > 0.4:
        return f"rename {root / nearest} to {missing} if it is that; {listing}"
    return listing


def _files(channels: Mapping[str, Path], channel: str, faults: FaultList, notes: list[str]) -> dict[str, Path]:
    """The pictures below a channel's folder, by name. Hidden files and folders (.DS_Store, ._a.jpg) don't count."""
    folder = _folder(channels, channel, faults)
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
        notes.append(f"{channel}: files that are no pictures were left out ({rest})")
    return files


def _walk(folder: Path, faults: FaultList) -> Iterator[Path]:
    """Every file below a folder, sorted within each folder. Links are followed, but not back to a folder above."""
    pending: list[tuple[Path, frozenset[str]]] = [(folder, frozenset())]
    while pending:
        here, above = pending.pop()
        above |= {os.path.realpath(here)}
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
            elif not path.is_symlink() or os.path.realpath(path) not in above:
                pending.append((path, above))


def _like(name: str, sorted_names: list[str], in_small: Mapping[str, str], files: Mapping[str, Path]) -> str:
    """A remedy that names the mask which was probably meant: ``1_L.png`` for ``1.jpg``, ``IMG.png`` for ``img.jpg``.

    in_small: the names, by what they are without capitals.
    """
    at = bisect_left(sorted_names, name)
    like = in_small.get(name.casefold())
    if at < len(sorted_names) and sorted_names[at].startswith(name):
        like = sorted_names[at]
    return f"if {files[like]} belongs to it, give both the same name" if like else ""


def read_label_maps(
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
