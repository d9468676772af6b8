"""Images that tell a stand-in for a model (``stand_in.py``) what to do, and the folder where it writes what it did."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


class Images:
    """PNGs of random values, and those whose first pixel is a command."""

    @staticmethod
    def png(*first: int, height: int = 8, width: int = 12, seed: int = 0) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 240, (height, width, 3), np.uint8)
        if first:
            pixels[0, 0] = first
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    def __init__(self) -> None:
        commands = (self.png(250, command, 0) for command in (1, 2, 3, 4, 5))
        self.blocks, self.dies, self.takes_all_memory, self.fails, self.dies_once = commands

    @staticmethod
    def labels(image: bytes) -> np.ndarray:
        """The stand-in's labels, computed without it."""
        return np.asarray(Image.open(io.BytesIO(image)))[:, :, 0] % 5


class Folder:
    """Where the stand-in writes what happens to it."""

    def __init__(self, path: Path):
        self.path = path
        (path / "events").touch()

    def events(self, kind: str) -> list[int]:
        """The processes to which it has happened."""
        lines = [line.split() for line in (self.path / "events").read_text().splitlines()]
        return [int(process) for event, process in lines if event == kind]

    def release(self) -> None:
        """Lets the images that block be done."""
        (self.path / "release").touch()

    def await_events(self, kind: str, count: int = 1, seconds: float = 300) -> list[int]:
        until = time.monotonic() + seconds
        while len(found := self.events(kind)) < count:
            assert time.monotonic() < until, f"{kind}: {found}"
            time.sleep(0.01)
        return found


@pytest.fixture(scope="session")
def images() -> Images:
    return Images()


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Folder]:
    return lambda: Folder(tmp_path_factory.mktemp("stand_in"))


@pytest.fixture
def folder(make_folder: Callable[[], Folder]) -> Folder:
    return make_folder()


@pytest.fixture(scope="session")
def stand_in() -> tuple[str, ...]:
    """The command of a worker with the stand-in."""
    return (sys.executable, str(Path(__file__).with_name("stand_in.py")))
