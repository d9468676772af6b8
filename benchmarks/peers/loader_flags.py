"""The command line that the two workers of `pipeline_speed.py` share.

Input: a worker's docstring. Output: its parser.
"""

import argparse
from pathlib import Path


def parser(description: str | None) -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--folder", type=Path, required=True, help="holds <k>.jpg and <k>.png")
    flags.add_argument("--crop", type=int, default=240)
    flags.add_argument("--base", type=int, default=520)
    flags.add_argument("--batch", type=int, default=8)
    flags.add_argument("--batches", type=int, default=48, help="batches of one round")
    flags.add_argument("--rounds", type=int, default=9)
    flags.add_argument("--steps-per-round", type=int, default=1)
    return flags
