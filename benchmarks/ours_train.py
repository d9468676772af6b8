"""Lockstep worker: training steps of our own FCN or DeepLabV3 with ResNet-50 (see `peers/lockstep.py`): a stub."""

import argparse

from peers import lockstep


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    raise NotImplementedError("the worker for our own network is not written yet")


if __name__ == "__main__":
    lockstep.serve(lockstep.parser(__doc__).parse_args(), build)
