"""What a reader of a format returns: classes and annotated images; the choice of classes and of a split."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.channels import EXTENSIONS, SPLITS
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import FaultList, printable
from sagemaker_semseg.hyperparameters import MAX_CLASSES

Unannotated = Literal["background", "skip", "error"]
"""What becomes of an image without annotations."""

LabelMask = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width, in pixels."""

BACKGROUND: Final = "background"
DEFAULT_SHARE: Final = 0.2
"""Of the images, for validation."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and its annotations.

    Attributes:
        name: Its path below a channel, without extension.
        image: The file, or the one of annotations that holds it.
        draw: Returns the (H, W) mask for a height and a width; raises ``DataError`` with the faults of annotations.
        size: The size that the annotations state, if they do.
        split: "train", "validation", or "" if it is still to be chosen.
        read_image: Returns the bytes of an image that isn't a file of its own.
        missing: What says that the data set has no annotations of it: "there is no a.txt"; ``draw`` returns background.
    """

    name: str
    image: Path
    draw: Callable[[int, int], LabelMask]
    size: Size | None = None
    split: str = ""
    missing: str = ""
    read_image: Callable[[], bytes] | None = None


@dataclass
class AnnotatedDataset:
    """Images with annotations.

    Attributes:
        classes: Names from label 0 on.
        items: The images.
        notes: Things to report that aren't wrong.
        faults: Of entries for which there is no item; ``writing`` raises them.
    """

    classes: tuple[str, ...] = ()
    items: list[AnnotatedImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: FaultList = field(default_factory=FaultList)


@dataclass(frozen=True)
class ClassSelection:
    """The user's choice of classes.

    Attributes:
        only: The names to keep, in the order of their labels; empty keeps all.
        ignored: Names whose pixels become 255.
        background: Whether pixels without an outline are label 0; if not, they are 255 and the classes start at 0.
        larger_first: Smaller outlines lie above larger ones; if not, later ones above earlier ones.
    """

    only: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()
    background: bool = True
    larger_first: bool = True

    @property
    def background_label(self) -> int:
        """The label of pixels without an outline, and of classes that are not kept."""
        return 0 if self.background else IGNORE


def clean(name: str) -> str:
    """Return a class's name in a form for ``--class-names``: one line, no commas, no blanks at the ends."""
    return re.sub(r"[\s,\x00-\x1f\x7f]+", " ", name.encode("utf-8", "replace").decode()).strip() or "unnamed"


def labels_of(
    names: Iterable[str], choice: ClassSelection, dataset: AnnotatedDataset, where: Path | str
) -> dict[str, int]:
    """Return the label of every name, and set ``dataset.classes``; names are in the order of their labels."""
    found = {name: clean(name) for name in names}
    there = dict.fromkeys(found.values())
    only, ignored = [clean(name) for name in choice.only], {clean(name) for name in choice.ignored}
    for name in dict.fromkeys([*only, *sorted(ignored)]):
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(there)[:20]) or 'none'}"
            dataset.faults.add("unknown class", where, f"there is no class {name}", remedy)
    kept = [name for name in dict.fromkeys(only or there) if name not in ignored]
    if choice.background:
        kept = [name for name in kept if not is_background(name)]
        dataset.classes = (BACKGROUND, *kept)
    else:
        dataset.classes = tuple(kept)
    unread = len(dataset.classes) < 2 and bool(dataset.faults.kinds)  # files that can't be read may name more
    if not 2 <= len(dataset.classes) <= MAX_CLASSES and not unread:
        what = f"{len(dataset.classes)} classes, from 2 to {MAX_CLASSES} can be trained ({', '.join(kept[:8])})"
        dataset.faults.add("number of classes", where, what, "choose with --classes, or see --no-background")
    if len(there) < len(found):
        twice = sorted({name for name in there if list(found.values()).count(name) > 1})
        dataset.notes.append(f"names that several classes share, which become one: {', '.join(twice)}")
    number = {name: label for label, name in enumerate(dataset.classes)}
    given = {
        name: IGNORE if known in ignored else number.get(known, choice.background_label)
        for name, known in found.items()
    }
    return {name: label if label < MAX_CLASSES else IGNORE for name, label in given.items()}


def is_background(name: str) -> bool:
    """Return whether a class of this name is the background."""
    return name.strip("_").lower() == BACKGROUND


def treat_unannotated(dataset: AnnotatedDataset, policy: Unannotated) -> AnnotatedDataset:
    """Keep images without annotations as background, leave them out, or make each of them a fault."""
    empty = [item for item in dataset.items if item.missing]
    if policy == "background" or not empty:
        return dataset
    if policy == "skip":
        dataset.notes.append(f"{len(empty)} images without annotations are left out (--unannotated)")
    else:
        remedy = "add it; if the image shows no object (CVAT writes none then): --unannotated background, or skip"
        for item in empty:
            dataset.faults.add("image without annotations", item.image, item.missing, remedy)
    return replace(dataset, items=[item for item in dataset.items if not item.missing])


def random_split(dataset: AnnotatedDataset, share: float = DEFAULT_SHARE, seed: int = 0) -> AnnotatedDataset:
    """Choose a share of the items without a split for validation at random, at least one and never all.

    The choice depends on the seed and the names only: the same images give the same split on every machine, and an
    image that is added later changes the split of few others.
    """

    def rank(item: AnnotatedImage) -> bytes:
        return hashlib.sha256(f"{seed}:{printable(item.name)}".encode()).digest()

    undecided = sorted((item for item in dataset.items if not item.split), key=rank)
    count = min(max(1, round(share * len(undecided))), len(undecided) - 1)
    chosen = {id(item) for item in undecided[:count]}
    return _set_splits(dataset, lambda item: id(item) in chosen)


def split_by_names(dataset: AnnotatedDataset, names: Collection[str], where: str) -> AnnotatedDataset:
    """Choose the items of these names, with or without an extension, for validation; where: the list, for messages."""
    wanted = {_without_extension(name): name for name in names}
    there = {item.name for item in dataset.items}
    for stem, name in wanted.items():
        if stem not in there:
            remedy = "give paths below the folder of the images"
            dataset.faults.add("unknown name", where, f"there is no image {name}", remedy)
    return _set_splits(dataset, lambda item: item.name in wanted)


def _set_splits(dataset: AnnotatedDataset, for_validation: Callable[[AnnotatedImage], bool]) -> AnnotatedDataset:
    train, validation = SPLITS
    items = [
        item if item.split else replace(item, split=validation if for_validation(item) else train)
        for item in dataset.items
    ]
    return replace(dataset, items=items)


def _without_extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and f".{extension.lower()}" in EXTENSIONS else name
