"""Memory and CPU time of loading a model and of labelling one image, by two versions of the package.

Input: two checkouts and a class count. Output: a dated markdown page under `benchmarks/results/`. Linux only. Each
figure is of a process of its own; the versions take turns, and the ratio is that of the medians:
`python benchmarks/lean_graph.py OLD NEW`. OLD is a folder such as `git archive COMMIT | tar x -C OLD` makes.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median

import machine
from make_model import make_model
from pages import facts, table
from processes import peak_rss_mb, rss_mb

HERE = Path(__file__).resolve().parent
SIDE = 1448
"""2^21 pixels, the largest image that goes through the network whole by default."""

NETWORKS = [("fcn", "resnet-50", 21, 480), ("fcn", "resnet-50", 150, SIDE)]


def measure(model: str, side: int, runtime: str) -> dict[str, float]:
    """Runs in a process of its own, with the version of the package that is on its path."""
    import time

    import numpy as np

    from sagemaker_semseg.inference import Segmenter

    segmenter = Segmenter(model, scales=(1.0,), flip=False, runtime=runtime, threads=1)
    loading, loaded = peak_rss_mb(os.getpid()), rss_mb(os.getpid())
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    since = time.process_time()
    segmenter.labels(image)
    seconds = time.process_time() - since
    return {"loading": loading, "loaded": loaded, "peak": peak_rss_mb(os.getpid()), "seconds": seconds}


def measured(package: Path, model: Path, side: int, runtime: str) -> dict[str, float]:
    command = [sys.executable, __file__, str(package), str(package), "--work", str(model), str(side), runtime]
    variables = {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise SystemExit(f"{package} failed:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rows(old: Path, new: Path, rounds: int) -> list[list[str]]:
    found = []
    for algorithm, backbone, classes, side in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(Path(folder) / "model.tar.gz", algorithm, backbone, classes)
            for runtime in ("onnxruntime", "openvino"):
                pairs = [[measured(package, model, side, runtime) for package in (old, new)] for _ in range(rounds)]
                what = f"{algorithm}, {backbone}, {classes} classes, {side} x {side}, {runtime}"
                for name, unit in (("loading", "MB"), ("loaded", "MB"), ("peak", "MB"), ("seconds", "CPU s")):
                    before, after = (median(pair[i][name] for pair in pairs) for i in (0, 1))
                    digits = 2 if name == "seconds" else 0
                    figures = [f"{value:.{digits}f}" for value in (before, after)]
                    found.append([what, f"{name}, {unit}", *figures, f"{after / before:.2f}"])
                    print(*found[-1], sep="  ", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--note", default="", help="a sentence for the page, such as what else the machine did")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(measure(args.work[0], int(args.work[1]), args.work[2])))
        return
    head = ["what", "", "before", "after", "ratio"]
    body = table(head, rows(args.old.resolve(), args.new.resolve(), args.rounds))
    versions = {name: version(name) for name in ("onnxruntime", "openvino")}
    text = f"""# The graph cut at the coarse logits, {datetime.date.today()}

A `Segmenter` of a version that loads the whole graph, and of one that loads the nodes of the coarse logits alone and
maps their weights from a file. Each figure is the median of {args.rounds} processes with one thread; the versions took
turns. `loading` is the peak of resident memory (10^6 bytes) until the model is ready, `loaded` what is left then,
`peak` and `seconds` are those of labelling one image. {args.note}

{facts(machine.describe(), versions)}
{body}"""
    (HERE / "results" / f"lean_graph-{datetime.date.today()}.md").write_text(text)


if __name__ == "__main__":
    main()
