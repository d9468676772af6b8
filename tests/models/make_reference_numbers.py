"""Write reference_numbers.npz: a sample of the reference engine's numbers, small enough to lie beside the tests.

    python tests/models/make_reference_numbers.py [FOLDER]

FOLDER holds the reference's files (``fcn_resnet50.npz`` and so on); without it, the shared folder beside the checkout
is taken. ``test_parity`` reads what this writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
INPUTS = ("sq", "odd")
STAGES = ("stem", "layer1", "layer2", "c3", "c4")
STEP = 7


def sample(folder: Path) -> dict[str, np.ndarray]:
    """Both inputs in full, the stages' channel means, the low-resolution logits, every 7th pixel of the others."""
    numbers = {}
    for net in ("resnet18", "fcn_resnet50", "psp_resnet50", "deeplab_resnet50"):
        with np.load(folder / f"{'backbone_' if net == 'resnet18' else ''}{net}.npz", allow_pickle=False) as file:
            for x in INPUTS:
                numbers[f"{x}_x"] = file[f"{x}_x"]
                if net in ("resnet18", "fcn_resnet50"):  # the other two have the same backbone and weights
                    numbers |= {f"{net}_{x}_{stage}_mean": file[f"{x}_{stage}_mean"] for stage in STAGES}
                if net != "resnet18":
                    numbers[f"{net}_{x}_logits_low"] = file[f"{x}_logits_low"]
                    numbers[f"{net}_{x}_logits_every7"] = file[f"{x}_logits"][:, ::STEP, ::STEP]
                if net == "fcn_resnet50":
                    numbers[f"{net}_{x}_aux_low"] = file[f"{x}_aux_low"]
                    numbers[f"{net}_{x}_aux_every7"] = file[f"{x}_aux"][:, ::STEP, ::STEP]
    return numbers


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "../shared/reference/gluoncv"
    np.savez_compressed(HERE / "reference_numbers.npz", **sample(folder))
