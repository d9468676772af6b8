"""Measures the speed and the memory of `sagemaker-semseg check`.

Writes a dated page under `benchmarks/results/`. It makes its images in a temporary folder, and measures each set in a
process of its own that is pinned to one core (`--measure FOLDER` is that process).
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import machine
import numpy as np
from pages import facts, table
from PIL import Image
from pipeline_images import CLASSES, write_pairs

from sagemaker_semseg.checks import run_checks
from sagemaker_semseg.checks.dataset_checks import check_file_names
from sagemaker_semseg.data.channels import SPLITS, find_channels, find_pairs
from sagemaker_semseg.data.datasets import read_channels
from sagemaker_semseg.errors import FaultList
from sagemaker_semseg.hyperparameters import resolve

HERE = Path(__file__).resolve().parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
METHOD = """\
`run_checks` is all that `sagemaker-semseg check` does before it shows its report: it lists the folders, reads and
decodes every file once, checks values and names, and searches copies across the splits. `read_channels` is what `train`
does before it starts. Each measurement is a process of its own on one core; all files are in the page cache.
The aims: 5 000 pairs of 640 x 480 a minute, 100 000 files listed in 10 s.
"""


def measure(folder: Path, crop: int) -> dict[str, float]:
    """Measure one set in this process."""
    os.sched_setaffinity(0, {machine.usable_cores()[-1]})
    found = {}
    start = time.perf_counter()
    channels = find_channels(folder)
    pairs = [pair for split in SPLITS for pair in find_pairs(channels, split, FaultList(), [])]
    list(check_file_names(channels))
    found["listed"] = time.perf_counter() - start
    found["pairs"] = len(pairs)
    del pairs
    hp = resolve({"num_classes": CLASSES, "crop_size": crop})
    for name, run in (
        ("run_checks", lambda: run_checks(channels, hp, num_classes=CLASSES)),
        ("read_channels", lambda: read_channels(channels, CLASSES)),
    ):
        before, resident = resource.getrusage(resource.RUSAGE_SELF), megabytes("VmRSS")
        start = time.perf_counter()
        result = run()
        after = resource.getrusage(resource.RUSAGE_SELF)
        found[name] = time.perf_counter() - start
        found[f"{name}_cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found[f"{name}_mb"] = megabytes("VmHWM") - resident
        if name == "run_checks":
            found["findings"] = len(result.findings)
    return found


def megabytes(field: str) -> float:
    """Read a size of this process; ru_maxrss would be its parent's where that was larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def measure_in_process(folder: Path, crop: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", str(folder), "--crop", str(crop)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def write_large_pairs(root: Path, number: int) -> None:
    """Write pairs of 640 x 480, a tenth of them for validation."""
    write_pairs(root / "all", number)
    for path in (root / "all").iterdir():
        split = "validation" if int(path.stem) % 10 == 0 else "train"
        place(path, root, split)


def place(path: Path, root: Path, split: str) -> None:
    channel = root / (split if path.suffix == ".jpg" else f"{split}_annotation")
    channel.mkdir(exist_ok=True)
    path.rename(channel / path.name)


def write_small_pairs(root: Path, number: int) -> None:
    """Write different pairs of 64 x 48, a tenth of them for validation."""
    random = np.random.default_rng(0)
    for split in SPLITS:
        (root / split).mkdir(parents=True)
        (root / f"{split}_annotation").mkdir()
    for index in range(number):
        split = "validation" if index % 10 == 0 else "train"
        colors = random.integers(0, 256, (4, 5, 3)).astype(np.uint8)
        image = Image.fromarray(colors).resize((64, 48), Image.Resampling.BILINEAR)
        image.save(root / split / f"{index:06}.jpg")
        mask = random.integers(0, CLASSES, (3, 4)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        Image.fromarray(mask).save(root / f"{split}_annotation" / f"{index:06}.png", compress_level=1)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=600, help="of 640 x 480")
    parser.add_argument("--many", type=int, default=100_000, help="pairs of 64 x 48")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crop", type=int, default=240)
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help="measure this set and print the result")
    parser.add_argument("--note", default="", help="a line for the page")
    parser.add_argument("--output", type=Path, help="the page to write (results/check_speed-<date>.md)")
    return parser.parse_args(argv)


def main() -> int:
    args = parse()
    if args.measure:
        print(json.dumps(measure(args.measure, args.crop)))
        return 0
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        write_large_pairs(Path(name), args.pairs)
        rounds = [measure_in_process(Path(name), args.crop) for _ in range(args.rounds)]
    with tempfile.TemporaryDirectory() as name:
        write_small_pairs(Path(name), args.many)
        many = measure_in_process(Path(name), 24)
    rows = []
    for what in ("run_checks", "read_channels"):
        wall, cpu = (median(one[f"{what}{part}"] for one in rounds) for part in ("", "_cpu"))
        each = ", ".join(f"{one['pairs'] / one[f'{what}_cpu'] * 60:.0f}" for one in rounds)
        rows.append([what, f"**{args.pairs / cpu * 60:.0f}**", f"{args.pairs / wall * 60:.0f}", each])
    date = datetime.date.today().isoformat()
    settings = {"load average before": f"{load:.2f}", "note": args.note}
    files = 2 * int(many["pairs"])
    lines = [
        f"# Checks of a data set, {date}\n",
        METHOD,
        facts(machine.describe(), {key: value for key, value in settings.items() if value}),
        f"## {args.pairs} pairs of 640 x 480\n",
        "Medians of the rounds, one core:\n",
        table(["", "pairs a minute of CPU time", "pairs a minute", "CPU, each round"], rows),
        f"## {int(many['pairs'])} pairs of 64 x 48, {files} files\n",
        table(
            ["", "wall, s", "CPU, s", "memory added, MB"],
            [
                ["listing alone", f"{many['listed']:.1f}", "", ""],
                ["run_checks", *(f"{many[f'run_checks{part}']:.1f}" for part in ("", "_cpu", "_mb"))],
                ["read_channels, afterwards", *(f"{many[f'read_channels{part}']:.1f}" for part in ("", "_cpu", "_mb"))],
            ],
        ),
        f"{100_000 / files * many['listed']:.1f} s for 100 000 files. Findings: {int(many['findings'])}.\n",
    ]
    output = args.output or HERE / "results" / f"check_speed-{date}.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines))
    print("\n".join(lines[3:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
