"""Which process was meant: a process id comes in, who it is goes out, and later whether that one is still there.

A number alone doesn't tell: the system gives it to another process one day. So a record holds with it when the process
began and on which machine. Called by whoever starts something that may outlive this process, or looks for it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """born: another one for every process that has ever had the number on this machine. machine: its name."""

    pid: int
    born: str
    machine: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has the number now, if one does."""
        born = _born(pid) if pid > 0 else None
        return cls(pid, born, platform.node()) if born else None

    @classmethod
    def this(cls) -> Process:
        found = cls.of(os.getpid())
        return found or cls(os.getpid(), "", platform.node())

    @classmethod
    def read(cls, value: object) -> Process | None:
        """What ``to_dict`` gave."""
        match value:
            case {"pid": int(pid), "born": str(born), "machine": str(machine)}:
                return cls(pid, born, machine)
        return None

    def to_dict(self) -> Mapping[str, Any]:
        return asdict(self)

    @property
    def alive(self) -> bool:
        """Whether it still runs. One on another machine is taken to: nothing here tells."""
        return self.machine != platform.node() or Process.of(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False if it isn't there, or is not on this machine."""
        if self.machine != platform.node() or not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def send_group(self, number: signal.Signals) -> None:
        """Send the process group that it leads a signal, whether or not it is there itself."""
        if self.machine == platform.node():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def await_end(self, seconds: float) -> bool:
        """Whether it ends in this time."""
        end = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


def _born(pid: int) -> str | None:
    """When a process began, in the system's own words; None if there is none, or only what is left of one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _born_by_ps(pid) if not Path("/proc/self/stat").exists() else None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    if fields[0] in "ZXx":  # ended, and not yet waited for
        return None
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text(encoding='ascii').strip() if boot.exists() else ''} {fields[19]}"


def _born_by_ps(pid: int) -> str | None:
    """The same where there is no /proc, as on macOS."""
    try:
        done = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    state, _, born = done.stdout.strip().partition(" ")
    return born.strip() if born and not state.startswith("Z") else None
