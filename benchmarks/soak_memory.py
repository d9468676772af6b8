"""Memory of processes over time, and whether it grows.

Input: a function that gives process ids. Output: for each, resident memory once a second, its growth and slope.

Flat means: the median over the last quarter of the time is not above the median over the second quarter by more than 8
MB or 5 %, whichever is more. The first quarter is warm-up (an allocator keeps what the largest requests needed).
"""

import asyncio
import time
from collections.abc import Callable
from statistics import linear_regression, median

import processes

ALLOWED_MB, ALLOWED_SHARE = 8.0, 0.05
SECONDS = 1.0


class Memory:
    """`samples`: process id -> [(second, MB)]; the server comes first, then its workers."""

    def __init__(self, ids: Callable[[], list[int]]) -> None:
        self._ids = ids
        self.samples: dict[int, list[tuple[float, float]]] = {}

    async def watch(self) -> None:
        """Until it is cancelled."""
        begun = time.monotonic()
        while True:
            for pid in self._ids():
                self.samples.setdefault(pid, []).append((time.monotonic() - begun, processes.rss_mb(pid)))
            await asyncio.sleep(SECONDS)

    def quarter(self, pid: int, number: int) -> float:
        """The median over a quarter of the time, 0 to 3."""
        values = [mb for _, mb in self.samples[pid]]
        return median(values[number * len(values) // 4 : (number + 1) * len(values) // 4] or values)

    def growth(self, pid: int) -> float:
        return self.quarter(pid, 3) - self.quarter(pid, 1)

    def flat(self, pid: int) -> bool:
        return self.growth(pid) <= max(ALLOWED_MB, ALLOWED_SHARE * self.quarter(pid, 1))

    def peak(self, pid: int) -> float:
        return max(mb for _, mb in self.samples[pid])

    def slope(self, pid: int) -> float:
        """MB per hour after the first quarter, by least squares."""
        later = self.samples[pid][len(self.samples[pid]) // 4 :]
        if len(later) < 2:
            return 0.0
        return 3600 * linear_regression(*zip(*later, strict=True)).slope
