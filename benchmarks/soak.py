"""Soak test: an endpoint under 16 clients at once, a fifth of whose requests are hostile, for half an hour.

Input: flags; without `--model`, a model with random weights is made. Output: a dated markdown page under
`benchmarks/results/`, and exit status 1 unless all of this holds: every good reply equals what the same model gives
offline, byte for byte; bad requests are refused with the status that fits, never with 500; no client waits for ever;
memory is flat; no worker was replaced; the server ends when it is asked to. Run by hand, `make soak`, or by
`tests/serving/test_soak.py`. The requests are made by `soak_clients.py`.
"""

import argparse
import asyncio
import datetime
import sys
import tempfile
from pathlib import Path

import machine
import soak_report
from contest import say
from endpoint import Endpoint, EndpointFailed
from make_model import make_model
from soak_clients import Tally, run_clients
from soak_images import make_samples
from soak_memory import Memory
from soak_offline import Offline

HERE = Path(__file__).resolve().parent
ALGORITHM, BACKBONE, CLASSES = "fcn", "resnet-18", 5


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--model", type=Path, help=f"model.tar.gz ({ALGORITHM}, {BACKBONE}, {CLASSES} classes, random)")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--largest", type=int, default=320, help="side of an image, pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--queue", type=int, default=12, help="less than the clients: some requests are to be refused")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="the page to write (results/soak-<date>.md)")
    return parser.parse_args(argv)


async def watched(endpoint: Endpoint, offline: Offline, args: argparse.Namespace) -> tuple[Tally, Memory]:
    """The clients at work, while memory is measured."""
    memory = Memory(endpoint.processes)
    watching = asyncio.create_task(memory.watch())
    try:
        tally = await run_clients(endpoint.port, offline, 60 * args.minutes, args.connections, args.seed, say)
    finally:
        watching.cancel()
    return tally, memory


def soak(model: Path, args: argparse.Namespace) -> tuple[Tally, Memory, dict[str, str]]:
    """Clients' tally, memory, and what else went wrong: by check, "" where all is well."""
    say(f"{args.images} images are segmented offline")
    offline = Offline(model, make_samples(args.images, args.largest), args.threads)
    flags = ("--workers", str(args.workers), "--threads", str(args.threads), "--queue", str(args.queue))
    with Endpoint(model, flags) as endpoint:
        endpoint.wait_until_healthy()
        before = endpoint.processes()
        tally, memory = asyncio.run(watched(endpoint, offline, args))
        checks = {
            "healthy afterwards": "" if endpoint.healthy() else "GET /ping does not answer 200",
            "no worker replaced": "" if endpoint.processes() == before else f"{before} became {endpoint.processes()}",
        }
        try:
            status = endpoint.end()
            checks["ends with status 0 on SIGTERM"] = "" if status == 0 else f"{status}: {endpoint.last_line()}"
        except EndpointFailed as error:
            checks["ends with status 0 on SIGTERM"] = str(error)
    return tally, memory, checks


def main() -> int:
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        name = args.model or f"{ALGORITHM}, {BACKBONE}, {CLASSES} classes, random weights"
        model = args.model or make_model(Path(folder) / "model.tar.gz", ALGORITHM, BACKBONE, CLASSES)
        tally, memory, checks = soak(model, args)
    date = datetime.date.today().isoformat()
    settings = {
        "model": str(name),
        "server": f"{args.workers} workers of {args.threads} thread(s), queue of {args.queue}",
        "clients": f"{args.connections}, on the same machine; seed {args.seed}",
        "images": f"{args.images}, sides up to {args.largest} pixels",
        "duration": f"{args.minutes:g} minutes",
    }
    text, held = soak_report.page(f"Soak test, {date}", machine.describe() | settings, tally, memory, checks)
    output = args.output or HERE / "results" / f"soak-{date}.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    say(f"{soak_report.summary(text)}\nwritten: {output}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
