"""Chooses the graph and the runtime that a model is used with: float32 or int8, ONNX Runtime or OpenVINO.

int8 takes a quarter of float32's time where the CPU multiplies 8-bit numbers in one instruction (VNNI on x86, dot
products on Arm), and 0.5 to 0.7 elsewhere. OpenVINO takes 0.85 of ONNX Runtime's time for int8 graphs, and about as
much for float32.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sagemaker_semseg.artifact import InferenceArtifact
from sagemaker_semseg.errors import ArtifactError, Fault, UserError

PRECISIONS: Final = ("auto", "float32", "int8")

CPUINFO = Path("/proc/cpuinfo")

_INSTRUCTIONS: Final = {"avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI", "asimddp": "Arm's dot products"}
"""Flags in /proc/cpuinfo, and their names."""


@dataclass(frozen=True)
class GraphChoice:
    """The graph that is used. precision: "float32" or "int8". runtime: a key of ``RUNTIMES``. reason: for people."""

    graph: bytes = field(repr=False)
    precision: str
    runtime: str
    reason: str

    def __str__(self) -> str:
        return f"{self.precision} with {self.runtime}: {self.reason}"


def choose_graph(artifact: InferenceArtifact, precision: str, runtime: str) -> GraphChoice:
    """Chooses by the model, the CPU and what is installed.

    Args:
        artifact: The model.
        precision: "auto" is int8 where the model has such a graph and this CPU is fast with it, and no GPU is used.
        runtime: "auto" is OpenVINO for int8 where it is installed, else ONNX Runtime.

    Raises:
        ArtifactError: int8 is wanted, and the model has no such graph.
        UserError: int8 is wanted of TensorRT.
    """
    chosen, reason = choose_precision(precision, runtime)
    if artifact.int8_graph is None and precision == "int8":
        remedy = "make it with: sagemaker-semseg quantize MODEL --data DIR -o NEW, or use another precision"
        raise ArtifactError("the model can't be used in int8:", [Fault("model.int8.onnx", "is missing", remedy)])
    if artifact.int8_graph is None and precision == "auto":
        chosen, reason = "float32", "the model has no int8 graph"
    if runtime == "auto":
        runtime = "openvino" if chosen == "int8" and find_spec("openvino") else "onnxruntime"
    graph = artifact.int8_graph if chosen == "int8" else artifact.graph
    assert graph is not None
    return GraphChoice(graph, chosen, runtime, reason)


def choose_precision(precision: str, runtime: str) -> tuple[str, str]:
    """Chooses for a model that has both graphs; returns the reason as well. Arguments and errors: ``choose_graph``."""
    instructions = int8_instructions()
    if precision == "int8" and runtime == "tensorrt":
        remedy = "use float32 with it, or another runtime"
        raise UserError("The model can't be used like this:", [Fault("runtime", "tensorrt takes no uint8", remedy)])
    if precision == "float32":
        return precision, "as asked"
    if precision == "int8":
        slow = "as asked, but this CPU has no VNNI, which makes int8 fast and exact"
        return precision, "as asked" if instructions else slow
    if runtime == "tensorrt" or gpu_is_used(runtime):
        return "float32", "a GPU is to run it"
    if not instructions:
        return "float32", "this CPU has no VNNI, which makes int8 fast"
    return "int8", f"the CPU has {instructions}"


def prefers_int8(precision: str | None, runtime: str | None) -> bool:
    """Whether int8 is used of a model that has both graphs. None is auto. Arguments and errors: ``choose_graph``."""
    return choose_precision(precision or "auto", runtime or "auto")[0] == "int8"


def gpu_is_used(runtime: str) -> bool:
    """Whether ONNX Runtime would run a graph on a GPU."""
    if runtime == "openvino":
        return False
    from sagemaker_semseg.inference.runtimes import gpu_providers  # and ONNX Runtime

    return bool(gpu_providers())


def int8_instructions() -> str:
    """Returns the name of this CPU's instructions for int8 products; empty where it has none, or none are known."""
    if sys.platform == "darwin":
        return "Arm's dot products" if platform.machine() == "arm64" else ""
    try:
        flags = set(CPUINFO.read_text(encoding="utf-8", errors="replace").split())
    except OSError:  # not Linux
        return ""
    return next((name for flag, name in _INSTRUCTIONS.items() if flag in flags), "")
