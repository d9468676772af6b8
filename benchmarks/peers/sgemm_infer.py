"""Lockstep worker: a product of square float32 matrices in numpy's BLAS, for the machine's peak (see `lockstep.py`)."""

import argparse

import inference
import lockstep
import numpy as np

SIDE = 2048


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    one = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    out = np.empty_like(one)

    def step() -> float:
        return float(np.matmul(one, one, out=out)[0, 0])

    return step, {"numpy": np.__version__, "GFLOP a step": f"{2 * SIDE**3 / 1e9:.3f}"}


if __name__ == "__main__":
    lockstep.serve(inference.parser(__doc__).parse_args(), build)  # threads: the variables of `serving_latency.py`
