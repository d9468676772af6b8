"""Memory and CPU time of training steps with and without `recompute`, and whether they give the same bytes.

    python benchmarks/recompute.py [--core 0]

Each row is two processes with the same weights and images, one after the other. A dated page goes into `results`.
"""

import argparse
import datetime
import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import machine
from contest import say
from pages import facts, table
from processes import peak_rss_mb

HERE = Path(__file__).resolve().parent
# algorithm, backbone, images, side of the crop
ROWS = [
    ("fcn", "resnet-18", 4, 480),
    ("fcn", "resnet-50", 4, 240),
    ("deeplab", "resnet-50", 4, 240),
    ("fcn", "resnet-50", 2, 480),
    ("psp", "resnet-101", 2, 240),
]
STEPS = 3  # the first traces the graph


def measure(algorithm: str, backbone: str, images: int, side: int, recompute: bool) -> dict[str, Any]:
    """Make a few steps; return MB, the CPU seconds of a step, and a digest of all variables."""
    import keras
    import numpy as np
    from ours_train import our_step

    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    shape = (images, side, side)
    pixels, labels = random.integers(0, 256, (*shape, 3), np.uint8), random.integers(0, 21, shape).astype(np.uint8)
    asked = argparse.Namespace(
        algorithm=algorithm, backbone=backbone, classes=21, precision="float32", recompute=recompute
    )
    step, network = our_step(asked, pixels, labels)
    times = [time.process_time()]
    for _ in range(STEPS):
        step()
        times.append(time.process_time())
    seconds = statistics.median(after - before for before, after in itertools.pairwise(times[1:]))
    digest = hashlib.sha256(b"".join(np.asarray(variable).tobytes() for variable in network.variables)).hexdigest()
    return {"MB": peak_rss_mb(os.getpid()), "seconds": seconds, "bytes": digest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=int, default=0, help="which core to use (Linux)")
    parser.add_argument("--output", type=Path, help="the page to write (results/recompute-<date>.md)")
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.core})
    rows = []
    for row in ROWS:
        commands = [[sys.executable, __file__, json.dumps([*row, recompute])] for recompute in (False, True)]
        done = [subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True) for command in commands]
        without, with_it = (json.loads(each.stdout.splitlines()[-1]) for each in done)
        algorithm, backbone, images, side = row
        rows.append([
            f"{algorithm}, {backbone}", f"{images} x {side} x {side}", f"{without['MB']:.0f}", f"{with_it['MB']:.0f}",
            f"{with_it['seconds'] / without['seconds']:.2f}", "yes" if with_it["bytes"] == without["bytes"] else "NO",
        ])  # fmt: skip
        say("  ".join(rows[-1]))
    head = ["network", "crops of a step", "MB without", "MB with it", "CPU time of a step, without = 1", "same bytes"]
    date = datetime.date.today().isoformat()
    text = f"# Recomputation in the backward pass, {date}\n\n{facts(machine.describe(), {'steps': str(STEPS)})}\n"
    text += table(head, rows)
    output = args.output or HERE / "results" / f"recompute-{date}.md"
    output.write_text(text)
    say(f"written: {output}")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("["):
        print(json.dumps(measure(*json.loads(sys.argv[1]))))
    else:
        main()
