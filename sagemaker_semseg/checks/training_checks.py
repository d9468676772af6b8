"""Checks that run before every training, since they need nothing but the counts of its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sagemaker_semseg.checks import dataset_checks
from sagemaker_semseg.checks.label_doubts import find_label_doubts
from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding, sort_findings
from sagemaker_semseg.data.channels import annotation_channel
from sagemaker_semseg.data.datasets import Datasets, FileDataset

_MOST_KINDS = 6
_MOST_PLACES = 5


def check_before_training(
    datasets: Datasets, channels: Mapping[str, Path], num_classes: int, names: Sequence[str], crop_size: int
) -> list[Finding]:
    """Find what is doubtful with the data of a training, as far as their counts and sizes show it.

    Args:
        datasets: The checked data; those of Pipe mode haven't been counted.
        channels: Where they are, by channel.
        num_classes: The number of classes.
        names: Of the classes, from label 0 on, or none.
        crop_size: Side of the square that training crops, in pixels.
    """
    splits = [split for split in (datasets.train, datasets.validation) if isinstance(split, FileDataset)]
    found = [*find_label_doubts(splits, num_classes, names, channels), *dataset_checks.check_same_folder(channels)]
    if not found:  # what else is odd with the classes follows from that
        found += dataset_checks.check_classes(splits, num_classes, names)
    found += dataset_checks.check_label_maps(splits, channels.get("label_map"))
    for split in splits:
        where = channels.get(annotation_channel(split.split), channels.get(split.split, Path(split.split)))
        found += [*dataset_checks.check_counts(split, where), *_check_sizes(split, crop_size)]
    return sort_findings(found)


def describe(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each kind of warning, the first few, with what it is about."""
    kinds: dict[str, list[Finding]] = {}
    for item in findings:
        kinds.setdefault(item.kind, []).append(item)
    lines = []
    for kind, group in list(kinds.items())[:_MOST_KINDS]:
        if len(group) == 1:
            lines.append(f"{kind}: {group[0].where}: {group[0].what}")
            continue
        places = ", ".join(item.where for item in group[:_MOST_PLACES])
        lines.append(f"{kind} ({len(group)} x): {places}" + (", ..." if len(group) > _MOST_PLACES else ""))
    if lines:
        more = f"{len(kinds) - _MOST_KINDS} more kinds; " if len(kinds) > _MOST_KINDS else ""
        lines.append(f"{more}sagemaker-semseg check says why each matters and how to fix it, and finds more")
    return lines


def _check_sizes(split: FileDataset, crop_size: int) -> Iterator[Finding]:
    sizes = [pair.size for pair in split.pairs if pair.size]
    small = sum(min(size) < crop_size for size in sizes)
    if small and split.split == "train":
        what = f"{small} of {len(sizes)} images are smaller than the crop of {crop_size} x {crop_size}"
        yield finding("image smaller than the crop", split.split, what, "lower crop_size, or use larger images")
    yield from dataset_checks.check_sizes(
        [(max(pair.size), pair.image.name) for pair in split.pairs if pair.size], Path(split.split)
    )
