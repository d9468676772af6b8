"""How fast RecordIO is read and written: records of 3 kB, 120 kB and 1 MB, beside plain reading and MXNet's own reader.

Input: flags, and the environment `.envs/recordio` for MXNet. Output: a dated markdown page under `benchmarks/results/`.
Run by hand, from any folder: `python benchmarks/recordio_speed.py`. Every side is one process, pinned to the same
single core, a FIFO's sender too; they take turns, file by file. CPU time counts, and the best of all rounds, since
other work on the machine can only make a round slower.
"""

import argparse
import datetime
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
from contest import say
from pages import facts, table

from sagemaker_semseg.data.pipe_mode import PollConfig, open_fifo
from sagemaker_semseg.data.recordio import packed, read_records, write_record

HERE = Path(__file__).resolve().parent
SIZES = {"3 kB": 3_000, "120 kB": 120_000, "1 MB": 1_000_000}
MXNET = """
import sys, time, mxnet as mx
for path in sys.argv[1:]:
    best = 1e9
    for _ in range(5):
        reader, start = mx.recordio.MXRecordIO(path, "r"), time.process_time()
        while reader.read() is not None:
            pass
        best = min(best, time.process_time() - start)
    print(best)
"""
METHOD = """\
A file of records of one size, random bytes, in memory (`/dev/shm`), read from front to back. *plain read* takes the
same bytes by `read()` calls of a record's size and does nothing with them: it is what no reader in Python can beat.
*multi-part* is a file in which every record holds the magic number twice at multiples of four, and is stored in three
parts. *FIFO* is a named pipe that another process (`cp`) writes on the same core, opened as in Pipe mode. MB are
payload, seconds are the process's CPU time, so this is per core; what the system does for it (copying) is in it.
"""


def best(rounds: int, run: Callable[[], object]) -> float:
    """Seconds of this process's CPU time in the quickest round."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def payloads(size: int, total: int, parts: bool) -> list[bytes]:
    generator = random.Random(size)
    record = bytearray(generator.randbytes(size))
    if parts:
        record[size // 12 * 4 : size // 12 * 4 + 4] = record[size // 6 * 4 : size // 6 * 4 + 4] = b"\x0a\x23\xd7\xce"
    return [bytes(record)] * (total // size)


def read_all(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(map(len, read_records(file, "x")))


def read_plainly(path: Path, size: int) -> None:
    with open(path, "rb") as file:
        while file.read(size + 8):
            pass


def read_fifo(path: Path, content: Path) -> int:
    os.mkfifo(path)
    sender = subprocess.Popen(["cp", content, path])
    with open_fifo(path, PollConfig()) as file:
        size = sum(map(len, read_records(file, "x")))
    sender.wait()
    path.unlink()
    return size


def write_all(path: Path, records: list[bytes]) -> None:
    with open(path, "wb") as file:
        for record in records:
            write_record(file, record)


def mxnet_seconds(python: Path, paths: list[Path]) -> list[float]:
    """Seconds for each file; nothing where MXNet isn't installed."""
    if not python.exists():
        return []
    done = subprocess.run([python, "-W", "ignore", "-c", MXNET, *paths], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()[-len(paths) :]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=300, help="of each file")
    parser.add_argument("--rounds", type=int, default=7)
    peer = HERE.parent / ".envs" / "recordio" / "bin" / "python"
    parser.add_argument("--peer-python", type=Path, default=peer, help="of the environment with MXNet")
    parser.add_argument("--output", type=Path, help="the page to write (results/recordio_speed-<date>.md)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {machine.usable_cores()[-1]})
    load, rows = os.getloadavg()[0], []
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name)
        for title, size in SIZES.items():
            total = args.megabytes * 1_000_000
            whole, split = folder / "whole.rec", folder / "split.rec"
            records, parted = payloads(size, total, False), payloads(size, total, True)
            amount = len(records) * size
            write = best(3, lambda path=whole, records=records: write_all(path, records))
            write_all(split, parted)
            assert len(packed(parted[0])) == 7, "three parts"
            assert read_all(whole) == read_all(split) == amount
            seconds = {
                "plain read": best(args.rounds, lambda path=whole, size=size: read_plainly(path, size)),
                "read": best(args.rounds, lambda path=whole: read_all(path)),
                "read, multi-part": best(args.rounds, lambda path=split: read_all(path)),
                "read from a FIFO": best(3, lambda path=whole: read_fifo(folder / "fifo", path)),
                "write": write,
            }
            for peer_name, taken in zip(
                ("MXNet", "MXNet, multi-part"), mxnet_seconds(args.peer_python, [whole, split]), strict=False
            ):
                seconds[peer_name] = taken
            rows.append([title, *(f"{amount / taken / 1e6:.0f}" for taken in seconds.values())])
            say(f"{title}: " + ", ".join(f"{name} {amount / taken / 1e6:.0f} MB/s" for name, taken in seconds.items()))
            names = list(seconds)
    settings = {
        "files": f"{args.megabytes} MB each, in memory",
        "rounds": f"{args.rounds}, the best counts; 3 for FIFOs and writing, 5 for MXNet",
        "load average of the machine before": f"{load:.2f} (shared with other work)",
    }
    date = datetime.date.today().isoformat()
    head = [f"# RecordIO, {date}\n", METHOD, facts(machine.describe(), settings)]
    page = "\n".join([*head, "MB per second of CPU time:\n", table(["record", *names], rows)])
    output = args.output or HERE / "results" / f"recordio_speed-{date}.md"
    output.write_text(page)
    print(page)
    say(f"written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
