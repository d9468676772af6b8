"""What the workers of `serving_latency.py` share: it gives a step that runs a network on a decoded image.

A framework has more than one way to run a network, and which is fastest depends on the machine and the number of
cores: each worker times its forms before the contest and enters with the fastest.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Run = Callable[[], np.ndarray]
"""One image through the network, finished when it returns: logits (1, classes, h, w) or (1, h, w, classes)."""


def parser(description: str | None) -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--image", type=Path, required=True, help=".npy, (H, H, 3) uint8")
    flags.add_argument("--graph", type=Path, required=True, help="the runtime graph, .onnx")
    flags.add_argument("--algorithm", choices=("fcn", "psp", "deeplab"), default="fcn")
    flags.add_argument("--depth", type=int, default=50, help="of the ResNet")
    flags.add_argument("--classes", type=int, default=21)
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--steps-per-round", type=int, default=1)
    return flags


def pixels(args: argparse.Namespace) -> np.ndarray:
    """(1, H, W, 3) uint8."""
    return np.load(args.image)[None]


def normalized(args: argparse.Namespace) -> np.ndarray:
    """(1, H, W, 3) float32."""
    return ((pixels(args) / 255 - MEAN) / STANDARD_DEVIATION).astype(np.float32)


def fastest(forms: Mapping[str, Run]) -> tuple[Callable[[], float], dict[str, str]]:
    """The quickest of the forms as a step of `lockstep.py`, and what all took, for the list of versions."""
    seconds = {name: _seconds(run) for name, run in forms.items()}
    name = min(seconds, key=seconds.__getitem__)
    tried = {"form": name, "tried": ", ".join(f"{form} {taken:.3f} s" for form, taken in seconds.items())}
    run = forms[name]

    def step() -> float:
        logits = run()
        return float(logits[0, 0, 0, 0])

    return step, tried


def _seconds(run: Run) -> float:
    run()  # the first call builds what later ones use
    begun = time.perf_counter()
    logits = run()
    taken = time.perf_counter() - begun
    if not np.isfinite(logits).all():
        raise FloatingPointError("the logits are not finite: what was timed is no inference")
    return taken
