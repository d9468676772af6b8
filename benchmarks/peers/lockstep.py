"""The worker's half of a contest: a process that runs some steps, of training mostly, only when it is asked to.

In: the command line that every worker shares, then lines on stdin ("go": run a round of steps; "stop", or the end of
stdin: exit). Out on stdout, one JSON object per line: `{"ready": true, "versions": ...}` after the warm-up,
then per round `{"wall": s, "cpu": s, "rss_peak_mb": MB, "gpu_peak_mb": MB, "loss": x}`, wall and CPU seconds (user +
system, all threads) for the whole round. All else that a framework prints goes to stderr. Needs numpy only, since every
worker lives in an environment of its own.
"""

import argparse
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARM_UP_STEPS = 2
IGNORED_SHARE = 0.05

Step = Callable[[], float]
"""One whole training step, optimizer included, finished when it returns; returns the loss (or another number)."""


def parser(description: str | None) -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--algorithm", choices=("fcn", "deeplab"), default="fcn")
    flags.add_argument("--backbone", choices=("resnet-18", "resnet-50"), default="resnet-50")
    flags.add_argument("--crop", type=int, default=240, help="height and width of the images, a multiple of 8")
    flags.add_argument("--batch", type=int, default=4)
    flags.add_argument("--classes", type=int, default=21)
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--steps-per-round", type=int, default=1)
    return flags


def fixed_batch(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """The one batch of a run, random: images (B, crop, crop, 3) float32 as after normalisation, labels (B, crop, crop)
    int32 with -1 = ignored.
    """
    random = np.random.RandomState(0)
    images = random.standard_normal((args.batch, args.crop, args.crop, 3)).astype(np.float32)
    labels = random.randint(0, args.classes, (args.batch, args.crop, args.crop)).astype(np.int32)
    labels[random.uniform(size=labels.shape) < IGNORED_SHARE] = -1
    return images, labels


def peak_rss_mb() -> float:
    """Highest resident memory of this process so far, MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would also count the process that started this one
        kib = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(kib) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_gpu_mb() -> float:
    """Highest memory that the framework of this process has used on the GPU, MB; 0 without one."""
    if torch := sys.modules.get("torch"):
        return torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else 0.0
    if jax := sys.modules.get("jax"):
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 1e6
    return 0.0


def serve(
    args: argparse.Namespace,
    build: Callable[[argparse.Namespace], tuple[Step, dict[str, str]]],
    warm_up: int = WARM_UP_STEPS,
) -> None:
    """Warm up, then run rounds as asked. `build` imports its framework, makes the net and returns (step, versions)."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**values: object) -> None:
        answers.write(json.dumps(values) + "\n")

    step, versions = build(args)
    for _ in range(warm_up):
        step()
    answer(ready=True, versions=versions)
    while sys.stdin.readline().strip() == "go":
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(args.steps_per_round):
            loss = step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}: what was timed is worth nothing")
        answer(wall=wall, cpu=cpu, rss_peak_mb=peak_rss_mb(), gpu_peak_mb=peak_gpu_mb(), loss=loss)
