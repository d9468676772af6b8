"""Data sets in Pipe mode: reads samples from FIFOs, epoch after epoch.

SageMaker writes one FIFO for each epoch, ``<channel>_0``, ``<channel>_1``, ..., with a RecordIO record for each image
followed by one for its mask. A stream states neither its length, nor which record is which, nor the names of files;
whatever is wrong with a record is found when it comes, and reported by its number.

Opening and reading a FIFO wait for the sender, but not for ever, and can be cancelled: a thread that is blocked in the
system's ``open`` could neither be stopped nor awaited.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.channels import SPLITS, read_label_maps
from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import decode_mask
from sagemaker_semseg.data.labels import LabelMap, count_values
from sagemaker_semseg.data.recordio import read_records
from sagemaker_semseg.data.samples import EncodedSample
from sagemaker_semseg.errors import DataError, Fault, FaultList, HyperparameterError

Counts = npt.NDArray[np.int64]

_POLL_SECONDS: Final = 0.05
_PIPE_BYTES: Final = 1 << 20  # between sender and reader, where the system allows it
_BUFFER_BYTES: Final = 1 << 18
_ORDER: Final = "send an image and its mask in turn: two attributes, first the image's, then the mask's"

_log = logging.getLogger(__name__)


class Cancelled(Exception):
    """Reading was cancelled. Nothing is wrong."""


@dataclass(frozen=True)
class PollConfig:
    """What is checked while a FIFO has nothing to read.

    Attributes:
        cancelled: once it is set, ``Cancelled`` is raised.
        timeout: seconds without a byte, after which ``DataError`` is raised.
        warn_after: seconds without a byte, after which a warning is logged.
    """

    cancelled: threading.Event = field(default_factory=threading.Event)
    timeout: float = 1800.0
    warn_after: float = 30.0

    def wait_until(self, ready: Callable[[float], object], path: Path, what: str) -> None:
        """Returns when ``ready``, which may take the seconds that it is given, returns true."""
        start, warned = time.monotonic(), False
        while not ready(_POLL_SECONDS):
            if self.cancelled.is_set():
                raise Cancelled
            waited = time.monotonic() - start
            if waited > self.timeout:
                remedy = "check the program that writes the channel: it has to write one FIFO for each epoch"
                raise DataError("a stream has dried up", [Fault(str(path), f"{what} for {waited:.0f} s", remedy)])
            if waited > self.warn_after and not warned:
                _log.warning("%s: %s for %.0f s; waiting for %.0f", path, what, waited, self.timeout)
                warned = True


def open_fifo(path: Path, polling: PollConfig) -> io.BufferedReader:
    """Opens the FIFO at ``path`` for reading; it may appear later. Raises as ``PollConfig`` does, and ``OSError``."""

    def exists(seconds: float) -> bool:
        if path.exists():
            return True
        time.sleep(seconds)
        return False

    polling.wait_until(exists, path, "no such FIFO")
    return io.BufferedReader(_Fifo(path, polling), _BUFFER_BYTES)


class _Fifo(io.RawIOBase):
    def __init__(self, path: Path, polling: PollConfig):
        self._path, self._polling = path, polling
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._ready = False
        with contextlib.suppress(OSError, AttributeError, ImportError):  # no FIFO, too much for the user, not Linux
            import fcntl

            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._polling.cancelled.is_set():
            raise Cancelled
        while True:
            # Before a sender has opened it, reading gives what it gives at the end: nothing. Polling tells them apart.
            if not self._ready:
                self._polling.wait_until(lambda seconds: self._poll.poll(seconds * 1000), self._path, "nothing came")
                self._ready = True
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                self._ready = False

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@dataclass(frozen=True, eq=False)
class PipeDataset:
    """One channel that comes through FIFOs.

    Attributes:
        channel: "train" or "validation".
        folder: where the FIFOs appear.
        label_map: from mask values to labels.
        count: pairs in an epoch, as far as it is known.
        notes: what is worth knowing, though nothing is wrong.
        polling: how long, and under which conditions, a sender is waited for.
        check_counts: called with the data set and (256,) pixels of each mask value at the end of FIFO 0, or once
            ``count`` pairs have come; raises ``DataError`` for labels that can't be meant.
    """

    channel: str
    folder: Path
    label_map: LabelMap
    count: int | None = None
    notes: tuple[str, ...] = ()
    polling: PollConfig = field(default_factory=PollConfig)
    check_counts: Callable[[PipeDataset, Counts], None] | None = None

    def fifo(self, number: int) -> Path:
        """The path of FIFO ``number``, counted from 0."""
        return self.folder / f"{self.channel}_{number}"

    def read_epoch(self, number: int, cancelled: threading.Event | None = None) -> Iterator[EncodedSample]:
        """Reads the samples of FIFO ``number``, from its opening to its end.

        The masks of FIFO 0 are new, and carry the label map to be checked against.

        Args:
            cancelled: ends the reading with ``Cancelled`` once it is set.

        Raises:
            DataError: for records that are no images or of two sizes, damaged framing, or a sender that sends nothing.
            OSError: if the FIFO can't be read.
        """
        polling = replace(self.polling, cancelled=cancelled) if cancelled else self.polling
        path, index, counts = self.fifo(number), -1, np.zeros(256, np.int64)
        check = None if number else self.check_counts
        with open_fifo(path, polling) as file:
            records = read_records(file, str(path))
            for index, image in enumerate(records):
                mask = next(records, None)
                if mask is None:
                    where, what = f"{path}, record {2 * index + 1}", "an image, after which the stream ends"
                    raise DataError("a mask is missing", [Fault(where, what, _ORDER)])
                sample = self._sample(image, mask, number, index)
                if check:
                    with contextlib.suppress(DataError):  # the sample's reader raises it
                        counts += count_values(decode_mask(sample.mask))
                    if index + 1 == self.count:  # a training reads no further
                        check(self, counts)
                        check = None
                yield sample
        if index < 0:
            what = "the stream ended before its first record"
            raise DataError("a stream is empty", [Fault(str(path), what, "check the channel's data")])
        if check:
            check(self, counts)

    def _sample(self, image: bytes, mask: bytes, number: int, index: int) -> EncodedSample:
        where, record = f"{self.fifo(number)}, pair {index + 1}", 2 * index + 1
        parsed = EncodedImage.parse(image, f"{where}, image (record {record})")
        parsed_mask = EncodedImage.parse(mask, f"{where}, mask (record {record + 1})")
        if parsed_mask.size != parsed.size:
            (height, width), expected = parsed_mask.size, parsed.size
            what = f"{width} x {height} pixels, but the image has {expected[1]} x {expected[0]} as displayed"
            remedy = "send pairs of one size: the first record of a pair is the image, the second its mask"
            raise DataError("a pair doesn't fit together", [Fault(parsed_mask.where, what, remedy)])
        return EncodedSample(parsed, parsed_mask, number, index, label_map=None if number else self.label_map)

    def read_epochs(self, skip: int = 0, cancelled: threading.Event | None = None) -> Iterator[EncodedSample]:
        """Reads the samples of all FIFOs, without end; as ``read_epoch``. skip: samples to leave out at the start."""
        warned: set[int] = set()
        for number in itertools.count():
            seen = 0
            for sample in self.read_epoch(number, cancelled):
                seen += 1
                if skip:
                    skip -= 1
                else:
                    yield sample
            if seen != self.count and seen not in warned:
                warned.add(seen)
                text = "%s had %d pairs of image and mask, num_training_samples is %s: an epoch stays at the latter"
                _log.warning(text, self.fifo(number), seen, self.count)


def pipe_datasets(
    folder: Path,
    num_classes: int,
    num_training_samples: int | None,
    *,
    channels: Mapping[str, Path] | None = None,
    splits: tuple[str, ...] = SPLITS,
    polling: PollConfig | None = None,
    check_counts: Callable[[PipeDataset, Counts], None] | None = None,
) -> dict[str, PipeDataset]:
    """The data sets whose FIFOs appear in ``folder``, by split; none is opened yet.

    Args:
        channels: folders by channel, for ``label_map``.
        check_counts: as in ``PipeDataset``.

    Raises:
        DataError: for a bad label map.
        HyperparameterError: without ``num_training_samples``, which alone tells the length of an epoch.
    """
    if num_training_samples is None and "train" in splits:
        raise missing_count()
    faults = FaultList()
    maps = read_label_maps(channels or {}, splits, num_classes, faults)
    faults.raise_any()
    found = {}
    for split in splits:
        label_map, notes = maps[split]
        assert label_map is not None  # a bad one is a fault, and faults have been raised
        count = num_training_samples if split == "train" else None
        polling = polling or PollConfig()
        found[split] = PipeDataset(split, folder, label_map, count, tuple(notes), polling, check_counts)
    return found


def missing_count(counted: int | None = None) -> HyperparameterError:
    """The error that Pipe mode can't do without ``num_training_samples``. counted: what would be right."""
    what = "is missing: in Pipe mode nothing else tells how long an epoch is"
    remedy = f"give the number of training images{f', {counted}' if counted else ''}"
    return HyperparameterError("this training can't be started", [Fault("num_training_samples", what, remedy)])
