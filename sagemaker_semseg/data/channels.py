"""The folders of a training job and the files in them, by name; no file is opened here.

In: a folder that holds channels, or the channels' paths. Out: which channel lies where, and the pairs of an image and a
mask whose path below the channel is the same but for the extension. Faults go into a ``FaultList``, which raises them
all at once. Called by ``samples``; ``find_channels`` also by the command line.
"""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final

from sagemaker_semseg.errors import DataError, Fault

SPLITS: Final = ("train", "validation")
_REQUIRED: Final = ("train", "train_annotation", "validation", "validation_annotation")
CHANNELS: Final = (*_REQUIRED, "label_map", "model", "pretrained")
EXTENSIONS: Final = (".jpg", ".jpeg", ".png")
_LAYOUT: Final = (
    "expected: train/a.jpg with train_annotation/a.png, validation/b.jpg with validation_annotation/b.png, "
    "and, if the masks need one, label_map/train_label_map.json and label_map/validation_label_map.json"
)
_EACH_KIND_FIRST: Final = 5


@dataclass
class FaultList:
    """Collects faults by kind, so that a thousand of one kind don't hide one of another."""

    kinds: dict[str, list[Fault]] = field(default_factory=dict)

    def add(self, kind: str, where: Path | str, what: str, remedy: str = "") -> None:
        self.kinds.setdefault(kind, []).append(Fault(shown(where), shown(what), shown(remedy)))

    def take(self, kind: str, error: DataError) -> None:
        self.kinds.setdefault(kind, []).extend(error.faults)

    def raise_any(self) -> None:
        """Raises one ``DataError``: the message counts the kinds, ``faults`` begins with some of each kind."""
        if not self.kinds:
            return
        counts = ", ".join(f"{kind}: {len(faults)}" for kind, faults in self.kinds.items())
        first = [fault for faults in self.kinds.values() for fault in faults[:_EACH_KIND_FIRST]]
        rest = [fault for faults in self.kinds.values() for fault in faults[_EACH_KIND_FIRST:]]
        raise DataError(f"the data can't be used ({counts})", first + rest)


@dataclass(frozen=True)
class Pair:
    """An image and its mask. name: the path below the channel, without extension, with "/" on every system."""

    name: str
    image: Path
    mask: Path


def shown(path: Path | str) -> str:
    """A path, or a text with paths in it, for people: printing the bytes that are no Unicode would fail."""
    return str(path).encode("utf-8", "replace").decode()


def find_channels(root: Path | str) -> dict[str, Path]:
    """The channels that lie in ``root`` as folders named like them.

    Raises ``DataError`` where there is no such folder, or none of the four channels of images and masks in it.
    """
    root = Path(root)
    faults = FaultList()
    found = {name: root / name for name in CHANNELS if (root / name).is_dir()}
    if not root.is_dir():
        faults.add("missing folder", root, "no such folder", _LAYOUT)
    elif not found.keys() & set(_REQUIRED):
        what = f"holds none of the folders {', '.join(_REQUIRED)}"
        faults.add("missing channel", root, what, f"{_there(root)}; {_LAYOUT}")
    faults.raise_any()
    return found


def split_pairs(channels: Mapping[str, Path], split: str, faults: FaultList, notes: list[str]) -> list[Pair]:
    """The pairs of one split, sorted by name. What is wrong goes into ``faults``, what was left out into ``notes``."""
    annotation = f"{split}_annotation"
    images = _files(channels, split, faults, notes)
    masks = _files(channels, annotation, faults, notes)
    if not images or not masks:  # one fault says it; each file of the other channel needn't
        return []
    lonely = sorted(masks.keys() - images.keys())
    for name in sorted(images.keys() - masks.keys()):
        remedy = _like(name, lonely, masks) or f"add {channels[annotation]}/{name}.png or remove the image"
        faults.add("image without mask", images[name], f"no mask of this name in {annotation}", remedy)
    for name in lonely:
        faults.add("mask without image", masks[name], f"no image of this name in {split}", "add the image or remove it")
    return [Pair(name, images[name], masks[name]) for name in sorted(images.keys() & masks.keys())]


def _folder(channels: Mapping[str, Path], name: str, faults: FaultList) -> Path | None:
    if name in channels and channels[name].is_dir():
        return channels[name]
    if name in channels:
        faults.add("missing channel", channels[name], f"the folder of the channel {name} doesn't exist", _LAYOUT)
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
        faults.add("channel without pictures", folder, what, _LAYOUT)
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


def _like(name: str, sorted_names: list[str], files: Mapping[str, Path]) -> str:
    """A remedy that names the mask which was probably meant: ``0001_L.png`` for ``0001.jpg``."""
    at = bisect_left(sorted_names, name)
    if at < len(sorted_names) and sorted_names[at].startswith(name):
        return f"if {files[sorted_names[at]]} belongs to it, give both the same name"
    return ""
