"""Reads the data of a training: folders, manifests, and FIFOs as in SageMaker's Pipe mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sagemaker_semseg.data.channels import SPLITS, FaultList, split_pairs
from sagemaker_semseg.data.datasets import AttributeNames, Dataset, Datasets, read_split
from sagemaker_semseg.data.pipe_mode import PipeDataset, PollConfig, missing_count, pipe_datasets
from sagemaker_semseg.data.pipe_simulator import ChannelConfig, running
from sagemaker_semseg.hyperparameters import Hyperparameters


def open_streams(
    folder: Path,
    folders: Mapping[str, Path],
    attributes: AttributeNames,
    hp: Hyperparameters,
    *,
    all_splits: bool = False,
) -> Datasets:
    """Return the splits that come through FIFOs in ``folder``, and those that have a channel in ``folders``.

    attributes: names of a manifest's attributes, by split. all_splits: whether both come through FIFOs.
    Raises DataError and HyperparameterError.
    """
    piped = tuple(split for split in SPLITS if all_splits or not {split, f"{split}_annotation"} & folders.keys())
    found: dict[str, Dataset] = {}
    found |= pipe_datasets(folder, hp.num_classes, hp.num_training_samples, channels=folders, splits=piped)
    for split in set(SPLITS) - set(piped):
        found[split] = read_split(folders, hp.num_classes, split, attributes=attributes)
    return Datasets(found["train"], found["validation"])


def simulated_channels(
    folders: Mapping[str, Path], attributes: AttributeNames, hp: Hyperparameters, notes: list[str]
) -> list[ChannelConfig]:
    """Return what has to be sent through FIFOs: the files of both splits, shuffled for training.

    notes: gets what is worth knowing. Raises DataError for what is wrong with names and lines (no image is opened), and
    HyperparameterError without ``num_training_samples``.
    """
    faults = FaultList()
    train, validation = (split_pairs(folders, split, faults, notes, attributes.get(split, ())) for split in SPLITS)
    faults.raise_any()
    if any(pair.color_map for pair in (*train, *validation)):
        notes.append("the colours of masks, which the manifests tell, don't come through a pipe: their numbers count")
    if hp.num_training_samples is None:
        raise missing_count(len(train))
    return [ChannelConfig("train", train, hp.seed), ChannelConfig("validation", validation)]


@contextlib.contextmanager
def simulated(channels: Datasets, simulation: Sequence[ChannelConfig]) -> Iterator[Datasets]:
    """Send the files of ``simulation`` through FIFOs during the block; yields the channels that read these."""
    if not simulation:
        yield channels
        return
    with running(simulation) as sender:

        def connected(split: Dataset) -> Dataset:
            polling = PollConfig(health_check=sender.check)
            return replace(split, folder=sender.folder, polling=polling) if isinstance(split, PipeDataset) else split

        yield Datasets(connected(channels.train), connected(channels.validation), channels.notes)
