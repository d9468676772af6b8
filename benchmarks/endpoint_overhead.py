"""What a request of the endpoint costs beside the network: CPU time of each step, in float32 and int8.

Output: a markdown page. Linux only. The worker's part runs in this process, with the code that a worker runs
(`serving.worker.respond`), and its steps and the network's run are timed within the same request. The server's part is
that of a real endpoint with one worker of one thread, whose requests are the same: the CPU time of the server's process
from request to request, what it does while it waits included. Pin it to a core, and give it one thread:

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 0 python benchmarks/endpoint_overhead.py
"""

import argparse
import http.client
import io
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from endpoint import HOST, Endpoint
from machine import describe
from make_model import make_model
from pages import facts, table
from PIL import Image
from pipeline_images import texture

from sagemaker_semseg.inference import CancellationToken, Segmenter
from sagemaker_semseg.inference.runtimes import LoadedGraph
from sagemaker_semseg.serving import worker
from sagemaker_semseg.serving.content_negotiation import ResponseFormat

PRECISIONS = ("float32", "int8")
AIMS = {"float32": 0.02, "int8": 0.05}
FLAGS = ("--workers", "1", "--threads", "1", "--runtime", "onnxruntime", "--precision")


class Worker:
    """A worker's code in this process. `network` is the CPU time of the last run."""

    def __init__(self, model: Path, precision: str) -> None:
        self.segmenter = Segmenter(model, precision=precision, runtime="onnxruntime", threads=1)
        run = self.segmenter._run
        self.network = 0.0

        def timed(pixels: np.ndarray, token: CancellationToken) -> np.ndarray:
            since = time.process_time()
            logits = run(pixels, token)
            self.network = time.process_time() - since
            return logits

        self.segmenter._run = LoadedGraph(timed)

    def request(self, jpeg: bytes) -> dict[str, float]:
        """CPU seconds of the steps of a request."""
        _, seconds = worker.respond(self.segmenter, ResponseFormat("image/png"), jpeg, CancellationToken())
        labels = seconds["inference"] - self.network
        return {"network": self.network, "decode": seconds["decode"], "labels": labels, "encode": seconds["encode"]}


def server_seconds(port: int, pid: int, jpeg: bytes) -> float:
    """CPU seconds of the server's process for a request."""
    connection, since = http.client.HTTPConnection(HOST, port, timeout=600), scheduled(pid)
    connection.request("POST", "/invocations", jpeg, {"Content-Type": "image/jpeg", "Accept": "image/png"})
    reply = connection.getresponse()
    if not reply.read().startswith(b"\x89PNG"):
        raise SystemExit(f"the endpoint answers with {reply.status}")
    connection.close()
    return scheduled(pid) - since


def scheduled(pid: int) -> float:
    """CPU seconds of a process's threads, exact to nanoseconds."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def measure(model: Path, jpeg: bytes, rounds: int) -> tuple[dict[str, dict[str, list[float]]], list[list[str]]]:
    """CPU seconds by precision and step, the precisions taking turns; and rows of the endpoints' memory."""
    found: dict[str, dict[str, list[float]]] = {precision: {} for precision in PRECISIONS}
    workers = {precision: Worker(model, precision) for precision in PRECISIONS}
    endpoints = {precision: Endpoint(model, (*FLAGS, precision)) for precision in PRECISIONS}
    try:
        for precision in PRECISIONS:
            endpoints[precision].wait_until_healthy()
        for number in range(-1, rounds):
            for precision in PRECISIONS:
                one = workers[precision].request(jpeg)
                endpoint = endpoints[precision]
                one["server"] = server_seconds(endpoint.port, endpoint.processes()[0], jpeg)
                for step, seconds in one.items() if number >= 0 else ():  # the first is a warm-up
                    found[precision].setdefault(step, []).append(seconds)
        memory = [
            [precision, *(f"{value:.0f}" for value in (one.rss_mb(), one.pss_mb(), one.peak_rss_mb()))]
            for precision, one in endpoints.items()
        ]
    finally:
        for endpoint in endpoints.values():
            endpoint.close()
    return found, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="with an int8 graph; by default FCN on ResNet-18 of random weights")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()
    out = io.BytesIO()
    Image.fromarray(texture(np.random.RandomState(0))[: args.height, : args.width]).save(out, "JPEG", quality=90)
    worker.time.perf_counter = time.process_time  # its steps in CPU time: the machine may have other work
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tar.gz"
        model = args.model or make_model(path, "fcn", "resnet-18", args.classes, int8=True)
        found, memory = measure(model, out.getvalue(), args.rounds)
    rows = []
    for precision, steps in found.items():
        middle = {step: 1000 * median(seconds) for step, seconds in steps.items()}
        beside = [sum(values) - network for network, *values in zip(steps["network"], *steps.values(), strict=True)]
        share = median(b / network for b, network in zip(beside, steps["network"], strict=True))
        rows.append(
            [precision, *(f"{value:.2f}" for value in middle.values()), f"{share:.2%}", f"{AIMS[precision]:.0%}"]
        )
    print(facts(describe()))
    what = f"{args.width} x {args.height} pixels, {args.classes} classes, a JPEG of {len(out.getvalue())} bytes"
    print(f"{what}; milliseconds of CPU time, medians of {args.rounds} rounds, the precisions taking turns.\n")
    print(table(["precision", *found["float32"], "all beside the network, share of it", "aim"], rows))
    print("MB of the server and its worker together, after that; the peak is that of loading.\n")
    print(table(["precision", "RSS", "PSS", "peak RSS"], memory))


if __name__ == "__main__":
    main()
