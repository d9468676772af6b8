"""Overload: an endpoint that is asked for twice what it can do, and how soon it is itself again.

Input: flags; without `--model`, a model with random weights is made. Output: a dated markdown page under
`benchmarks/results/`, and exit status 1 unless all of this holds: under the doubled load it does at least 90 % of the
work that it does at its best; the rest is refused with 503, 99 % of it within 50 ms; within 5 s after the load has
gone, it answers as before. Run by hand, `make bench-overload`. The page is written by `overload_report.py`.
"""

import argparse
import asyncio
import datetime
import io
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import machine
import numpy as np
import overload_report
from client import Closed, Connection, request
from contest import say
from endpoint import Endpoint
from make_model import make_model
from PIL import Image
from pipeline_images import texture

HERE = Path(__file__).resolve().parent
ALGORITHM, BACKBONE, CLASSES = "fcn", "resnet-50", 21
NORMAL, DOUBLE = 0.5, 2.0
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Exchange:
    """One request: when it began, in seconds since the phase did, how long it took, and its status (0: no reply)."""

    begun: float
    taken: float
    status: int

    @property
    def good(self) -> bool:
        return self.status == 200


@dataclass
class Phase:
    name: str
    seconds: float
    exchanges: list[Exchange] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)

    @property
    def goodput(self) -> float:
        """Good replies a second, of those that were complete before the phase was over."""
        return (
            sum(exchange.good and exchange.begun + exchange.taken <= self.seconds for exchange in self.exchanges)
            / self.seconds
        )

    def passed(self) -> float:
        return time.perf_counter() - self.begun

    async def exchange(self, port: int, message: bytes) -> None:
        """A request on a connection of its own."""
        connection, begun = Connection(port), self.passed()
        try:
            reply = await asyncio.wait_for(connection.exchange([message]), PATIENCE_SECONDS)
            status = reply.status
        except (Closed, OSError, asyncio.TimeoutError):
            status = 0
        finally:
            connection.close()
        self.exchanges.append(Exchange(begun, self.passed() - begun, status))


async def closed_loop(phase: Phase, port: int, message: bytes, clients: int) -> None:
    """Each client sends its next request when the last one has been answered."""

    async def client() -> None:
        while phase.passed() < phase.seconds:
            await phase.exchange(port, message)

    await asyncio.gather(*(client() for _ in range(clients)))


async def open_loop(phase: Phase, port: int, message: bytes, rate: float) -> list[asyncio.Task[None]]:
    """So many requests a second, whatever comes back; those in the list are not yet through when it returns."""
    tasks = []
    for number in range(int(rate * phase.seconds)):
        await asyncio.sleep(number / rate - phase.passed())
        tasks.append(asyncio.create_task(phase.exchange(port, message)))
    await asyncio.sleep(phase.seconds - phase.passed())
    return [task for task in tasks if not task.done()]


async def measure(port: int, message: bytes, args: argparse.Namespace) -> list[Phase]:
    """The phases peak, normal, double and after."""
    phases = [peak := Phase("peak", args.peak_seconds)]
    await closed_loop(peak, port, message, args.clients)
    say(f"peak: {peak.goodput:.2f} good replies a second")
    left: list[asyncio.Task[None]] = []
    for name, share, seconds in (
        ("normal", NORMAL, args.normal_seconds),
        ("double", DOUBLE, args.seconds),
        ("after", NORMAL, args.normal_seconds),
    ):
        phases.append(phase := Phase(name, seconds))
        left += await open_loop(phase, port, message, share * peak.goodput)
        say(f"{name}: {phase.goodput:.2f} good replies a second")
    await asyncio.gather(*left)
    return phases


def message(side: int) -> bytes:
    """A request for the mask of a JPEG."""
    out = io.BytesIO()
    Image.fromarray(texture(np.random.RandomState(0))[:side, :side]).save(out, "JPEG", quality=90)
    return request(body=out.getvalue(), headers={"Content-Type": "image/jpeg", "Accept": "image/png"})


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help=f"model.tar.gz ({ALGORITHM}, {BACKBONE}, {CLASSES} classes, random)")
    parser.add_argument("--side", type=int, default=240, help="of the image, pixels; 480 at most")
    parser.add_argument("--clients", type=int, default=4, help="for the peak: enough to keep every worker busy")
    parser.add_argument("--peak-seconds", type=float, default=30.0)
    parser.add_argument("--normal-seconds", type=float, default=15.0)
    parser.add_argument("--seconds", type=float, default=60.0, help="of twice the peak")
    parser.add_argument("--serve", default="", metavar="FLAGS", help='of the server: --serve="--workers 2 --threads 1"')
    parser.add_argument("--output", type=Path, help="the page to write (results/overload-<date>.md)")
    return parser.parse_args(argv)


def main() -> int:
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or make_model(Path(folder) / "model.tar.gz", ALGORITHM, BACKBONE, CLASSES)
        with Endpoint(model, args.serve.split()) as endpoint:
            endpoint.wait_until_healthy()
            phases = asyncio.run(measure(endpoint.port, message(args.side), args))
    date = datetime.date.today().isoformat()
    settings = {
        "model": str(args.model or f"{ALGORITHM}, {BACKBONE}, {CLASSES} classes, random weights"),
        "server": args.serve or "as it is by default",
        "image": f"JPEG {args.side} x {args.side}; the reply is its mask",
        "clients": f"on the same machine; {args.clients} for the peak",
    }
    text, held = overload_report.page(f"Overload, {date}", machine.describe() | settings, phases)
    output = args.output or HERE / "results" / f"overload-{date}.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    say(f"{text}\nwritten: {output}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
