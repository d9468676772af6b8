"""Compares two versions: CPU seconds of a training step and of the input pipeline, interleaved.

Give the folders of two checkouts, each with its environment in `.venv`:

    python benchmarks/training_versions.py OLD NEW

Each version runs its own `ours_train.py` and `ours_loader.py`, so that names may have changed between them. Ratios are
of CPU seconds, since other programs may share the machine. It writes a dated page into `results`.
"""

import argparse
import datetime
import tempfile
from functools import partial
from pathlib import Path

import machine
from contest import Contest, compete, pinned, say, versions
from pages import facts, spread, table
from peers.worker import Plan, Worker
from pipeline_images import write_pairs

HERE = Path(__file__).resolve().parent
NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}  # threads that spin count as CPU time


def contest(name: str, script: str, flags: dict[str, object], args: argparse.Namespace) -> Contest:
    """The rounds of both versions on one core."""
    words = [str(word) for pair in {**flags, "--steps-per-round": 1}.items() for word in pair]
    starters = {}
    for version in ("old", "new"):
        folder = getattr(args, version).resolve()
        plan = Plan(version, folder / ".venv" / "bin" / "python", folder / "benchmarks" / script)
        starters[version] = partial(Worker, plan, words, NO_SPINNING, 600)
    with pinned(1) as cores:
        return compete(name, cores, starters, args.rounds)


def row(one: Contest, units: int) -> list[str]:
    least, middle, most = (f"{ratio:.3f}" for ratio in spread(one.ratios("new", "old", "cpu")))
    times = [f"{1000 * one.median(name, 'cpu') / units:.2f}" for name in ("old", "new")]
    memory = [f"{one.finished(name)[-1].rss_peak_mb:.0f}" for name in ("old", "new")]
    return [one.name, *times, f"**{middle}**", f"{least} to {most}", *memory]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--crop", type=int, default=120, help="of the training")
    parser.add_argument("--batches", type=int, default=24, help="of 8 crops of 240, in one round of the pipeline")
    parser.add_argument("--output", type=Path, help="the page to write (results/training_versions-<date>.md)")
    args = parser.parse_args()
    training = {"--algorithm": "fcn", "--crop": args.crop, "--batch": 4, "--threads": 1}
    name = f"a training step, fcn on resnet-50, 4 crops of {args.crop}"
    contests = [(contest(name, "ours_train.py", training, args), 1)]
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), 32)
        pipeline = {"--folder": folder, "--crop": 240, "--base": 520, "--batch": 8, "--batches": args.batches}
        pipeline |= {"--rounds": args.rounds, "--workers": 1}
        name = "an image of the input pipeline, 640 x 480, crop 240"
        contests.append((contest(name, "ours_loader.py", pipeline, args), 8 * args.batches))
    date = datetime.date.today().isoformat()
    head = ["", "old, CPU ms", "new, CPU ms", "new / old (median of rounds)", "ratios", "old, peak MB", "new, peak MB"]
    only = [one for one, _ in contests]
    text = f"# Two versions of training and input pipeline, {date}\n\n"
    text += facts(machine.describe(), versions(only), {"load before": ", ".join(f"{c.load_before:.1f}" for c in only)})
    text += f"\nOne core, {args.rounds} rounds of each, in turns.\n\n"
    text += table(head, [row(one, units) for one, units in contests])
    output = args.output or HERE / "results" / f"training_versions-{date}.md"
    output.write_text(text)
    say(f"written: {output}")


if __name__ == "__main__":
    main()
