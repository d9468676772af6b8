"""Identifies a process by pid and start time, so that a reused pid isn't mistaken for it."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psutil

_CLOCK_STEP = 2.0
"""Seconds by which a start time may differ: psutil computes it from the clock, which may be set."""


@dataclass(frozen=True)
class Process:
    """A process. start_time: in seconds since the epoch. machine: its name."""

    pid: int
    start_time: float
    machine: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has the number now, if one does; one that ended and wasn't waited for doesn't."""
        try:
            found = psutil.Process(pid)
            ended = found.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            return None if ended else cls(pid, found.create_time(), platform.node())
        except (psutil.Error, ValueError):
            return None

    @classmethod
    def this(cls) -> Process:
        return cls.of(os.getpid()) or cls(os.getpid(), 0.0, platform.node())

    @classmethod
    def from_dict(cls, value: object) -> Process | None:
        """What ``to_dict`` gave; None for anything else."""
        match value:
            case {"pid": int(pid), "start_time": int() | float() as start_time, "machine": str(machine)}:
                return cls(pid, start_time, machine)
        return None

    def to_dict(self) -> Mapping[str, Any]:
        return asdict(self)

    @property
    def is_local(self) -> bool:
        return self.machine == platform.node()

    @property
    def alive(self) -> bool:
        """Whether it still runs. A process on another machine is taken to."""
        if not self.is_local:
            return True
        found = Process.of(self.pid)
        return found is not None and abs(found.start_time - self.start_time) < _CLOCK_STEP

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there and on this machine."""
        if self.is_local and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill the process group that it leads, whether or not it is there itself."""
        if self.is_local:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Whether it ends in this time; it need not be a child."""
        end = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True
