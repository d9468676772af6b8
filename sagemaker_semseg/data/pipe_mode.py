"""The data of a job in Pipe mode: FIFOs come in, pairs of an image's and a mask's bytes go out, pass after pass.

SageMaker writes one FIFO for each pass, ``<channel>_0``, ``<channel>_1``, ..., with a RecordIO record for the image and
one for its mask in turn. A stream doesn't tell its length, nor which record is which, nor the names of files; whatever
is wrong with one is found when it comes, and told by its number. Called by the command line, which makes the
``Streams``, and by the training pipeline, which reads them.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sagemaker_semseg.data.channels import SPLITS, FaultList
from sagemaker_semseg.data.fifo import PollConfig, open_fifo
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.data.recordio import read_records
from sagemaker_semseg.data.samples import Split, label_maps
from sagemaker_semseg.errors import DataError, Fault, HyperparameterError

_IN_TURN: Final = "send an image and its mask in turn: two attributes, first the image's, then the mask's"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawPair:
    """Two records that belong together.

    where: the FIFO and the number of the pair in it, from 1. number: of the FIFO. place: of the pair in it, from 0.
    """

    image: bytes
    mask: bytes
    where: str
    number: int
    place: int


@dataclass(frozen=True, eq=False)
class PipeDataset:
    """One split that comes through FIFOs.

    channel: "train" or "validation". folder: where the FIFOs appear. labels: from mask values to labels. count: pairs
    in a pass, as far as anyone knows.
    """

    channel: str
    folder: Path
    labels: LabelMap
    count: int | None = None
    notes: tuple[str, ...] = ()
    waiting: PollConfig = field(default_factory=PollConfig)

    def fifo(self, number: int) -> Path:
        return self.folder / f"{self.channel}_{number}"

    def one_pass(self, number: int, halt: threading.Event | None = None) -> Iterator[RawPair]:
        """The pairs of FIFO ``number``, from its opening to its end.

        halt: ends it once it is set, with ``Halted``. Raises ``DataError`` and ``OSError`` too.
        """
        waiting = replace(self.waiting, halt=halt) if halt else self.waiting
        try:
            yield from self._pairs(number, waiting)
        except DataError:
            waiting.watch()  # if the sender has failed, that is the cause
            raise
        waiting.watch()

    def _pairs(self, number: int, waiting: PollConfig) -> Iterator[RawPair]:
        path, place = self.fifo(number), -1
        with open_fifo(path, waiting) as file:
            records = read_records(file, str(path))
            for place, image in enumerate(records):
                mask = next(records, None)
                if mask is None:
                    where, what = f"{path}, record {2 * place + 1}", "an image, after which the stream ends"
                    raise DataError("a mask is missing", [Fault(where, what, _IN_TURN)])
                yield RawPair(image, mask, f"{path}, pair {place + 1}", number, place)
        if place < 0:
            what = "the stream ended before its first record"
            raise DataError("a stream is empty", [Fault(str(path), what, "check the channel's data")])

    def all_passes(self, skip: int = 0, halt: threading.Event | None = None) -> Iterator[RawPair]:
        """The pairs of all FIFOs, without end; as ``one_pass``. skip: pairs that are left out at the beginning."""
        told: set[int] = set()
        for number in itertools.count():
            seen = 0
            for pair in self.one_pass(number, halt):
                seen += 1
                if skip:
                    skip -= 1
                else:
                    yield pair
            if seen != self.count and seen not in told:
                told.add(seen)
                text = "%s had %d pairs of image and mask, num_training_samples is %s: an epoch stays at the latter"
                _log.warning(text, self.fifo(number), seen, self.count)


Source = Split | PipeDataset


@dataclass(frozen=True, eq=False)
class Streams:
    """What stands for ``Channels`` where at least one of the two is a stream. notes: what is worth telling of both."""

    train: Source
    validation: Source
    notes: tuple[str, ...] = ()


def pipe_splits(
    folder: Path,
    num_classes: int,
    num_training_samples: int | None,
    *,
    channels: Mapping[str, Path] | None = None,
    splits: tuple[str, ...] = SPLITS,
    waiting: PollConfig | None = None,
) -> dict[str, PipeDataset]:
    """The splits whose FIFOs appear in ``folder``; none is opened yet.

    channels: folders by channel, for ``label_map``. Raises ``DataError`` for a bad label map, ``HyperparameterError``
    without ``num_training_samples``, by which alone the length of an epoch is known.
    """
    if num_training_samples is None and "train" in splits:
        raise missing_count()
    faults = FaultList()
    maps = label_maps(channels or {}, splits, num_classes, faults)
    faults.raise_any()
    found = {}
    for split in splits:
        labels, notes = maps[split]
        assert labels is not None  # a bad one is a fault, and faults have been raised
        count = num_training_samples if split == "train" else None
        found[split] = PipeDataset(split, folder, labels, count, tuple(notes), waiting or PollConfig())
    return found


def missing_count(counted: int | None = None) -> HyperparameterError:
    """The error that pipe mode can't do without ``num_training_samples``. counted: what would be right."""
    what = "is missing: in Pipe mode nothing else tells how long an epoch is"
    remedy = f"give the number of training images{f', {counted}' if counted else ''}"
    return HyperparameterError("this training can't be started", [Fault("num_training_samples", what, remedy)])
