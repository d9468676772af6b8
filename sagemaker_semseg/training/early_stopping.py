"""Early stopping and the best epoch, by validation mIOU."""

from __future__ import annotations

from dataclasses import dataclass

from sagemaker_semseg.hyperparameters import Hyperparameters


@dataclass
class EarlyStopping:
    """The best epoch, and how many have passed since one improved.

    An epoch has improved when its mIOU exceeds ``reference``, that of the last one that did, by more than nothing and
    by at least the relative tolerance. The best epoch is that of the highest mIOU, whatever the tolerance.

    Attributes:
        best: The highest mIOU, -1 before the first epoch.
        best_epoch: Its epoch, from 0; -1 before the first.
        reference: The mIOU of the last epoch that improved.
        waited: Epochs since then.
    """

    best: float = -1.0
    best_epoch: int = -1
    reference: float = -1.0
    waited: int = 0

    def update(self, epoch: int, miou: float, tolerance: float) -> bool:
        """Add the mIOU of an epoch, counted from 0. Returns whether it is the best so far."""
        gain = miou - self.reference
        if self.reference < 0 or (gain > 0 and gain >= tolerance * self.reference):
            self.reference, self.waited = miou, 0
        else:
            self.waited += 1
        if miou <= self.best:
            return False
        self.best, self.best_epoch = miou, epoch
        return True

    def should_stop(self, epoch: int, hp: Hyperparameters) -> bool:
        """Whether training ends after this epoch (early_stopping, _min_epochs, _patience)."""
        enough = epoch + 1 >= hp.early_stopping_min_epochs and self.waited >= hp.early_stopping_patience
        return hp.early_stopping and enough
