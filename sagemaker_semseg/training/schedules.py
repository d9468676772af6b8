"""Learning-rate schedules: poly, step or cosine, after an optional linear warm-up.

Formulas of GluonCV's ``LRScheduler``: with T the update's number from 0, N = total - 1 and T <= N,

    poly    base * (1 - T/N) ** 0.9
    cosine  base * (1 + cos(pi * T/N)) / 2
    step    base * factor ** (number of listed epochs that are over)
    warm-up base * T/(W - 1) for the first W updates; the schedule proper then runs over the rest
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sagemaker_semseg.hyperparameters import Hyperparameters

POWER = 0.9  # of poly


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule.

    Attributes:
        kind: poly, step or cosine.
        base: The initial rate.
        total: The number of updates.
        warmup: The number of updates in the warm-up.
        milestones: For step: the updates, counted from the start of training, from which on ``factor`` applies.
        factor: For step: what the rate is multiplied by at each milestone.
    """

    kind: str
    base: float
    total: int
    warmup: int = 0
    milestones: Sequence[int] = ()
    factor: float = 0.1

    def __call__(self, update: int) -> float:
        """Return the rate of an update, counted from 0; after the end, the last one."""
        if update < self.warmup:
            return self.base * update / max(self.warmup - 1, 1)
        if self.kind == "step":
            return self.base * self.factor ** sum(update >= milestone for milestone in self.milestones)
        last = max(self.total - self.warmup - 1, 1)
        progress = min(update - self.warmup, last) / last
        if self.kind == "cosine":
            return self.base * (1 + math.cos(math.pi * progress)) / 2
        return self.base * (1 - progress) ** POWER


def make_schedule(hp: Hyperparameters, samples: int) -> Schedule:
    """Make the schedule of a training. An epoch has ``num_training_samples``, or else ``samples``."""
    steps = math.ceil((hp.num_training_samples or samples) / hp.mini_batch_size)
    return Schedule(
        kind=hp.lr_scheduler,
        base=hp.learning_rate,
        total=steps * hp.epochs,
        warmup=round(steps * hp.warmup_epochs),
        milestones=tuple(steps * epoch for epoch in hp.lr_scheduler_step),
        factor=hp.lr_scheduler_factor,
    )
