"""Chooses the images for validation, at random or by names, where the data set doesn't."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection

from sagemaker_semseg.convert.annotations import AnnotatedDataset, AnnotatedImage
from sagemaker_semseg.data.channels import EXTENSIONS, SPLITS
from sagemaker_semseg.errors import printable

DEFAULT_SHARE = 0.2


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


def by_names(dataset: AnnotatedDataset, names: Collection[str], where: str) -> AnnotatedDataset:
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
        item if item.split else dataclasses.replace(item, split=validation if for_validation(item) else train)
        for item in dataset.items
    ]
    return dataclasses.replace(dataset, items=items)


def _without_extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and f".{extension.lower()}" in EXTENSIONS else name
