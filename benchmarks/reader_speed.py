"""Images per second of the readers: threads, processes, and the same crops through PyTorch's and grain's loaders.

Input: flags, and the environment with PyTorch (`make bench-readers` adds grain to it). Output: a dated markdown page
under `benchmarks/results/`. Each measurement is a process of its own (`reader_worker.py`); they take turns.
"""

import argparse
import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import machine
from contest import say
from pages import facts, table
from pipeline_images import write_pairs

HERE = Path(__file__).resolve().parent
METHOD = """\
All read the same synthetic pairs (JPEG 640 x 480 of quality 90, 8-bit palette PNG) and make the same crops, of uint8.
Threads decode a window of a JPEG with TensorFlow's decoder; the processes and the other loaders, which load no
TensorFlow, decode all of it with Pillow. Each measurement is a process of its own, which first reads until its workers
are warm; they take turns, and a ratio compares two of one round. "main" is the process that trains, "all" includes the
workers.
"""
KINDS = {"threads": sys.executable, "processes": sys.executable, "pytorch": "torch", "grain": "torch"}


def measure(kind: str, workers: int, crop: int, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    python = str(args.peer_python) if KINDS[kind] == "torch" else KINDS[kind]
    command = [python, str(HERE / "reader_worker.py"), kind, str(workers), str(crop), str(folder), str(args.batches)]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryFile("w+") as output:  # grain's processes outlive it, and would keep a pipe open
        process = subprocess.Popen(command, env=variables, stdout=output, start_new_session=True)
        try:
            status = process.wait(args.timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if status:
            raise SystemExit(f"{kind} with {workers} workers: exit status {status}")
        output.seek(0)
        return json.loads(output.read().splitlines()[-1])


def section(crop: int, rounds: list[dict[tuple[str, int], dict[str, float]]]) -> str:
    rows = []
    for key in rounds[0]:
        found = {name: median(turns[key][name] for turns in rounds) for name in rounds[0][key]}
        compared = [turns[key]["images_per_second"] / turns["threads", 1]["images_per_second"] for turns in rounds]
        rows.append(
            [
                f"{key[0]}, {key[1]}",
                f"{found['images_per_second']:.0f}",
                f"{median(compared):.2f} ({min(compared):.2f} to {max(compared):.2f})",
                f"{found['main_ms']:.3f}",
                f"{found['all_ms']:.2f}",
                f"{1000 / found['all_ms']:.0f}",
                f"{found['memory_mb']:.0f}",
            ]
        )
    head = ["workers", "images/s", "of one thread's", "main, CPU ms an image", "all, CPU ms an image"]
    return f"## Crop {crop}\n\n" + table([*head, "images per CPU second", "memory of all, MB"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer = HERE.parent / ".envs" / "torch" / "bin" / "python"
    parser.add_argument("--peer-python", type=Path, default=peer, help="of the environment with PyTorch and grain")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--crops", nargs="+", type=int, default=[240, 480])
    parser.add_argument("--batches", type=int, default=30, help="of 16 images, in a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=300, help="seconds that a measurement may take")
    parser.add_argument("--output", type=Path, help="the page to write (results/reader_speed-<date>.md)")
    return parser.parse_args()


def main() -> None:
    args = parse()
    load, sections = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder, 32)
        for crop in args.crops:
            rounds = []
            for number in range(args.rounds):
                keys = [(kind, workers) for workers in args.workers for kind in args.kinds]
                turns = {key: measure(*key, crop, folder, args) for key in keys[:: 1 if number % 2 == 0 else -1]}
                rounds.append({key: turns[key] for key in keys})
                shown = ", ".join(f"{kind} {n}: {turns[kind, n]['images_per_second']:.0f}/s" for kind, n in keys)
                say(f"crop {crop}, round {number + 1}: {shown}")
            sections.append(section(crop, rounds))
    settings = {
        "batch; images in a measurement": f"16; {16 * args.batches}",
        "rounds; load average before": f"{args.rounds}; {load:.2f}",
    }
    date = datetime.date.today().isoformat()
    output = args.output or HERE / "results" / f"reader_speed-{date}.md"
    head = [f"# Readers of the input pipeline, {date}\n", METHOD, facts(machine.describe(), settings)]
    output.write_text("\n".join([*head, *sections]))
    print("\n".join(sections))
    say(f"written: {output}")


if __name__ == "__main__":
    main()
