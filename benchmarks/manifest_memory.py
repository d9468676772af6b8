"""What a manifest of a million lines needs: its time and the peak of memory above the interpreter, first streamed, then
as the list of pairs that a training holds. Prints a table; ``make bench-manifest`` runs it.

    python benchmarks/manifest_memory.py [LINES]

The lines are those of Ground Truth, some 450 bytes each, with one of eight maps of three colours.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def lines(count: int) -> Iterator[str]:
    colors = [
        {"class-name": name, "hex-color": code}
        for name, code in zip("abc", ("#000001", "#000002", "#000003"), strict=True)
    ]
    for number in range(count):
        color_map = {str((key + number) % 8): color for key, color in enumerate(colors)}
        entry = {
            "source-ref": f"/data/streets/images/part-{number % 100:03d}/{number:09d}.jpg",
            "labels-ref": f"/data/streets/output/annotations/consolidated/{number:09d}.png",
            "labels-ref-metadata": {
                "internal-color-map": color_map,
                "type": "groundtruth/semantic-segmentation",
                "human-annotated": "yes",
                "creation-date": "2026-01-01T00:00:00.000000",
                "job-name": "labeling-job/streets",
            },
        }
        yield json.dumps(entry) + "\n"


def peak() -> float:
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(kind: str, path: Path) -> None:
    """In a process of its own: what remains of one measurement would be in the next."""
    from sagemaker_semseg.data.manifest import read_lines, read_pairs
    from sagemaker_semseg.errors import FaultList

    before, start, faults = peak(), time.process_time(), FaultList()
    if kind == "streamed":
        count = sum(1 for _ in read_lines(path, faults))
    else:
        count = len(read_pairs(path, "train", faults, []))
    print(f"| {kind} | {count} | {time.process_time() - start:.1f} | {peak() - before:.0f} |")
    assert not faults.kinds


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.manifest"
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(lines(count))
        print(f"{path.stat().st_size / 1e6:.0f} MB\n")
        print("| | lines | CPU seconds | MB above the interpreter |\n|---|--:|--:|--:|", flush=True)
        for kind in ("streamed", "pairs"):
            subprocess.run([sys.executable, __file__, "--measure", kind, str(path)], check=True)


if __name__ == "__main__":
    main()
