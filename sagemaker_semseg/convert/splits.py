"""Which pictures are for training and which for validation, where the data set doesn't say it.

In: a ``Dataset``. Out: the same with a split for each item. Called by the command before ``writing``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection

from sagemaker_semseg.convert.annotations import AnnotatedDataset, AnnotatedImage
from sagemaker_semseg.data.channels import EXTENSIONS, SPLITS
from sagemaker_semseg.errors import printable

DEFAULT_SHARE = 0.2


def random_split(dataset: AnnotatedDataset, share: float = DEFAULT_SHARE, seed: int = 0) -> AnnotatedDataset:
    """Draws ``share`` of the items that have no split yet for validation, at least one and never all.

    A lot follows from the seed and the item's name alone: the same pictures give the same split on every machine, and a
    picture that is added later moves few others.
    """

    def lot(item: AnnotatedImage) -> bytes:
        return hashlib.sha256(f"{seed}:{printable(item.name)}".encode()).digest()

    undecided = sorted((item for item in dataset.items if not item.split), key=lot)
    count = min(max(1, round(share * len(undecided))), len(undecided) - 1)
    chosen = {id(item) for item in undecided[:count]}
    return _decided(dataset, lambda item: id(item) in chosen)


def by_names(dataset: AnnotatedDataset, names: Collection[str], where: str) -> AnnotatedDataset:
    """The items of these names, with or without an extension, are for validation; where: the list, for messages."""
    wanted = {_bare(name): name for name in names}
    there = {item.name for item in dataset.items}
    for bare, name in wanted.items():
        if bare not in there:
            remedy = "give paths below the folder of the pictures"
            dataset.faults.add("unknown name", where, f"there is no picture {name}", remedy)
    return _decided(dataset, lambda item: item.name in wanted)


def _decided(dataset: AnnotatedDataset, for_validation: Callable[[AnnotatedImage], bool]) -> AnnotatedDataset:
    train, validation = SPLITS
    items = [
        item if item.split else dataclasses.replace(item, split=validation if for_validation(item) else train)
        for item in dataset.items
    ]
    return dataclasses.replace(dataset, items=items)


def _bare(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and f".{extension.lower()}" in EXTENSIONS else name
