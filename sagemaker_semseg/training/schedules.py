"""The learning rate of every update: poly, step or cosine, after an optional linear warm-up.

Formulas of the reference engine (its ``LRScheduler``): with T the update's number from 0, N = total - 1 and T <= N,

    poly    base * (1 - T/N) ** 0.9
    cosine  base * (1 + cos(pi * T/N)) / 2
    step    base * factor ** (number of listed epochs that are over)
    warm-up base * T/(W - 1) for the first W updates; the schedule proper then runs over the rest

``trainer`` asks for the rate before each update. Double precision, no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

POWER = 0.9


@dataclass(frozen=True)
class Schedule:
    """kind: poly, step or cosine. base: the initial rate. total: updates in all. warmup: how many of them come first.

    milestones: updates at which ``factor`` is multiplied in, counted from the start of training (step alone).
    """

    kind: str
    base: float
    total: int
    warmup: int = 0
    milestones: Sequence[int] = ()
    factor: float = 0.1

    def __call__(self, update: int) -> float:
        """The rate of update number ``update``, counted from 0; past the end it stays where it is."""
        if update < self.warmup:
            return self.base * update / max(self.warmup - 1, 1)
        if self.kind == "step":
            return self.base * self.factor ** sum(update >= milestone for milestone in self.milestones)
        last = max(self.total - self.warmup - 1, 1)
        progress = min(update - self.warmup, last) / last
        if self.kind == "cosine":
            return self.base * (1 + math.cos(math.pi * progress)) / 2
        return self.base * (1 - progress) ** POWER
