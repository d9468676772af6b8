"""Speed of the input pipeline beside GluonCV's loader: the same files, the same core, taking turns.

Input: flags, and GluonCV's environment. Output: a dated markdown page under `benchmarks/results/`. Run by hand, from
any folder: `python benchmarks/pipeline_speed.py`. The workers are `ours_loader.py` and `peers/gluoncv_loader.py`; see
`peers/lockstep.py` for what passes between them and this script. Exit status 1 if a worker failed.
"""

import argparse
import datetime
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import machine
from contest import say
from pages import facts, table
from peers.worker import Plan, Round, Worker, WorkerFailed
from pipeline_images import write_pairs

HERE = Path(__file__).resolve().parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_THREAD_LIMIT"), "1")
METHOD = """\
Both sides read the same synthetic pairs (JPEG 640 x 480 of quality 90, 8-bit palette PNG), decode them again at every
sample, and do the training augmentation: scale, pad, crop, mirror, blur. The result is a float32 batch, normalized, and
integer labels. Each side is one process pinned to the same single core; they take turns, and the one that waits is
stopped. The order is exchanged from round to round. A ratio compares two rounds that are seconds apart. Ours goes
through an iterator of its own in every round: nothing is read ahead before the clock starts.
"""

Turns = dict[str, Round]


def contest(args: argparse.Namespace, folder: Path, crop: int, versions: dict[str, str]) -> list[Turns]:
    """All rounds of one crop size; seconds are per image."""
    plans = [
        Plan("ours", Path(sys.executable), HERE / "ours_loader.py"),
        Plan("gluoncv", args.peer_python, HERE / "peers" / "gluoncv_loader.py"),
    ]
    flags = {"--folder": folder, "--crop": crop, "--base": args.base, "--batch": args.batch, "--batches": args.batches}
    flags |= {"--rounds": args.rounds, "--steps-per-round": 1}
    words = [str(word) for pair in flags.items() for word in pair]
    images = args.batch * args.batches
    rounds = []
    with ExitStack() as stack:
        workers = []
        for plan in plans:
            worker = Worker(plan, words, ONE_THREAD, args.timeout)
            stack.callback(worker.close)
            found = worker.wait_until_ready()
            versions[plan.name] = ", ".join(f"{name} {number}" for name, number in found.items())
            workers.append(worker)
        for number in range(args.rounds):
            turns = {}
            for worker in workers if number % 2 == 0 else workers[::-1]:
                turn = worker.run_round()
                turns[worker.plan.name] = Round(turn.wall / images, turn.cpu / images, turn.rss_peak_mb)
            rounds.append(turns)
            say(f"crop {crop}, round {number + 1}: " + ", ".join(f"{k} {1 / v.cpu:.0f}/s" for k, v in turns.items()))
    return rounds


def section(crop: int, rounds: list[Turns]) -> str:
    rows = []
    for name in ("gluoncv", "ours"):
        cpu, wall = (median(getattr(turns[name], what) for turns in rounds) for what in ("cpu", "wall"))
        memory = f"{rounds[-1][name].rss_peak_mb:.0f}"
        rows.append([name, f"{1 / cpu:.1f}", f"{1 / wall:.1f}", f"{cpu * 1e3:.2f}", memory])
    ratios = []
    for what in ("cpu", "wall"):
        values = [getattr(turns["gluoncv"], what) / getattr(turns["ours"], what) for turns in rounds]
        ratios.append([what, f"{min(values):.2f}", f"**{median(values):.2f}**", f"{max(values):.2f}"])
    each = [
        [number, *(f"{turns[name].cpu * 1e3:.2f} ({turns[name].wall * 1e3:.2f})" for name in ("gluoncv", "ours"))]
        for number, turns in enumerate(rounds, 1)
    ]
    return "\n".join(
        [
            f"## Crop {crop}\n",
            table(["loader", "images per CPU second", "images per second", "CPU ms per image", "peak RSS MB"], rows),
            "How many times as fast ours is, round by round:\n",
            table(["by", "min", "median", "max"], ratios),
            "CPU ms per image (wall ms), every round:\n",
            table(["round", "gluoncv", "ours"], each),
        ]
    )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer = HERE.parent / ".envs" / "gluoncv" / "bin" / "python"
    parser.add_argument("--peer-python", type=Path, default=peer, help="of the environment with GluonCV")
    parser.add_argument("--crops", nargs="+", type=int, default=[240, 480])
    parser.add_argument("--base", type=int, default=520)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=48, help="batches of one round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", type=int, default=32, help="number of images with masks")
    parser.add_argument("--timeout", type=float, default=300, help="seconds that a worker may take for one answer")
    parser.add_argument("--output", type=Path, help="the page to write (results/pipeline_speed-<date>.md)")
    return parser.parse_args(argv)


def main() -> int:
    args = parse()
    core = machine.usable_cores()[-1]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})  # the workers inherit it
    load, versions, sections = os.getloadavg()[0], {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder, args.pairs)
        jpeg, png = (
            sum(path.stat().st_size for path in folder.glob(f"*.{kind}")) / args.pairs / 1000 for kind in ("jpg", "png")
        )
        try:
            for crop in args.crops:
                sections.append(section(crop, contest(args, folder, crop, versions)))
        except WorkerFailed as error:
            say(f"a worker failed: {error}")
            return 1
    settings = {
        "files": f"{args.pairs} pairs of 640 x 480, JPEG {jpeg:.0f} kB, PNG {png:.1f} kB on average",
        "base size; batch": f"{args.base}; {args.batch}",
        "rounds; images in each": f"{args.rounds}; {args.batch * args.batches}, after 2 rounds of warm-up",
        "core": f"number {core}; load average of the machine before: {load:.2f}",
        **versions,
    }
    date = datetime.date.today().isoformat()
    output = args.output or HERE / "results" / f"pipeline_speed-{date}.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    head = [f"# Input pipeline, {date}\n", METHOD, facts(machine.describe(), settings)]
    output.write_text("\n".join([*head, *sections]))
    print("\n".join(sections))
    say(f"written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
