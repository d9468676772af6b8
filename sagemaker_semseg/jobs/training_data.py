"""Reads the data of a training: folders, manifests, and FIFOs as in SageMaker's Pipe mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sagemaker_semseg.data.channels import SPLITS, FaultList, split_pairs
from sagemaker_semseg.data.fifo import PollConfig
from sagemaker_semseg.data.pipe_mode import PipeDataset, Source, Streams, missing_count, pipe_splits
from sagemaker_semseg.data.pipe_simulator import ChannelConfig, running
from sagemaker_semseg.data.samples import Attributes, Channels, read_split
from sagemaker_semseg.hyperparameters import Hyperparameters


def open_streams(
    folder: Path, folders: Mapping[str, Path], attributes: Attributes, hp: Hyperparameters, *, all_splits: bool = False
) -> Streams:
    """Return the splits that come through FIFOs in ``folder``, and those that have a channel in ``folders``.

    attributes: names of a manifest's attributes, by split. all_splits: whether both come through FIFOs.
    Raises DataError and HyperparameterError.
    """
    piped = tuple(split for split in SPLITS if all_splits or not {split, f"{split}_annotation"} & folders.keys())
    found: dict[str, Source] = {}
    found |= pipe_splits(folder, hp.num_classes, hp.num_training_samples, channels=folders, splits=piped)
    for split in set(SPLITS) - set(piped):
        found[split] = read_split(folders, hp.num_classes, split, attributes=attributes)
    return Streams(found["train"], found["validation"])


def simulated_channels(
    folders: Mapping[str, Path], attributes: Attributes, hp: Hyperparameters, notes: list[str]
) -> list[ChannelConfig]:
    """Return what has to be sent through FIFOs: the files of both splits, shuffled for training.

    notes: gets what is worth knowing. Raises DataError for what is wrong with names and lines (no image is opened), and
    HyperparameterError without ``num_training_samples``.
    """
    faults = FaultList()
    train, validation = (split_pairs(folders, split, faults, notes, attributes.get(split, ())) for split in SPLITS)
    faults.raise_any()
    if any(pair.colours for pair in (*train, *validation)):
        notes.append("the colours of masks, which the manifests tell, don't come through a pipe: their numbers count")
    if hp.num_training_samples is None:
        raise missing_count(len(train))
    return [ChannelConfig("train", train, hp.seed), ChannelConfig("validation", validation)]


@contextlib.contextmanager
def simulated(channels: Channels | Streams, simulation: Sequence[ChannelConfig]) -> Iterator[Channels | Streams]:
    """Send the files of ``simulation`` through FIFOs during the block; yields the channels that read these."""
    if not simulation:
        yield channels
        return
    with running(simulation) as sender:

        def connected(split: Source) -> Source:
            waiting = PollConfig(watch=sender.check)
            return replace(split, folder=sender.folder, waiting=waiting) if isinstance(split, PipeDataset) else split

        notes = channels.notes if isinstance(channels, Streams) else ()
        yield Streams(connected(channels.train), connected(channels.validation), notes)
