"""Finds labels with which a training would run, but learn nothing or the wrong thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.channels import annotation_channel
from sagemaker_semseg.data.label_map_proposal import LabelMapProposal, propose_label_map
from sagemaker_semseg.data.labels import IGNORE, LabelMap
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.errors import DataError, Fault

Counts = npt.NDArray[np.int64]

DOUBT: Final = "doubtful labels"
FLAG: Final = "--allow-doubtful-labels"

# A lost class is an area; the borders that data sets ignore cover about 5 % (Pascal VOC). With many classes one may be
# missing, and areas be ignored (Cityscapes).
_LOST_SHARE: Final = 0.1
_FEW_CLASSES: Final = 5
_MOST_VALUES: Final = 12


class CountedSplit(Protocol):
    """A split whose masks were counted: ``FileDataset`` or ``DatasetScan``."""

    @property
    def split(self) -> str: ...
    @property
    def pairs(self) -> Sequence[ImageMaskPair]: ...
    @property
    def label_map(self) -> LabelMap | None: ...
    @property
    def pixel_counts(self) -> Counts: ...
    @property
    def value_counts(self) -> Counts: ...


@dataclasses.dataclass(frozen=True, eq=False)
class StreamCounts:
    """What the first epoch of a stream held; a ``CountedSplit``."""

    split: str
    label_map: LabelMap
    value_counts: Counts
    pairs: Sequence[ImageMaskPair] = ()

    @property
    def pixel_counts(self) -> Counts:
        """(num_classes,) pixels of each label."""
        labels = self.label_map.lookup
        return np.bincount(labels, self.value_counts, 256)[: self.label_map.num_classes].astype(np.int64)


def find_label_doubts(
    splits: Sequence[CountedSplit], num_classes: int, names: Sequence[str], channels: Mapping[str, Path]
) -> list[Finding]:
    """Find a split whose labelled pixels are of one class, and a class whose pixels are probably read as "ignore".

    Args:
        splits: The splits of a training, or the one that a model is measured on.
        num_classes: The number of classes.
        names: Of the classes, from label 0 on, or none.
        channels: Where the data are, by channel.
    """
    splits = [
        split
        for split in splits
        if split.label_map and split.pixel_counts.any() and not split.label_map.misfit(split.value_counts)
    ]
    if alone := [split for split in splits if np.count_nonzero(split.pixel_counts) == 1]:
        remedies = {split.split: _remedy(split, alone, num_classes, all_alike=alone == splits) for split in alone}
        return [_one_class(split, names, channels, remedies[split.split]) for split in alone]
    return list(_lost_class(splits, num_classes, names)) if len(splits) > 1 else []


def propose_label_maps(splits: Sequence[CountedSplit], num_classes: int | None) -> dict[str, LabelMapProposal]:
    """Propose a label map for each split whose masks are read as they are, but hold other values than labels.

    num_classes: None proposes it, too.
    """
    splits = [split for split in splits if split.value_counts.any() and _read_as_they_are([split])]
    if num_classes is None or not splits:
        chosen = splits
    else:
        misfits = [split for split in splits if split.label_map and split.label_map.misfit(split.value_counts)]
        alone = [split for split in splits if np.count_nonzero(split.pixel_counts) == 1]
        chosen = (
            misfits
            or (alone if alone == splits else [])
            or (splits if any(_lost_class(splits, num_classes, ())) else [])
        )
    proposal = propose_label_map(_values(chosen), num_classes) if chosen else None
    return {split.split: proposal for split in chosen} if proposal else {}


def allowed(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, with the doubts as warnings: the user has allowed them."""
    return [dataclasses.replace(item, level="warning") if item.kind == DOUBT else item for item in findings]


def doubt_error(findings: Sequence[Finding]) -> DataError | None:
    """Return the error that lists the doubts among the findings, None without any."""
    faults = [Fault(item.where, item.what, item.remedy) for item in findings if item.kind == DOUBT]
    if not faults:
        return None
    return DataError(f"the labels are doubtful; {FLAG} True (allow_doubtful_labels) goes ahead with them:", faults)


def _one_class(split: CountedSplit, names: Sequence[str], channels: Mapping[str, Path], remedy: str) -> Finding:
    label = int(split.pixel_counts.argmax())
    ignored = 1 - split.pixel_counts.sum() / split.value_counts.sum()
    what = f"every labelled pixel of {split.split} is class {_name(label, names)}"
    if ignored:
        what += f"; {_percent(ignored)} of its pixels are ignored"
    channel = annotation_channel(split.split)
    return finding(DOUBT, channels.get(channel, channels.get(split.split, Path(channel))), what, remedy)


def _remedy(split: CountedSplit, alone: Sequence[CountedSplit], num_classes: int, *, all_alike: bool) -> str:
    """alone: the splits of one class. all_alike: whether there is no other."""
    values, source = _values(alone), split.label_map.source if split.label_map else ""
    if source and len(_values([split])) > 1:
        return f"correct or remove {source}: the masks hold the values {_listed(_values([split]))}"
    more = f"move pairs that show other classes to {split.split}"
    if not _read_as_they_are(alone):
        return more
    if proposal := propose_label_map(values, num_classes):
        remedy = proposal.remedy([other.split for other in alone])
        return remedy if all_alike else f"{more}; or, if 255 is a class in {split.split}, {remedy}"
    if IGNORE in values and num_classes > 2:
        return "write the masks again with a label for each class; for COCO's crowds, see convert coco --crowds label"
    return "check whether the masks are complete" if all_alike else more


def _lost_class(splits: Sequence[CountedSplit], num_classes: int, names: Sequence[str]) -> Iterator[Finding]:
    """Find the one class that occurs nowhere, while 255 covers as much as a class would."""
    values = sum(split.value_counts for split in splits)
    assert isinstance(values, np.ndarray)
    absent = np.flatnonzero(sum(split.pixel_counts[:num_classes] for split in splits) == 0)
    ignored = values[IGNORE] / values.sum()
    if len(absent) != 1 or num_classes > _FEW_CLASSES or ignored < _LOST_SHARE or not _read_as_they_are(splits):
        return
    what = f"no pixel of it in any mask, but 255, which is ignored, covers {_percent(ignored)} of all pixels"
    if proposal := propose_label_map(_values(splits), num_classes):
        remedy = proposal.remedy([split.split for split in splits])
        yield finding(DOUBT, f"class {_name(int(absent[0]), names)}", what, f"if 255 is this class, {remedy}")


def _values(splits: Sequence[CountedSplit]) -> list[int]:
    return np.flatnonzero(sum(split.value_counts for split in splits)).tolist()


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:_MOST_VALUES])) + (", ..." if len(values) > _MOST_VALUES else "")


def _read_as_they_are(splits: Sequence[CountedSplit]) -> bool:
    """Return whether a pixel's value is its label: no label map, no colors."""
    return all(
        split.label_map is not None and split.label_map.is_identity and not any(pair.color_map for pair in split.pairs)
        for split in splits
    )


def _name(label: int, names: Sequence[str]) -> str:
    return f"{label} ({names[label]})" if label < len(names) else str(label)


def _percent(share: float) -> str:
    return f"{share:.2%}" if share < 0.01 else f"{share:.0%}"
