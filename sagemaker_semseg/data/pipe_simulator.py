"""Plays files as a pipe: pairs of files come in, FIFOs go out, written by a process of their own as SageMaker does it.

For each channel ``<channel>_0``, ``<channel>_1``, ... appear, one for each pass and without end; in each, a RecordIO
record for every image and one for its mask, shuffled anew for each pass if that is wanted. The command line plays what
``train --pipe`` is given. The process ends with the one that started it, however that ends, and takes its FIFOs along.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sagemaker_semseg.data.recordio import MAX_PART, write_record
from sagemaker_semseg.data.shuffle import order
from sagemaker_semseg.errors import DataError, Fault

if TYPE_CHECKING:
    from sagemaker_semseg.data.pairs import ImageMaskPair

_BUFFER: Final = 1 << 18
_failing = threading.Lock()


@dataclass(frozen=True)
class ChannelConfig:
    """What is played on one channel.

    seed: of the order, which is a new one in each pass; None: the order of ``pairs``. first_pass: which one the first
    FIFO is, for the order.
    """

    channel: str
    pairs: Sequence[ImageMaskPair]
    seed: int | None = None
    first_pass: int = 0


class PipeSimulator:
    """The process, from the side of whoever started it; a context manager."""

    def __init__(self, folder: Path, programmes: Sequence[ChannelConfig]):
        """folder: where the FIFOs appear; it has to exist. Raises ``OSError``."""
        self.folder = folder
        self._fault: DataError | None = None
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # ``check`` tells why
            self._process.stdin.writelines(_lines(programmes))
            self._process.stdin.flush()

    def check(self) -> None:
        """Raises ``DataError`` if the player has failed. Any thread may ask."""
        with self._lock:
            stdout = self._process.stdout
            assert stdout is not None
            # what goes wrong is written before a FIFO ends, so nobody takes that for the end of a pass
            if not self._fault and select.select([stdout], [], [], 0)[0]:
                self._fault = _fault_in(stdout.read())
            if self._fault:
                raise self._fault

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # which the process takes for its end
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> PipeSimulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def running(programmes: Sequence[ChannelConfig]) -> Iterator[PipeSimulator]:
    """A player in a folder of its own, both gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="sagemaker-semseg-", ignore_cleanup_errors=True) as folder,
        PipeSimulator(Path(folder), programmes) as player,
    ):
        yield player


def _lines(programmes: Sequence[ChannelConfig]) -> Iterator[bytes]:
    """What the process is told: for each channel a line, and one for each of its pairs; at last an empty one."""
    for programme in programmes:
        head = {name: value for name, value in vars(programme).items() if name != "pairs"}
        yield json.dumps({**head, "count": len(programme.pairs)}).encode() + b"\n"
        for pair in programme.pairs:
            yield json.dumps([str(pair.image), str(pair.mask), pair.where]).encode() + b"\n"
    yield b"\n"


def _fault_in(text: bytes) -> DataError:
    try:
        faults = [Fault(**fault) for fault in json.loads(text)]
    except ValueError:
        faults = [Fault("the player", "has ended without a word", "look for its message above")]
    return DataError("the data can't be played", faults)


# ---- in the process


def main() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too, but a training goes on for a step
    folder = Path(sys.argv[1])
    lines = iter(sys.stdin.buffer.readline, b"\n")
    stages = []
    for line in lines:
        head: dict[str, Any] = json.loads(line)
        count = head.pop("count")
        # kept as they came: a million pairs are less than 200 MB
        stages.append(_Stage(folder, list(itertools.islice(lines, count)), **head))
    for stage in stages:
        threading.Thread(target=stage.play, daemon=True).start()
    sys.stdin.buffer.read()  # until whoever started this closes it, or is gone
    for stage in stages:
        stage.clear()
    with contextlib.suppress(OSError):
        folder.rmdir()
    os._exit(0)  # threads stand in ``open``, which nothing else would end


class _Stage:
    """One channel, in a thread of its own."""

    def __init__(self, folder: Path, pairs: list[bytes], channel: str, seed: int | None, first_pass: int):
        self._folder, self._pairs, self._channel = folder, pairs, channel
        self._seed, self._first_pass = seed, first_pass
        self._fifo = folder

    def play(self) -> None:
        try:
            for number in itertools.count():
                self._fifo = self._folder / f"{self._channel}_{number}"
                os.mkfifo(self._fifo)
                with contextlib.suppress(BrokenPipeError):  # the reader has enough: on to the next pass
                    self._send(number)
                self._fifo.unlink()
        except OSError as error:
            _fail(Fault(str(self._fifo), f"can't be written: {error.strerror or error}", "check the folder"))

    def _send(self, number: int) -> None:
        places: Sequence[int] = range(len(self._pairs))
        if self._seed is not None:
            places = order(self._seed, self._first_pass + number, len(self._pairs)).tolist()
        with open(self._fifo, "wb", _BUFFER) as file:  # waits for a reader
            for place in places:
                image, mask, where = json.loads(self._pairs[place])
                write_record(file, _content(image, where))
                write_record(file, _content(mask, where))

    def clear(self) -> None:
        with contextlib.suppress(OSError):
            self._fifo.unlink()


def _content(path: str, where: str) -> bytes:
    """where: the line that names the file, if one does."""
    called = f"{path} ({where})" if where else path
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_PART + 1)
    except OSError as error:
        _fail(Fault(called, f"can't be read: {error.strerror or error}", "check the path and the permissions"))
    if len(content) > MAX_PART:
        _fail(Fault(called, f"has more than {MAX_PART} bytes, which a record can't hold", "cut it into tiles"))
    return content


def _fail(fault: Fault) -> NoReturn:
    with _failing:  # one channel's fault is enough
        sys.stdout.buffer.write(json.dumps([asdict(fault)]).encode())
        sys.stdout.buffer.flush()
        os._exit(2)


if __name__ == "__main__":
    main()
