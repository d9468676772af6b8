"""Finds images and masks in folders of other layouts than a training's, and proposes a command that takes them.

images/a.jpg  masks/a.png                           images/training/a.jpg  annotations/training/a.png
train/images/a.jpg  train/masks/a.png               train/a.jpg  train/a_mask.png  valid/b.jpg  valid/b_mask.png
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from sagemaker_semseg.data.annotation_tools import PROGRAM, recognize

_MOST_FILES: Final = 200_000
_EXTENSIONS: Final = (".jpg", ".jpeg", ".png")
_SPLITS: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_IMAGE: Final = r"images?|imgs?|jpegimages|leftimg8bit|rgb|originals?"
_MASK: Final = (
    r"masks?|annotations?|annots?|annot|labels?|gt|gtfine|ground_?truths?|segmentations?|segmentationclass|segmaps?|seg"
    r"|targets?|masks_machine|labelids"
)
_FOLDER: Final = re.compile(
    rf"(?P<split>{'|'.join(_SPLITS)})?[_\- ]?((?P<image>{_IMAGE})|(?P<mask>{_MASK}))?"
    rf"[_\- ]?(?P<split2>{'|'.join(_SPLITS)})?",
    re.IGNORECASE,
)
_NO_MASKS: Final = re.compile(
    r"masks_human|masks_instances|segmentationobject|overlays?|visuali[sz]ations?", re.IGNORECASE
)
_MASK_NAME: Final = re.compile(r"(?P<name>.+?)[_\-. ](mask|masks|label|labels|L|gt|GT|seg|segmentation|annotation)")


class LayoutPair(NamedTuple):
    """An image and its mask.

    Attributes:
        name: Of both, below the folders of images and masks, without extension.
        split: "train", "validation", "test" or "".
        image: The image.
        mask: The mask; None where there is none.
    """

    name: str
    split: str
    image: Path
    mask: Path | None


@dataclass
class Layout:
    """The images found in a folder, and masks without an image."""

    pairs: list[LayoutPair] = field(default_factory=list)
    masks_alone: list[Path] = field(default_factory=list)

    def flags(self) -> str:
        """The flags that give these folders to a training; "" where it can't take them as they are."""
        given = []
        for split in ("train", "validation"):
            pairs = [pair for pair in self.pairs if pair.split == split]
            folders = {(_above(pair.image, pair.name), pair.mask and _above(pair.mask, pair.name)) for pair in pairs}
            image, mask = folders.pop() if len(folders) == 1 else (None, None)
            if not image or not mask or image == mask:
                return ""
            given += [f"--{split} {shlex.quote(str(image))}", f"--{split}-annotation {shlex.quote(str(mask))}"]
        return " ".join(given)


def _above(path: Path, name: str) -> Path | None:
    """The folder below which a file has this name."""
    stem = str(path.with_suffix(""))
    return Path(stem.removesuffix(f"/{name}")) if stem.endswith(f"/{name}") else None


def find_layout(root: Path) -> Layout:
    """Find images and masks below a folder by the names of folders and files; no file is opened."""
    images: dict[tuple[str, str], Path] = {}
    masks: dict[tuple[str, str], Path] = {}
    unclear: list[tuple[tuple[str, str], Path]] = []
    for path, parts in _walk(root):
        split, role, rest = "", "", []
        for part in parts[:-1]:
            match = _FOLDER.fullmatch(part)
            if match and part:
                split = _SPLITS.get((match["split"] or match["split2"] or "").lower(), split)
                role = "image" if match["image"] else "mask" if match["mask"] else role
            else:
                rest.append(part)
        key = (split, "/".join([*rest, Path(parts[-1]).stem]))
        if any(_NO_MASKS.fullmatch(part) for part in parts[:-1]):
            continue
        if role == "mask":
            masks[key] = path
        elif role == "image":
            images[key] = path
        else:
            unclear.append((key, path))
    for key, path in unclear:
        match = _MASK_NAME.fullmatch(key[1]) if path.suffix.lower() == ".png" else None
        named = {other for other, _ in unclear}
        (masks if match and (key[0], match["name"]) in named else images)[key] = path
    return _paired(images, masks)


def _paired(images: dict[tuple[str, str], Path], masks: dict[tuple[str, str], Path]) -> Layout:
    layout, by_image = Layout(), dict[tuple[str, str], Path]()
    for (split, name), path in masks.items():
        match = _MASK_NAME.fullmatch(name)
        stem = name.rpartition(".")[0] if Path(name).suffix.lower() in _EXTENSIONS else name  # Supervisely: a.jpg.png
        key = next((key for n in (name, stem, match and match["name"]) if (key := (split, n or "")) in images), None)
        if key and key not in by_image:
            by_image[key] = path
        else:
            layout.masks_alone.append(path)
    for (split, name), path in images.items():
        layout.pairs.append(LayoutPair(name, split, path, by_image.get((split, name))))
    return layout


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    count = 0
    for here, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.suffix.lower() in _EXTENSIONS:
                count += 1
                if count > _MOST_FILES:
                    return
                yield path, list(path.relative_to(root).parts)


def propose(root: Path) -> str:
    """Propose what to do with a folder of another layout than a training's; "" where nothing is known of it."""
    layout = find_layout(root)
    pairs = [pair for pair in layout.pairs if pair.mask]
    if pairs and (flags := layout.flags()):
        return f"{len(pairs)} images with masks were found; give {flags} in place of --data"
    if tool := recognize(root):
        return tool.advice
    if pairs:
        command = f"{PROGRAM} convert folders {shlex.quote(str(root))} --output NEW"
        return f"{len(pairs)} images with masks were found; {command} makes the folders of a training from them"
    return ""
