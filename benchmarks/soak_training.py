"""Kills a training again and again, and compares its results with those of one that was never killed.

Each run starts the command `train` in a process of its own, which gets SIGKILL: half the time after a random time, else
at a random change of the folder of checkpoints, while a file is written or renamed. A training that ends by itself has
to have the bytes of the uninterrupted one: weights, graph, losses and scores; then the next one begins. Run by hand,
`make soak-training`; it writes a dated page into `results`. Exit status 1 if any byte differs.
"""

import argparse
import datetime
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import machine
from contest import say
from pages import facts, table

HERE = Path(__file__).resolve().parent
SETTINGS = {
    "--num-classes": 4, "--crop-size": 32, "--base-size": 48, "--mini-batch-size": 2, "--epochs": 2, "--seed": 5,
    "--use-pretrained-model": False, "--learning-rate": 0.01, "--checkpoint-minutes": 1e-6,
}  # fmt: skip


@dataclass
class Tally:
    kills: int = 0
    at_a_change: int = 0
    finished: int = 0
    different: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    moments: dict[str, int] = field(default_factory=dict)


def start(args: argparse.Namespace, data: Path, output: Path) -> subprocess.Popen:
    settings = {**SETTINGS, "--algorithm": args.algorithm, "--backbone": args.backbone}
    words = [str(word) for pair in settings.items() for word in pair]
    command = [sys.executable, "-m", "sagemaker_semseg", "train", "--data", str(data), "--output", str(output), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def result(output: Path) -> dict[str, str]:
    """Digests of the weights and the graph, and the figures that don't depend on time."""
    from sagemaker_semseg.artifact.members import read_members

    members = read_members(output / "model.tar.gz", ("metrics.json", "model.safetensors", "model.onnx"))
    metrics = json.loads(members.pop("metrics.json"))
    history = [{k: v for k, v in row.items() if "throughput" not in k} for row in metrics["history"]]
    found = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    return {**found, "history": json.dumps(history), "validation": json.dumps(metrics["validation"])}


def listing(folder: Path) -> list[tuple[str, int]]:
    try:
        return sorted((entry.name, entry.stat().st_size) for entry in os.scandir(folder))
    except OSError:
        return []


def wait_for_moment(process: subprocess.Popen, folder: Path, draw: random.Random, seconds: float) -> str:
    """Wait until the process is to be killed; returns what for, or an empty text if it has ended."""
    at_change, changes = draw.random() < 0.5, draw.randrange(1, 12)
    end, before = time.monotonic() + draw.uniform(0, seconds), listing(folder)
    while process.poll() is None:
        if at_change and (now := listing(folder)) != before:
            before, changes = now, changes - 1
            if not changes:
                return "at a change of the checkpoints"
        if not at_change and time.monotonic() > end:
            return "at a random time"
        time.sleep(0.001)
    return ""


def phase(output: Path) -> str:
    """What the files say about the moment of a kill."""
    names = [name for name, _ in listing(output / "checkpoints")]
    if any(name.startswith(".writing-") for name in names):
        return "while a checkpoint was written"
    if any(name.startswith(".writing-") for name, _ in listing(output)):
        return "while the artifact was written"
    if "best.new.safetensors" in names:
        return "between the best epoch's weights and the state"
    return "elsewhere" if names else "before the first checkpoint"


def soak(args: argparse.Namespace, root: Path) -> tuple[Tally, float]:
    from sagemaker_semseg.data.demo_dataset import make_demo_set

    make_demo_set(root / "data", train=9, validation=3, test=1, size=48)
    began = time.monotonic()
    process = start(args, root / "data", root / "whole")
    if process.wait() != 0:
        raise SystemExit(process.stderr.read().decode())
    seconds, expected = time.monotonic() - began, result(root / "whole")
    tally, draw = Tally(), random.Random(args.seed)
    while tally.kills < args.kills:
        output = root / f"killed-{tally.finished}"
        process = start(args, root / "data", output)
        why = wait_for_moment(process, output / "checkpoints", draw, seconds)
        process.kill()
        errors = process.communicate()[1].decode(errors="replace")
        if why:
            tally.kills += 1
            tally.at_a_change += why == "at a change of the checkpoints"
            moment = phase(output)
            tally.moments[moment] = tally.moments.get(moment, 0) + 1
        elif process.returncode:
            tally.failed.append(errors[-2000:])
            break
        else:
            compare(tally, output, expected)
        say(f"{tally.kills} kills, {tally.finished} trainings finished")
    process = start(args, root / "data", root / f"killed-{tally.finished}")
    if process.wait() == 0:
        compare(tally, root / f"killed-{tally.finished}", expected)
    else:
        tally.failed.append(process.stderr.read().decode()[-2000:])
    return tally, seconds


def compare(tally: Tally, output: Path, expected: dict[str, str]) -> None:
    found = result(output)
    tally.different += [f"{output.name}: {name}" for name in expected if found[name] != expected[name]]
    left = [name for name, _ in listing(output / "checkpoints") if name.startswith(".")]
    tally.different += [f"{output.name}: {name} was left behind" for name in left]
    tally.finished += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--algorithm", default="fcn")
    parser.add_argument("--backbone", default="resnet-18")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="the page to write (results/soak_training-<date>.md)")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as root:
        tally, seconds = soak(args, Path(root))
    date = datetime.date.today().isoformat()
    settings = {
        "training": f"{args.algorithm} on {args.backbone}, 2 epochs of 5 steps, a checkpoint after each step",
        "seconds of the uninterrupted one; load before": f"{seconds:.0f}; {load:.1f}",
    }
    rows = [["kills", tally.kills], ["of them at a change of the checkpoints", tally.at_a_change]]
    rows += [[f"- {moment}", count] for moment, count in sorted(tally.moments.items())]
    rows += [["trainings that were killed and finished", tally.finished]]
    rows += [["differences from the uninterrupted one", ", ".join(tally.different) or "none"]]
    rows += [["failures", "; ".join(tally.failed) or "none"]]
    text = f"# Trainings that are killed, {date}\n\n{(__doc__ or '').split(chr(10) * 2)[1]}\n\n"
    text += facts(machine.describe(), settings) + "\n" + table(["", ""], rows)
    output = args.output or HERE / "results" / f"soak_training-{date}.md"
    output.write_text(text)
    say(f"written: {output}")
    return 1 if tally.different or tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
