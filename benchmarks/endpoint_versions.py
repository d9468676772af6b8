"""Compares the endpoints of two versions: latency, interleaved, and whether status, headers and body are the same.

Run it with the Python of each version's environment, here of two checkouts, and a model that both read:

    python benchmarks/endpoint_versions.py OLD/.venv/bin/python NEW/.venv/bin/python --model model.tar.gz

It writes a dated page into `results`.
"""

import argparse
import asyncio
import datetime
import io
import time
from pathlib import Path
from statistics import median

import machine
import numpy as np
from client import Connection, Reply, request
from endpoint import Endpoint
from pages import facts, table
from PIL import Image

HERE = Path(__file__).resolve().parent
ACCEPTS = ("image/png", "application/x-npy", "application/x-recordio-protobuf")


def image(side: int) -> bytes:
    """A JPEG of colored blocks."""
    blocks = np.random.default_rng(0).integers(0, 256, (side // 16, side // 16, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize((side, side)).save(out, "JPEG", quality=90)
    return out.getvalue()


def requests(side: int) -> dict[str, bytes]:
    """What is timed, and what is compared alone: errors, and routes without an image."""
    jpeg = image(side)
    return {
        **{accept: request(body=jpeg, headers={"Content-Type": "image/jpeg", "Accept": accept}) for accept in ACCEPTS},
        "empty body": request(),
        "not an image": request(body=b"GIF89a"),
        "truncated image": request(body=jpeg[:-99]),
        "two images": request(body=jpeg + jpeg),
        "unknown Content-Type": request(body=jpeg, headers={"Content-Type": "text/plain"}),
        "unknown Accept": request(body=jpeg, headers={"Accept": "text/html"}),
        "unknown path": request("/nowhere"),
        "unknown method": request("/ping", method="DELETE"),
        "SageMaker's runtime, an error": request("/endpoints/mine/invocations", body=b"GIF89a"),
        "/ping": request("/ping", method="GET"),
        "/execution-parameters": request("/execution-parameters", method="GET"),
        "/": request("/", method="GET"),
    }


def same(one: Reply, other: Reply) -> bool:
    """Whether status, body and headers are the same; the date aside."""
    headers = [{name: value for name, value in reply.headers.items() if name != "date"} for reply in (one, other)]
    return (one.status, one.body, headers[0]) == (other.status, other.body, headers[1])


async def measure(ports: list[int], wanted: dict[str, bytes], rounds: int, each: int) -> dict[str, list[list[float]]]:
    """Milliseconds by request: of each round, the median of each version, whose requests alternate."""
    connections = [Connection(port) for port in ports]
    medians: dict[str, list[list[float]]] = {name: [] for name in ACCEPTS}
    for _ in range(rounds):
        for name in ACCEPTS:
            times: list[list[float]] = [[], []]
            for turn in range(each):
                for version in (0, 1) if turn % 2 else (1, 0):
                    start = time.perf_counter()
                    await connections[version].exchange([wanted[name]])
                    times[version].append(1000 * (time.perf_counter() - start))
            medians[name].append([median(values) for values in times])
    return medians


async def compare(ports: list[int], wanted: dict[str, bytes]) -> list[str]:
    """The names of the requests whose replies differ."""
    differing = []
    for name, message in wanted.items():
        replies = [await Connection(port).exchange([message]) for port in ports]
        if not same(*replies):
            differing.append(name)
    return differing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs=2, metavar="PYTHON", help="of the old version, and of the new one")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--side", type=int, default=256, help="of the image, in pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--each", type=int, default=20, help="requests of each kind, version and round")
    options = parser.parse_args()
    flags, wanted = ("--workers", "1", "--threads", "1", "--quiet"), requests(options.side)
    old, new = (Endpoint(options.model, flags, python) for python in options.pythons)
    with old, new:
        for endpoint in (old, new):
            endpoint.wait_until_healthy()
        ports = [old.port, new.port]
        differing = asyncio.run(compare(ports, wanted))
        measured = asyncio.run(measure(ports, wanted, options.rounds, options.each))
        memory = [endpoint.pss_mb() for endpoint in (old, new)]
    rows = []
    for name, rounds in measured.items():
        ratios = [after / before for before, after in rounds]
        before, after = (median(values) for values in zip(*rounds, strict=True))
        rows.append(
            [name, f"{before:.1f}", f"{after:.1f}", f"{median(ratios):.3f}", f"{min(ratios):.3f} to {max(ratios):.3f}"]
        )
    head = ["reply", "old, ms", "new, ms", "ratio (median of rounds)", "ratios"]
    today = datetime.date.today()
    page = f"# Two versions of the endpoint, {today}\n\n{facts(machine.describe())}\n"
    page += f"{options.side} x {options.side} pixels, one worker with one thread, {options.rounds} rounds of "
    page += f"{options.each} alternating requests.\n\n{table(head, rows)}\n"
    page += f"Memory (PSS) at the end: {memory[0]:.0f} and {memory[1]:.0f} MB.\n\n"
    page += f"Of {len(wanted)} requests, these replies differ: {', '.join(differing) or 'none'}.\n"
    (HERE / "results" / f"endpoint_versions-{today}.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
