"""Early stopping by hand-made curves."""

import pytest

from sagemaker_semseg.training.early_stopping import EarlyStopping


def stops_after(curve, hp):
    """The number of epochs that run, and the best one."""
    progress = EarlyStopping()
    for epoch, miou in enumerate(curve):
        progress.update(epoch, miou, hp.early_stopping_tolerance)
        if progress.should_stop(epoch, hp):
            return epoch + 1, progress.best_epoch
    return len(curve), progress.best_epoch


FLAT = [0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]


@pytest.mark.parametrize(
    ("settings", "curve", "expected"),
    [
        ({}, FLAT, (3, 0)),
        ({"early_stopping_min_epochs": 6}, FLAT, (6, 0)),
        ({"early_stopping": False}, FLAT, (8, 0)),
        ({}, [0.1, 0.2, 0.2, 0.3, 0.3, 0.3], (6, 3)),  # equal is no improvement, and the count restarts
        ({"early_stopping_tolerance": 0.1}, [0.50, 0.52, 0.54, 0.60], (3, 2)),  # 0.54 < 0.50 * 1.1; still the best
        ({"early_stopping_tolerance": 0.05}, [0.50, 0.52, 0.54, 0.56, 0.58], (5, 4)),  # measured from 0.50, then 0.54
        ({}, [0.0, 0.0, 0.0], (3, 0)),
    ],
)
def test_curves(settings, curve, expected, make_hp):
    hp = make_hp(**{"early_stopping": True, "early_stopping_min_epochs": 1, "early_stopping_patience": 2, **settings})
    assert stops_after(curve, hp) == expected
