"""The loss of benchmarks/recipes_gpu.py, written with JAX, beside that of a training."""

from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.hyperparameters import resolve

pytestmark = pytest.mark.parity
TERMS = [
    {},
    {"ohem_fraction": 0.3},
    {"focal_gamma": 1.0},
    {"label_smoothing": 0.1},
    {"dice_weight": 1.0},
    {"ohem_fraction": 0.4, "focal_gamma": 2.0, "label_smoothing": 0.2, "dice_weight": 0.5},
]


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: " ".join(terms) or "cross entropy")
def test_both_compute_the_same(terms, monkeypatch):
    pytest.importorskip("jax", reason="make test-jax runs this")
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    import recipes_gpu

    from sagemaker_semseg.training.losses import Loss, dice_loss

    generator = np.random.default_rng(0)
    logits, auxiliary = generator.normal(scale=2, size=(2, 2, 9, 9, 5)).astype(np.float32)
    labels = generator.integers(0, 6, (2, 9, 9), np.uint8)
    labels[labels == 5], labels[labels == 3] = 255, 2  # ignored pixels, and a class that doesn't occur
    weights = np.array([0.5, 1, 2, 3, 0.7], np.float32)
    hp = resolve({"num_classes": 5, "num_training_samples": 1, "use_pretrained_model": False, **terms})
    total, weight = Loss.of(hp, weights).sums(logits, auxiliary, labels)
    expected = float(total / weight) + hp.dice_weight * float(dice_loss(logits, labels))
    given = recipes_gpu.loss_of(hp, logits, auxiliary, labels, weights)
    assert float(given) == pytest.approx(expected, rel=1e-5)
