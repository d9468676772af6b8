"""A benchmark as a value: how fast a model is on this machine, by precision, runtime, workers and threads.

Each setting runs in processes of its own, as many as it has workers, which label the same image at the same time.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sagemaker_semseg.artifact import locate_artifact, read_inference_artifact
from sagemaker_semseg.data.files import read_file
from sagemaker_semseg.data.images import decode_image, encode_mask
from sagemaker_semseg.environment import cpu_count, worker_variables
from sagemaker_semseg.errors import AlgorithmError, Fault, UserError
from sagemaker_semseg.inference.precision import int8_instructions
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.report.bar_chart import Panel, bar_chart

MAX_CHANGED = 0.01
"""Share of labels that a recommended setting may change; the limit of ``quantize`` too."""

DEFAULT_SIZE = (480, 640)


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """One benchmark, unchecked. image: a JPEG or PNG; None is an image of noise. rounds: of each process."""

    model: str
    image: str | None = None
    rounds: int = 5


@dataclass(frozen=True)
class Measurement:
    """What one setting took.

    Attributes:
        precision: "float32" or "int8".
        runtime: "onnxruntime" or "openvino".
        workers: Processes that worked at the same time.
        threads: Of each.
        milliseconds: Median time of an image.
        images_per_second: Of all workers together.
        peak_mb: Peak of one worker's resident memory, loading included, 10^6 bytes; None where it isn't known.
        graph_mb: Size of the graph.
        labels_changed: Share of the pixels with another label than by float32 in ONNX Runtime.
    """

    precision: str
    runtime: str
    workers: int
    threads: int
    milliseconds: float
    images_per_second: float
    peak_mb: float | None
    graph_mb: float
    labels_changed: float


@dataclass(frozen=True)
class BenchmarkResult:
    """All measurements, the fastest first, and the machine's figures that explain them."""

    model: str
    measurements: tuple[Measurement, ...]
    cpus: int
    int8_instructions: str

    @property
    def best(self) -> Measurement:
        """The setting with most images per second whose labels are right."""
        return next(m for m in self.measurements if m.labels_changed <= MAX_CHANGED)

    def command(self) -> str:
        """Returns the command that serves the model in the best setting."""
        best = self.best
        flags = f"--precision {best.precision} --runtime {best.runtime}"
        return f"sagemaker-semseg serve --model {self.model} {flags} --workers {best.workers} --threads {best.threads}"

    def chart(self) -> str:
        """Returns a bar chart of all settings as SVG; the recommended one stands out."""
        rows = self.measurements
        peaks = [math.nan if m.peak_mb is None else m.peak_mb for m in rows]
        panels = [
            Panel("ms for an image", [m.milliseconds for m in rows], 1),
            Panel("images a second", [m.images_per_second for m in rows], 2),
            Panel("peak MB of a worker", peaks),
            Panel("% of labels changed", [100 * m.labels_changed for m in rows], 2),
        ]
        names = [
            f"{m.precision}, {m.runtime}, {_count(m.workers, 'worker')} of {_count(m.threads, 'thread')}" for m in rows
        ]
        note = (
            f"{_count(self.cpus, 'core')}; instructions for int8: {self.int8_instructions or 'none'}; bold: recommended"
        )
        return bar_chart(self.model, names, panels, rows.index(self.best), note)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**dataclasses.asdict(self), "recommended": dataclasses.asdict(self.best), "command": self.command()}


def run_benchmark(config: BenchmarkConfig) -> BenchmarkResult:
    """Measure every setting that this machine and this model allow.

    Raises:
        ArtifactError: The model can't be used.
        DataError: The image can't be read.
        UserError: ``rounds`` is less than 1.
        AlgorithmError: A setting can't be measured.
    """
    if config.rounds < 1:
        raise UserError("The model can't be measured:", [Fault("--rounds", f"{config.rounds}: 1 or more are expected")])
    if config.image:
        read_file(Path(config.image), lambda _, encoded: decode_image(encoded))
    path = locate_artifact(Path(config.model))
    artifact = read_inference_artifact(path)
    sizes = {"float32": len(artifact.graph) / 1e6}
    if artifact.int8_graph:
        sizes["int8"] = len(artifact.int8_graph) / 1e6
    del artifact
    settings = list(_settings(list(sizes)))
    found: list[Measurement] = []
    reference = None
    with tempfile.TemporaryDirectory() as folder, progress_bar("measuring", len(settings)) as update:
        image = Path(config.image) if config.image else _noise(Path(folder))
        for setting in settings:
            figures, labels = _measure(
                {**setting, "model": str(path), "image": str(image)}, config.rounds, Path(folder)
            )
            reference = labels if reference is None else reference
            changed = float(np.mean(labels != reference))
            found.append(
                Measurement(**setting, **figures, graph_mb=sizes[setting["precision"]], labels_changed=changed)
            )
            update(len(found), len(settings))
    found.sort(key=lambda measurement: -measurement.images_per_second)
    return BenchmarkResult(config.model, tuple(found), cpu_count(), int8_instructions())


def _settings(precisions: list[str]) -> Iterator[dict[str, Any]]:
    """The first one is the reference: float32 in ONNX Runtime."""
    cpus = cpu_count()
    runtimes = ["onnxruntime", *(["openvino"] if find_spec("openvino") else [])]
    for precision in precisions:
        for runtime in runtimes:
            for workers in sorted({1, cpus}):
                yield {"precision": precision, "runtime": runtime, "workers": workers, "threads": cpus // workers}


def _measure(setting: dict[str, Any], rounds: int, folder: Path) -> tuple[dict[str, Any], Any]:
    """The figures of a setting, and the labels of one of its workers."""
    commands = []
    for number in range(setting["workers"]):
        content = json.dumps({**setting, "rounds": rounds, "labels": str(folder / f"{number}.npy")})
        commands.append([sys.executable, "-m", "sagemaker_semseg.jobs.benchmark_worker", content])
    pipe = subprocess.PIPE
    variables = worker_variables(setting["threads"])
    workers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=variables)
        for command in commands
    ]
    try:
        for worker in workers:  # all have loaded the model before the first one begins
            assert worker.stdout
            if worker.stdout.readline() != "ready\n":
                raise _failed(setting, worker.communicate()[1])
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("\n")
            worker.stdin.flush()
        results = []
        for worker in workers:
            out, error = worker.communicate()
            if worker.returncode:
                raise _failed(setting, error)
            results.append(json.loads(out))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    peaks = [result["peak_mb"] for result in results if result["peak_mb"] is not None]
    figures = {
        "milliseconds": 1000 * median(second for result in results for second in result["seconds"]),
        "images_per_second": sum(len(result["seconds"]) / sum(result["seconds"]) for result in results),
        "peak_mb": max(peaks) if peaks else None,
    }
    return figures, np.load(folder / "0.npy", allow_pickle=False)


def _failed(setting: dict[str, Any], error: str) -> AlgorithmError:
    names = ("precision", "runtime", "workers", "threads")
    where = ", ".join(f"{name} {setting[name]}" for name in names)
    last = error.strip().splitlines()[-1:] or ["no message"]
    return AlgorithmError("The model can't be measured:", [Fault(where, last[0][:500])])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _noise(folder: Path) -> Path:
    """A PNG whose pixels are random; the time of a network doesn't depend on them."""
    path = folder / "noise.png"
    path.write_bytes(encode_mask(np.random.default_rng(0).integers(0, 256, DEFAULT_SIZE, np.uint8)))
    return path
