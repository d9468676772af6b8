"""CPU time, bytes and seconds of writing a checkpoint, and their share at one every five minutes.

    python benchmarks/checkpoint_costs.py [--folder DIR]

Each network and optimizer is a process of its own. DIR decides which disk is measured.

A dated page goes into `results`.
"""

import argparse
import datetime
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import machine
from contest import say
from pages import facts, table

HERE = Path(__file__).resolve().parent
MINUTES = 5  # the default of checkpoint_minutes


def measure(algorithm: str, backbone: str, optimizer: str, folder: str, repeats: str) -> dict[str, float]:
    """Write the checkpoint of a network of 21 classes some times, and read it once."""
    import keras  # noqa: F401  (the package first sets what TensorFlow reads)

    from sagemaker_semseg.hyperparameters import resolve
    from sagemaker_semseg.models.network import build_network
    from sagemaker_semseg.training import checkpoint
    from sagemaker_semseg.training.optimizers import make_optimizer

    hp = resolve({"num_classes": 21, "algorithm": algorithm, "backbone": backbone, "optimizer": optimizer})
    network, optimizer_ = build_network(algorithm, backbone, 21), make_optimizer(hp)
    optimizer_.build(network.trainable_variables)
    state, path = checkpoint.TrainingState({}, 0), Path(folder) / "last.safetensors"
    cpu, seconds = [], []
    for _ in range(int(repeats)):
        start = time.process_time(), time.perf_counter()
        checkpoint.save(path, network, optimizer_, state)
        cpu.append(time.process_time() - start[0])
        seconds.append(time.perf_counter() - start[1])
    start = time.process_time()
    checkpoint.restore(path, network, optimizer_)
    reading = time.process_time() - start
    return {"bytes": path.stat().st_size, "cpu": median(cpu), "seconds": median(seconds), "reading": reading}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", default=["fcn", "psp", "deeplab"])
    parser.add_argument("--backbones", nargs="+", default=["resnet-18", "resnet-50"])
    parser.add_argument("--optimizers", nargs="+", default=["sgd", "adam"])
    parser.add_argument("--folder", help="where to write; a temporary folder if not given")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="the page to write (results/checkpoint_costs-<date>.md)")
    args = parser.parse_args()
    load, rows = os.getloadavg()[0], []
    for names in itertools.product(args.algorithms, args.backbones, args.optimizers):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            command = [sys.executable, __file__, "--measure", *names, folder, str(args.repeats)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        share = found["seconds"] / (60 * MINUTES)
        row = [f"{found['bytes'] / 1e6:.0f}", *(f"{found[name]:.2f}" for name in ("cpu", "seconds"))]
        rows.append([", ".join(names), *row, f"{share:.2%}", f"{found['reading']:.2f}"])
        say(str(rows[-1]))
    date = datetime.date.today().isoformat()
    head = [
        "network, optimizer",
        "MB",
        "CPU s",
        "s",
        f"share of the time at one in {MINUTES} minutes",
        "reading, CPU s",
    ]
    settings = {"repeats; load average before": f"{args.repeats}; {load:.2f}"}
    text = f"# What a checkpoint costs, {date}\n\n"
    text += "A training waits while it writes one: weights, moving statistics and the optimizer's variables, with a\n"
    text += "SHA-256, through a temporary file that is flushed to the disk. 21 classes, `float32`. Medians.\n\n"
    output = args.output or HERE / "results" / f"checkpoint_costs-{date}.md"
    output.write_text(text + facts(machine.describe(), settings) + "\n" + table(head, rows))
    say(f"written: {output}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main()
