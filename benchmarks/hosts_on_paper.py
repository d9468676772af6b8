"""What a step costs on several hosts, from bytes and bandwidth alone: nothing here is measured.

    python benchmarks/hosts_on_paper.py

The gradients' bytes are counted from the networks. A ring sums them by 2 (N - 1) messages of 1 / N of the bytes, one
after the other, so each host sends and receives 2 (N - 1) / N of them (Patarasuk and Yuan, "Bandwidth optimal
all-reduce algorithms for clusters of workstations", 2009).

A dated page goes into `results`.
"""

import argparse
import datetime
import itertools
import math
from pathlib import Path

from contest import say
from pages import facts, table

HERE = Path(__file__).resolve().parent
NETWORKS = [("fcn", "resnet-18"), *itertools.product(("fcn", "deeplab", "psp"), ("resnet-50", "resnet-101"))]
STEPS = (0.1, 0.25, 0.5, 1.0, 3.0)  # seconds of a step on one host


def gradient_bytes(algorithm: str, backbone: str, classes: int) -> tuple[int, int]:
    """Bytes of all gradients in float32, and the number of batch normalizations."""
    from sagemaker_semseg.models.network import build_network

    network = build_network(algorithm, backbone, classes)
    normalizations = sum(any("moving_mean" in v.name for v in layer.variables) for layer in network.layers)
    return sum(4 * math.prod(variable.shape) for variable in network.trainable_variables), normalizations


def seconds_of_sum(size: int, hosts: int, gigabits: float, args: argparse.Namespace) -> float:
    """Seconds that a ring of ``hosts`` takes to sum ``size`` bytes."""
    bandwidth = args.usable * gigabits * 1e9 / 8
    return 2 * (hosts - 1) / hosts * size / bandwidth + 2 * (hosts - 1) * args.latency / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--hosts", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--gigabits", nargs="+", type=float, default=[10, 100])
    parser.add_argument("--usable", type=float, default=0.9, help="share of the nominal bandwidth")
    parser.add_argument("--latency", type=float, default=0.1, help="milliseconds of one message")
    parser.add_argument("--output", type=Path, help="the page to write (results/hosts_on_paper-<date>.md)")
    args = parser.parse_args()
    sizes = {names: gradient_bytes(*names, args.classes) for names in NETWORKS}
    networks = list(itertools.product(args.gigabits, args.hosts))
    times, rows = [], []
    for names, (size, normalizations) in sizes.items():
        added = [1000 * seconds_of_sum(size, hosts, gigabits, args) for gigabits, hosts in networks]
        times.append([", ".join(names), f"{size / 1e6:.0f}", normalizations, *(f"{value:.0f}" for value in added)])
    largest = max(size for size, _ in sizes.values())
    for step in STEPS:
        work = [hosts * step / (step + seconds_of_sum(largest, hosts, gigabits, args)) for gigabits, hosts in networks]
        rows.append([f"{step:g} s", *(f"{value:.1f}" for value in work)])
    columns = [f"{hosts} hosts, {gigabits:g} Gbit/s" for gigabits, hosts in networks]
    date = datetime.date.today().isoformat()
    settings = {
        "classes; dtype": f"{args.classes}; float32",
        "usable share of the bandwidth": f"{args.usable:g}",
        "latency of a message": f"{args.latency:g} ms",
    }
    text = f"# A step on several hosts, on paper, {date}\n\n{(__doc__ or '').split(chr(10) * 2)[2]}\n\n"
    text += "No cluster was at hand: nothing here is measured. TensorFlow sums some gradients while others are still\n"
    text += "computed, so a real step may lose less; hosts that wait for the slowest one make it lose more.\n\n"
    text += facts(settings) + "\n## Milliseconds that a sum adds to a step\n\n"
    text += table(["network", "gradients, MB", "normalizations", *columns], times)
    text += "\n`syncbn` adds two sums of a few kilobytes for each normalization, "
    text += f"2 x 2 (N - 1) x {args.latency:g} ms at best.\n"
    text += f"\n## How many hosts' work is done, with {largest / 1e6:.0f} MB of gradients\n\n"
    text += table(["a step on one host", *columns], rows)
    output = args.output or HERE / "results" / f"hosts_on_paper-{date}.md"
    output.write_text(text)
    say(f"written: {output}")


if __name__ == "__main__":
    main()
