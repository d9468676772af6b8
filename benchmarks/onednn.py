"""Measures a training step on a CPU with TensorFlow's oneDNN, beside TensorFlow without it.

    python benchmarks/onednn.py [--rounds 5]

Two processes run the same step of `ours_train.py` in turns; they differ in the variable TF_ENABLE_ONEDNN_OPTS alone. On
CPUs without VNNI, TensorFlow uses no oneDNN unless the variable says so. Writes a dated page into `results`.
"""

import argparse
import datetime
import sys
from functools import partial
from pathlib import Path

import machine
from contest import Contest, compete, pinned, say, versions
from pages import facts, spread, table
from peers.worker import Plan, Worker

HERE = Path(__file__).resolve().parent
VARIABLES = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}  # threads that spin count as CPU time
CONTESTANTS = {"without": "0", "with": "1"}
NETWORKS = {"resnet-18": 200, "resnet-50": 240}  # crop


def contest(backbone: str, rounds: int) -> Contest:
    """The rounds of both on one core."""
    flags = ["--algorithm", "fcn", "--backbone", backbone, "--crop", str(NETWORKS[backbone]), "--batch", "4"]
    flags += ["--threads", "1", "--steps-per-round", "1"]
    starters = {}
    for name, value in CONTESTANTS.items():
        plan = Plan(name, Path(sys.executable), HERE / "ours_train.py")
        starters[name] = partial(Worker, plan, flags, {**VARIABLES, "TF_ENABLE_ONEDNN_OPTS": value}, 900)
    with pinned(1) as cores:
        return compete(backbone, cores, starters, rounds)


def row(one: Contest) -> list[str]:
    least, middle, most = (f"{ratio:.2f}" for ratio in spread(one.ratios("without", "with", "cpu")))
    times = [f"{one.median(name, 'cpu'):.2f}" for name in CONTESTANTS]
    crop = NETWORKS[one.name]
    return [f"fcn, {one.name}, 4 crops of {crop}", *times, f"**{middle}**", f"{least} to {most}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    contests = [contest(backbone, args.rounds) for backbone in args.backbones]
    date = datetime.date.today().isoformat()
    head = ["a training step", "without, CPU s", "with, CPU s", "without / with (median of rounds)", "ratios"]
    title, lead = (
        f"# TensorFlow with oneDNN and without, {date}\n",
        f"One core, {args.rounds} rounds of each, in turns.\n",
    )
    described = facts(machine.describe(), versions(contests))
    output = HERE / "results" / f"onednn-{date}.md"
    output.write_text("\n".join([title, described, lead, table(head, map(row, contests))]))
    say(f"written: {output}")


if __name__ == "__main__":
    main()
