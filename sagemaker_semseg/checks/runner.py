"""Runs all checks over a data set; every file is read once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from sagemaker_semseg.checks import dataset_checks
from sagemaker_semseg.checks.duplicates import find_copies, find_near_copies
from sagemaker_semseg.checks.image_checks import ImageChecker, SampleSummary
from sagemaker_semseg.checks.label_doubts import allowed, find_label_doubts, propose_label_maps
from sagemaker_semseg.checks.previews import choose_previews
from sagemaker_semseg.checks.report import Report, SplitFacts
from sagemaker_semseg.checks.rules import fault_findings, sort_findings
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.data.datasets import DatasetScan, ValidationSplit, scan_dataset
from sagemaker_semseg.data.label_map_proposal import LabelMapProposal
from sagemaker_semseg.data.labels import IGNORE, INVALID, LabelMap
from sagemaker_semseg.data.manifest import ProgressCallback
from sagemaker_semseg.errors import FaultList
from sagemaker_semseg.hyperparameters import MAX_CLASSES, Hyperparameters

SETTINGS: Final = (
    *("algorithm", "backbone", "base_size", "crop_size", "mini_batch_size", "validation_mini_batch_size"),
    *("num_training_samples", "class_weights", "optimizer", "precision", "allow_doubtful_labels"),
)
"""Hyperparameters besides num_classes that matter for the data, or for the memory that they need."""


def run_checks(
    channels: Mapping[str, Path],
    hyperparameters: Hyperparameters,
    *,
    num_classes: int | None,
    class_names: Sequence[str] = (),
    attributes: Mapping[str, Sequence[str]] = MappingProxyType({}),
    validation_split: ValidationSplit | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Find everything that is wrong or doubtful with a data set, and count what it holds.

    Args:
        channels: Folders or manifests by channel name, as ``data.channels.find_channels`` returns them.
        hyperparameters: Of the training for which the data are checked; their num_classes isn't used.
        num_classes: The number of classes; None proposes the number that the masks need.
        class_names: Names from label 0 on.
        attributes: The names of a manifest's attributes for images and masks, by split.
        validation_split: Takes validation out of train, as a training would.
        progress: Called with (files done, files in all).

    Returns:
        The report, without recommendations and estimates (``recommendations.add_recommendations``).

    Example:
        >>> channels = find_channels("mydata")
        >>> report = run_checks(channels, resolve({"num_classes": 3}), num_classes=3)
        >>> for finding in report.errors:
        ...     print(finding.where, finding.what, finding.remedy)
    """
    channels = {name: Path(path) for name, path in channels.items()}
    checker = ImageChecker(hyperparameters.padded_crop_size)
    faults = FaultList()
    highest = num_classes or MAX_CLASSES
    scans = scan_dataset(
        channels, SPLITS, highest, faults, progress, checker, attributes, class_names, validation_split
    )
    class_names = class_names or next((scan.class_names for scan in scans if scan.class_names), ())
    summaries = {split: checker.summaries.get(split, []) for split in SPLITS}
    findings = [*fault_findings(faults), *checker.findings, *dataset_checks.check_file_names(channels)]
    proposals = propose_label_maps(scans, num_classes)
    if num_classes is None and proposals:
        findings.append(dataset_checks.missing_label_map(proposals, scans))
    else:
        needed = num_classes or max(_needed_classes(scans), len(class_names))
        doubts = find_label_doubts(scans, needed, class_names, channels)
        findings += allowed(doubts) if hyperparameters.allow_doubtful_labels else doubts
    findings += dataset_checks.check_label_maps(scans, channels.get("label_map"))
    for scan in scans:
        findings += dataset_checks.check_masks(scan, summaries[scan.split])
    scans = [_with_label_map(scan, proposals.get(scan.split), summaries[scan.split]) for scan in scans]
    classes = num_classes or max(_needed_classes(scans), len(class_names))
    for scan in scans:
        where = channels.get(scan.split, Path(scan.split))
        findings += dataset_checks.check_split(scan, summaries[scan.split], where)
    findings += dataset_checks.check_classes(scans, classes, class_names)
    splits = [_split_facts(scan, summaries[scan.split], classes) for scan in scans]
    if _realpath(channels, "train") != _realpath(channels, "validation"):
        findings += find_near_copies(summaries["train"], summaries["validation"])
    else:  # every image would be a copy
        del summaries["validation"]
    findings += find_copies(summaries)
    return Report(
        findings=sort_findings(findings),
        splits=splits,
        num_classes=classes,
        class_names=tuple(class_names),
        label_maps={split: proposal.content for split, proposal in proposals.items()},
        settings={"num_classes": classes, **{name: getattr(hyperparameters, name) for name in SETTINGS}},
    )


def _realpath(channels: Mapping[str, Path], channel: str) -> str:
    return os.path.realpath(channels[channel]) if channel in channels else channel


def _needed_classes(scans: Sequence[DatasetScan]) -> int:
    seen = np.flatnonzero(sum(scan.pixel_counts for scan in scans))
    return max(2, int(seen.max()) + 1 if seen.size else 0)


def _with_label_map(
    scan: DatasetScan, proposal: LabelMapProposal | None, summaries: Sequence[SampleSummary]
) -> DatasetScan:
    """Count the labels that the proposed label map gives, as the rest of the report is about them."""
    if proposal is None:
        return scan
    labels = dataclasses.replace(LabelMap.from_json(str(proposal).encode(), proposal.num_classes), source="")
    labelled = (labels.table != IGNORE) & (labels.table != INVALID)
    pixels, images, one_class = np.zeros(256, np.int64), np.zeros(256, np.int64), 0
    np.add.at(pixels, labels.table[labelled], scan.value_counts[labelled])
    for sample in summaries:
        if sample.values is not None:
            present = np.unpackbits(sample.values).astype(np.bool_)
            occur = np.unique(labels.table[present & labelled])
            images[occur] += 1
            one_class += len(occur) == 1
    return dataclasses.replace(
        scan, label_map=labels, pixel_counts=pixels, image_counts=images, one_class_masks=one_class
    )


def _split_facts(scan: DatasetScan, summaries: Sequence[SampleSummary], num_classes: int) -> SplitFacts:
    sizes: dict[tuple[int, int], int] = {}
    for sample in summaries:
        if sample.size:
            sizes[sample.size] = sizes.get(sample.size, 0) + 1
    same = scan.label_map is None or scan.label_map.is_identity
    return SplitFacts(
        channel=scan.split,
        pairs=sum(sample.size is not None and sample.values is not None for sample in summaries),
        sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])),
        pixel_counts=scan.pixel_counts[:num_classes].copy(),
        image_counts=scan.image_counts[:num_classes].copy(),
        image_pixel_counts=scan.image_pixel_counts[:num_classes].copy(),
        ignored_pixels=int(scan.value_counts.sum() - scan.pixel_counts.sum()),
        value_counts=scan.value_counts,
        previews=choose_previews(scan, summaries, num_classes),
        lookup=None if same or scan.label_map is None else scan.label_map.lookup,
    )
