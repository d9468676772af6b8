"""What the system says about a process and those that it started: memory, CPU time.

Input: process ids. Output: figures from /proc, so Linux only; a process that has ended counts as 0.
"""

import os
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """`pid` and the processes below it, each after its parent."""
    parents = {int(folder.name): _stat(int(folder.name))[1] for folder in PROC.iterdir() if folder.name.isdigit()}
    found = [pid]
    for parent in found:
        found += sorted(child for child, its in parents.items() if its == str(parent))
    return found


def rss_mb(pid: int) -> float:
    """Resident memory, MB (10^6 bytes). Pages that several processes share count in each."""
    return _megabytes(pid, "status", "VmRSS")


def peak_rss_mb(pid: int) -> float:
    return _megabytes(pid, "status", "VmHWM")


def pss_mb(pid: int) -> float:
    """Resident memory, MB; of pages that several processes share, each has its part. Sums are exact."""
    return _megabytes(pid, "smaps_rollup", "Pss")


def cpu_seconds(pid: int) -> float:
    """User and system time, and that of its children that have ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / TICKS if len(fields) > 15 else 0.0


def _stat(pid: int) -> list[str]:
    """The fields from the state on: what comes before is the name, which may hold anything."""
    text = _read(pid, "stat")
    return text[text.rfind(")") + 2 :].split() or ["", ""]


def _megabytes(pid: int, file: str, name: str) -> float:
    for line in _read(pid, file).splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _read(pid: int, file: str) -> str:
    try:
        return (PROC / str(pid) / file).read_text()
    except OSError:
        return ""
