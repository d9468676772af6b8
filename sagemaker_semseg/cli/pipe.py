"""Data that comes through FIFOs, as in SageMaker's Pipe mode: flags come in, streams go out. ``train`` calls it.

``--fifos`` names the folder in which somebody makes them; a container finds them in ``input/data``. ``--pipe`` plays
the files of ``--data`` through FIFOs of its own, so that a job in Pipe mode is tried on one machine.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sagemaker_semseg.data.channels import SPLITS, FaultList, split_pairs
from sagemaker_semseg.data.fifo import PollConfig
from sagemaker_semseg.data.pipe_mode import PipeDataset, Source, Streams, missing_count, pipe_splits
from sagemaker_semseg.data.pipe_simulator import ChannelConfig, running
from sagemaker_semseg.data.samples import Channels, read_split
from sagemaker_semseg.hyperparameters import Hyperparameters


def add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Pipe mode")
    text = "play the data through FIFOs, as SageMaker does it in Pipe mode; needs --num-training-samples"
    group.add_argument("--pipe", action="store_const", const=True, help=text)
    text = "take what no other flag gives, train or validation, from the FIFOs train_0, train_1, ... and validation_0, "
    text += "validation_1, ... that somebody makes in this folder"
    group.add_argument("--fifos", type=Path, metavar="DIR", help=text)


def programmes(
    folders: Mapping[str, Path], attributes: Mapping[str, tuple[str, ...]], hp: Hyperparameters, notes: list[str]
) -> list[ChannelConfig]:
    """What is played: the files of both splits, those of training in a new order in each pass.

    attributes: of manifests, by split. notes: gets what is worth telling. Raises ``DataError`` for what is wrong with
    names and lines; no picture is opened. ``HyperparameterError`` without ``num_training_samples``.
    """
    faults = FaultList()
    train, validation = (split_pairs(folders, split, faults, notes, attributes.get(split, ())) for split in SPLITS)
    faults.raise_any()
    if any(pair.colours for pair in (*train, *validation)):
        notes.append("the colours of masks, which the manifests tell, don't come through a pipe: their numbers count")
    if hp.num_training_samples is None:
        raise missing_count(len(train))
    return [ChannelConfig("train", train, hp.seed), ChannelConfig("validation", validation)]


def streams(
    folder: Path,
    folders: Mapping[str, Path],
    attributes: Mapping[str, tuple[str, ...]],
    hp: Hyperparameters,
    *,
    every: bool = False,
) -> Streams:
    """The splits from the FIFOs in ``folder``; unless ``every`` one does, one that has folders comes from them.

    attributes: of manifests, by split. Raises ``DataError`` and ``HyperparameterError``.
    """
    piped = tuple(split for split in SPLITS if every or not {split, f"{split}_annotation"} & folders.keys())
    found: dict[str, Source] = {}
    found |= pipe_splits(folder, hp.num_classes, hp.num_training_samples, channels=folders, splits=piped)
    for split in set(SPLITS) - set(piped):
        found[split] = read_split(folders, hp.num_classes, split, attributes=attributes)
    return Streams(found["train"], found["validation"])


@contextlib.contextmanager
def played(channels: Channels | Streams, programmes: Sequence[ChannelConfig]) -> Iterator[Channels | Streams]:
    """The same, with the sender at work for whom there are programmes."""
    if not programmes:
        yield channels
        return
    with running(programmes) as player:

        def tuned(split: Source) -> Source:
            waiting = PollConfig(watch=player.check)
            return replace(split, folder=player.folder, waiting=waiting) if isinstance(split, PipeDataset) else split

        notes = channels.notes if isinstance(channels, Streams) else ()
        yield Streams(tuned(channels.train), tuned(channels.validation), notes)
