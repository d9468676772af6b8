"""Latency of the endpoint beside bare ONNX Runtime, OpenVINO, GluonCV, PyTorch and Keras, interleaved in one run.

Input: flags, and an environment for each peer. Output: a dated markdown page under `benchmarks/results/`. Run by hand,
from any folder: `python benchmarks/serving_latency.py`. The endpoint gets an HTTP request with a JPEG and answers with
a PNG; the others run the same architecture on the pixels (`peers/*_infer.py`, `keras_infer.py`), ours in int8 as well.
`sgemm` is a product of matrices, the machine's peak. After that come the
time to start, memory, and large replies (`serving_costs.py`). Exit status 1 if a contestant failed; the page is written
all the same.
"""

import argparse
import datetime
import http.client
import io
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import machine
import numpy as np
import serving_report
from contest import Contest, Contestant, check_cores, compete, pinned, say
from endpoint import HOST, Endpoint, EndpointFailed
from graph_work import gflop
from make_model import make_model
from peers.worker import Plan, Round, Worker
from PIL import Image
from pipeline_images import texture
from serving_costs import costs

from sagemaker_semseg.artifact import read_inference_artifact
from sagemaker_semseg.artifact.coarse_graph import coarse_graph

HERE = Path(__file__).resolve().parent
NEEDED_GB = 8.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
INT8 = "-int8"
NAMES = [
    *(
        "endpoint",
        "endpoint-int8",
        "endpoint-int8-openvino",
        "onnxruntime",
        "onnxruntime-int8",
        "onnxruntime-full",
        "openvino",
        "openvino-int8",
    ),
    *("gluoncv", "torch", "torch-inductor", "keras", "sgemm"),
]
STAGES = ("decode", "inference", "encode", "total")


class OverHTTP:
    """The endpoint as a contestant: a step is a request, from its first byte to the last one of the reply."""

    def __init__(
        self, model: Path, jpeg: bytes, threads: int, requests: int, precision: str, runtime: str = "onnxruntime"
    ) -> None:
        self._jpeg, self._requests, self._runtime = jpeg, requests, runtime
        flags = ("--workers", "1", "--threads", str(threads), "--precision", precision, "--runtime", runtime)
        self._endpoint = Endpoint(model, flags)
        self._connection = http.client.HTTPConnection(HOST, self._endpoint.port, timeout=600)

    def wait_until_ready(self) -> dict[str, str]:
        self._endpoint.wait_until_healthy()
        self._request()
        self._warm_up = self._stage_seconds()
        return {"workers": "1", "threads": "cores", "runtime": self._runtime}

    def run_round(self) -> Round:
        wall, cpu = time.perf_counter(), self._cpu_seconds()
        for _ in range(self._requests):
            self._request()
        wall, cpu = time.perf_counter() - wall, self._cpu_seconds() - cpu
        return Round(wall / self._requests, cpu / self._requests, self._endpoint.peak_rss_mb())

    def observations(self) -> dict[str, str]:
        """Mean milliseconds of each stage of a request, by the endpoint's own clock."""
        requests = self._endpoint.metric("semseg_seconds_count", 'stage="total"') - 1  # without the warm-up
        found = self._stage_seconds()
        each = {stage: 1000 * (found[stage] - self._warm_up[stage]) / requests for stage in STAGES}
        return {"ms": ", ".join(f"{stage} {value:.1f}" for stage, value in each.items())}

    def close(self) -> None:
        self._connection.close()
        self._endpoint.close()

    def _stage_seconds(self) -> dict[str, float]:
        return {stage: self._endpoint.metric("semseg_seconds_sum", f'stage="{stage}"') for stage in STAGES}

    def _request(self) -> None:
        headers = {"Content-Type": "image/jpeg", "Accept": "image/png"}
        try:
            self._connection.close()  # while the others had their turns, the server may have ended an idle one
            self._connection.request("POST", "/invocations", self._jpeg, headers)
            reply = self._connection.getresponse()
            body = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise EndpointFailed(f"no reply ({error!r}): {self._endpoint.last_line()}") from error
        if reply.status != 200 or not body.startswith(b"\x89PNG"):
            raise EndpointFailed(f"{reply.status}: {body[:200]!r}")

    def _cpu_seconds(self) -> float:
        return self._endpoint.cpu_seconds() + time.process_time()


def contest(args: argparse.Namespace, folder: Path, algorithm: str, cores: list[int]) -> Contest:
    """All contestants of one algorithm on the same cores."""
    threads, model = len(cores), folder / f"{algorithm}.tar.gz"
    flags = {"--image": folder / "image.npy", "--graph": folder / f"{algorithm}.onnx", "--algorithm": algorithm}
    flags |= {"--depth": args.depth, "--classes": args.classes, "--threads": threads, "--steps-per-round": args.steps}
    words = [str(word) for pair in flags.items() for word in pair]
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | dict(pair.split("=", 1) for pair in args.env)
    ours, peers = Path(sys.executable), HERE / "peers"
    int8 = ("--graph", str(folder / f"{algorithm}{INT8}.onnx"))
    plans = [
        Plan("onnxruntime", ours, peers / "onnxruntime_infer.py"),
        Plan("onnxruntime-int8", ours, peers / "onnxruntime_infer.py", int8),
        Plan("onnxruntime-full", ours, peers / "onnxruntime_infer.py", full_graph(folder, algorithm)),
        Plan("openvino", ours, peers / "openvino_infer.py"),
        Plan("openvino-int8", ours, peers / "openvino_infer.py", int8),
        Plan("gluoncv", args.gluoncv_python, peers / "gluoncv_infer.py"),
        Plan("torch", args.torch_python, peers / "torch_infer.py"),
        Plan("torch-inductor", args.torch_python, peers / "torch_infer.py", ("--compile",)),
        Plan("keras", ours, HERE / "keras_infer.py"),
        Plan("sgemm", ours, peers / "sgemm_infer.py"),
    ]
    jpeg = (folder / "image.jpg").read_bytes()
    starters: dict[str, Callable[[], Contestant]] = {
        "endpoint": partial(OverHTTP, model, jpeg, threads, args.steps, "float32"),
        "endpoint-int8": partial(OverHTTP, model, jpeg, threads, args.steps, "int8"),
        "endpoint-int8-openvino": partial(OverHTTP, model, jpeg, threads, args.steps, "int8", "openvino"),
    }
    starters |= {plan.name: partial(Worker, plan, words, variables, args.timeout) for plan in plans}
    return compete(algorithm, cores, {name: starters[name] for name in NAMES if name in args.contestants}, args.rounds)


def full_graph(folder: Path, algorithm: str) -> tuple[str, ...]:
    return ("--output", "logits", "--graph", str(folder / f"{algorithm}-full.onnx"))


def prepare(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """What the contestants read: the image, encoded and as pixels, and for each algorithm a model and its graphs.

    Returns the GFLOP of each algorithm's network.
    """
    work, int8 = {}, any(name.endswith(INT8) for name in args.contestants)
    out = io.BytesIO()
    Image.fromarray(texture(np.random.RandomState(0))[: args.side, : args.side]).save(out, "JPEG", quality=90)
    (folder / "image.jpg").write_bytes(out.getvalue())
    np.save(folder / "image.npy", np.asarray(Image.open(out)))
    for algorithm in args.algorithms:
        say(f"making a model: {algorithm}")
        path, backbone = folder / f"{algorithm}.tar.gz", f"resnet-{args.depth}"
        artifact = read_inference_artifact(make_model(path, algorithm, backbone, args.classes, int8=int8))
        (folder / f"{algorithm}-full.onnx").write_bytes(artifact.graph)
        (folder / f"{algorithm}.onnx").write_bytes(coarse_graph(artifact.graph))
        if artifact.int8_graph:
            (folder / f"{algorithm}{INT8}.onnx").write_bytes(coarse_graph(artifact.int8_graph))
        work[algorithm] = gflop(artifact.graph, args.side, args.side)
    return work


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    environments = HERE.parent / ".envs"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gluoncv-python", type=Path, default=environments / "gluoncv" / "bin" / "python")
    parser.add_argument("--torch-python", type=Path, default=environments / "torch" / "bin" / "python")
    parser.add_argument("--contestants", nargs="+", choices=NAMES, default=NAMES)
    algorithms = ["fcn", "psp", "deeplab"]
    parser.add_argument("--algorithms", nargs="+", choices=algorithms, default=algorithms)
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2], help="how many cores; one table for each (1 2)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="images of one round")
    parser.add_argument("--side", type=int, default=480, help="of the square image, pixels; 480 at most")
    parser.add_argument(
        "--depth", type=int, default=50, help="of the ResNet; GluonCV has 50, 101 and 152, PyTorch 18, too"
    )
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--starts", type=int, default=5, help="how often the server is started; 0 leaves that part out")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that a worker may take for one answer")
    parser.add_argument("--env", nargs="*", default=[], metavar="NAME=VALUE", help="set for every peer alike")
    parser.add_argument("--note", default="", help="a sentence for the page, such as what else the machine did")
    parser.add_argument("--output", type=Path, help="the page to write (results/serving_latency-<date>.md)")
    return parser.parse_args(argv)


def main() -> int:
    args = parse()
    check_cores(args.cores)
    if (available := machine.available_memory_gb()) is not None and available < NEEDED_GB:
        say(f"warning: {available:.1f} GB of memory are free, {NEEDED_GB:g} may be needed")
    contests, sections = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = prepare(args, folder)
        if args.starts:
            sections = costs(folder, args)
        for count in args.cores:
            with pinned(count) as cores:
                contests += [contest(args, folder, algorithm, cores) for algorithm in args.algorithms]
    date = datetime.date.today().isoformat()
    settings = {
        "network": f"ResNet-{args.depth}, {args.classes} classes, random weights",
        "image": f"{args.side} x {args.side}, a JPEG of quality 90 for the endpoint",
        "rounds, images in each": f"{args.rounds}, {args.steps}",
        "variables set for every peer": ", ".join([*(f"{name} = cores" for name in THREAD_VARIABLES), *args.env]),
    }
    text = serving_report.page(f"Serving, {date}", args.note, machine.describe() | settings, contests, sections, work)
    output = args.output or HERE / "results" / f"serving_latency-{date}.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    say(f"written: {output}")
    return 1 if any(one.failures for one in contests) else 0


if __name__ == "__main__":
    sys.exit(main())
