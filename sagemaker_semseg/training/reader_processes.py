"""Processes that read crops into memory which they share with the training.

Threads hold Python's lock for a third of the time that a sample takes, so they can't use more than about three cores.
Here the training's process only names the samples, and TensorFlow uses the memory into which a process has written.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from itertools import starmap
from multiprocessing.connection import Connection
from typing import Any, Final, TypeAlias

import numpy as np

from sagemaker_semseg.data.samples import EncodedSample, ImageMaskPair
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.training.crop_reader import CropReader
from sagemaker_semseg.training.resample import Pixels

SampleRequest: TypeAlias = tuple[ImageMaskPair, int, int]
"""The arguments of ``EncodedSample.read``: files, epoch, place in the epoch."""

_ALIGNMENT: Final = 64
_EXIT_SECONDS: Final = 10.0

# Processes import from this process's module path. With -m, the current folder would come first.
_PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"


class SharedSlots:
    """Memory in slots of one size, each for the arrays of one call. A file without a name, which both sides map."""

    def __init__(self, file: int, samples: int, crop: int):
        self.file, self.shape = file, (samples, crop, crop)
        self._pixels = samples * crop * crop
        self._start_of_labels = -(-3 * self._pixels // _ALIGNMENT) * _ALIGNMENT
        used = self._start_of_labels + self._pixels
        self.size = -(-used // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._maps: dict[int, mmap.mmap] = {}
        self._lock = threading.Lock()

    def add(self) -> int:
        """Add a slot to the file and return its number."""
        with self._lock:
            slot = len(self._maps)
            os.ftruncate(self.file, (slot + 1) * self.size)
            self._map(slot)
        return slot

    def _map(self, slot: int) -> mmap.mmap:
        if slot not in self._maps:
            self._maps[slot] = mmap.mmap(self.file, self.size, offset=slot * self.size)
        return self._maps[slot]

    def arrays(self, slot: int) -> tuple[Any, Pixels, Pixels]:
        """Return the owner of the arrays, which lives as long as one of them, and images and labels in a slot."""
        owner = (ctypes.c_ubyte * self.size).from_buffer(self._map(slot))
        memory = np.frombuffer(memoryview(owner), np.uint8)
        images = memory[: 3 * self._pixels].reshape(*self.shape, 3)
        labels = memory[self._start_of_labels :][: self._pixels].reshape(self.shape)
        return owner, images, labels


class _Process:
    """A process that reads, and this side of its socket."""

    def __init__(self, slots: SharedSlots, reader: CropReader):
        near, far = socket.socketpair()
        program = _PROGRAM.format(path=sys.path, module=__name__)
        with near, far:
            descriptors = (far.fileno(), slots.file)
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal goes to the training alone
            )
            self.connection = Connection(near.detach())
        samples, crop, _ = slots.shape
        self.connection.send((reader, samples, crop))

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, slot: int, requests: Sequence[SampleRequest]) -> None:
        try:
            self.connection.send((slot, requests))
            error = self.connection.recv()
        except (EOFError, OSError) as lost:
            raise DataError(
                "reading has failed:", [Fault("a process that reads images", self._how_it_ended())]
            ) from lost
        if error is not None:
            raise error

    def close(self) -> None:
        """End the process: it exits when its socket is closed."""
        self.connection.close()
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_EXIT_SECONDS)
            if status < 0:
                name = signal.Signals(-status).name
                return f"was ended by {name}" + (": the memory may be full" if name == "SIGKILL" else "")
            return f"has ended with status {status}"
        return "doesn't answer"


class ReaderProcesses:
    """Reads chunks of samples in processes, one chunk each at a time. They run in a ``with`` block.

    Args:
        reader: What each of them does.
        requests: The samples of a chunk, by its number.
        samples: Their number in a chunk.
        count: The number of processes.
    """

    def __init__(
        self, reader: CropReader, requests: Callable[[int], Sequence[SampleRequest]], samples: int, count: int
    ):
        self._reader, self._requests, self._samples, self._count = reader, requests, samples, count
        self._processes: list[_Process] = []

    def __enter__(self) -> ReaderProcesses:
        self._file = _unnamed_file()
        self._slots = SharedSlots(self._file.fileno(), self._samples, self._reader.hp.padded_crop_size)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        self._processes = [_Process(self._slots, self._reader) for _ in range(self._count)]
        for process in self._processes:
            self._idle.put(process)
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes, once they have done what they do."""
        processes, self._processes = self._processes, []
        for _ in processes:
            with contextlib.suppress(queue.Empty):
                self._idle.get(timeout=_EXIT_SECONDS)
        self._idle.put(None)  # for calls that wait
        for process in processes:
            process.close()
        self._file.close()  # arrays that are still used keep the memory

    def load(self, number: np.int64) -> tuple[Pixels, Pixels]:
        """Read a chunk. Any number of threads may call it.

        Returns:
            Images (B, crop, crop, 3) uint8 RGB and labels (B, crop, crop) uint8, in memory that is used again when
            nothing refers to it any more.

        Raises:
            DataError: A sample can't be decoded, its file has changed, or a process has ended.
            OSError: A file can't be read.
        """
        requests = self._requests(int(number))
        idle, free, slots = self._idle, self._free, self._slots
        process = idle.get()
        try:
            if process is None or not self._processes:
                raise DataError("the reading of the data has ended")
            try:
                slot = free.get_nowait()
            except queue.Empty:
                slot = slots.add()  # a caller may keep as many batches as it likes
            try:
                process.read(slot, requests)
            except BaseException:
                free.put(slot)
                raise
        finally:
            idle.put(process)
        owner, images, labels = slots.arrays(slot)
        weakref.finalize(owner, free.put, slot).atexit = False
        return images, labels

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that run."""
        return [process.pid for process in self._processes]


def _unnamed_file() -> Any:
    """Return a file in memory; on a disk where the system has no such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("batches"), "r+b")
    return tempfile.TemporaryFile()


def main() -> None:
    """Run a process: read what the socket asks for, until it is closed."""
    connection = Connection(int(sys.argv[1]))
    reader, samples, crop = connection.recv()
    slots = SharedSlots(int(sys.argv[2]), samples, crop)
    with contextlib.suppress(EOFError, OSError):  # the training has ended
        while True:
            slot, requests = connection.recv()
            _, images, labels = slots.arrays(slot)
            error = None
            try:
                reader.read(starmap(EncodedSample.read, requests), images, labels)
            except Exception as raised:
                error = raised
            connection.send(error)
