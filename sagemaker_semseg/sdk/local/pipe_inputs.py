"""Pipe mode on this machine: threads write images and masks into FIFOs, as SageMaker does."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sagemaker_semseg.data.channels import find_pairs
from sagemaker_semseg.data.recordio import MAX_PART, write_record
from sagemaker_semseg.data.samples import ImageMaskPair, shuffled_order
from sagemaker_semseg.errors import DataError, Fault, FaultList
from sagemaker_semseg.sdk.local.job_store import JobRecord
from sagemaker_semseg.sdk.local.spec_json import read_spec
from sagemaker_semseg.sdk.specs import TrainingSpec

_BUFFER: Final = 1 << 18
_CLOSE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class PipeChannel:
    """The pairs of one channel. seed: of the order, a new one in each epoch; None is the order of ``pairs``."""

    name: str
    pairs: Sequence[ImageMaskPair]
    seed: int | None = None


class PipeWriter:
    """Writes channels into the FIFOs CHANNEL_0, CHANNEL_1, ... of a folder, one for each epoch, within a block.

    A reader may leave a FIFO before its end. If a file can't be read, its FIFO stays open, so that the reader doesn't
    take the fault for the end of the epoch, and ``check`` raises the fault.
    """

    def __init__(self, folder: Path, channels: Sequence[PipeChannel]):
        self._folder, self._closed = folder, threading.Event()
        self._fault: DataError | None = None
        self._fifos: dict[str, Path] = {}
        self._threads = [threading.Thread(target=self._write, args=[channel], daemon=True) for channel in channels]

    def check(self) -> None:
        """Raise ``DataError`` if a file couldn't be read, or a FIFO not written."""
        if self._fault:
            raise self._fault

    def __enter__(self) -> PipeWriter:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        end = time.monotonic() + _CLOSE_SECONDS
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < end:
            for fifo in list(self._fifos.values()):
                with contextlib.suppress(OSError):  # a thread may wait for a reader
                    os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
            for thread in self._threads:
                thread.join(0.02)

    def _write(self, channel: PipeChannel) -> None:
        for number in itertools.count():
            fifo = self._fifos[channel.name] = self._folder / f"{channel.name}_{number}"
            try:
                os.mkfifo(fifo)
                with contextlib.suppress(BrokenPipeError), open(fifo, "wb", _BUFFER) as file:  # waits for a reader
                    self._write_epoch(file, channel, number)
            except OSError as error:
                what = f"can't be written: {error.strerror or error}"
                self._fail(Fault(str(fifo), what, "check the folder"))
            finally:
                fifo.unlink(missing_ok=True)
            if self._closed.is_set():
                return

    def _write_epoch(self, file: BinaryIO, channel: PipeChannel, number: int) -> None:
        count = len(channel.pairs)
        places = range(count) if channel.seed is None else shuffled_order(channel.seed, number, count).tolist()
        for place in places:
            pair = channel.pairs[place]
            for path in (pair.image, pair.mask):
                if self._closed.is_set():
                    return
                content = self._content(path, pair.where)
                if content is None:
                    return
                write_record(file, content)

    def _content(self, path: Path, where: str) -> bytes | None:
        """The bytes of a file; None after a fault. where: the line of the manifest that names the file."""
        name = f"{path} ({where})" if where else str(path)
        try:
            with open(path, "rb") as file:
                content = file.read(MAX_PART + 1)
        except OSError as error:
            self._fail(Fault(name, f"can't be read: {error.strerror or error}", "check the path and the permissions"))
            return None
        if len(content) > MAX_PART:
            what = f"has more than {MAX_PART} bytes, which a record can't hold"
            self._fail(Fault(name, what, "cut it into tiles"))
            return None
        return content

    def _fail(self, fault: Fault) -> None:
        self._fault = self._fault or DataError("the data can't be sent", [fault])
        self._closed.wait()


def pipe_writer(folder: Path, record: JobRecord) -> PipeWriter:
    """Return the writer of a training's channels in Pipe mode. Raises ``DataError`` for wrong manifests."""
    spec, manifests = read_spec(TrainingSpec, record.spec), record.more["manifests"]
    faults, notes, channels = FaultList(), list[str](), []
    for channel in spec.channels if spec else ():
        if channel.name in manifests:
            manifest = {channel.name: Path(manifests[channel.name])}
            pairs = find_pairs(manifest, channel.name, faults, notes, channel.attribute_names)
            channels.append(PipeChannel(channel.name, pairs, channel.shuffle_seed))
    faults.raise_any()
    for note in notes:
        print(f"note        {note}", flush=True)
    return PipeWriter(folder, channels)
