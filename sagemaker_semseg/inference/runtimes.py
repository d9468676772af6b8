"""ONNX Runtime and OpenVINO: run a cut graph (``coarse_graph``) from an image's pixels to coarse logits.

ONNX Runtime runs on the CPU, or by CUDA where ``onnxruntime-gpu`` is installed and a GPU is there; by TensorRT where
that is asked for. What can't be used is replaced by the next one, the CPU at last, and ``LoadedGraph.note`` says so. No
GPU was at hand when this was written: these paths are tested with stand-ins alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from sagemaker_semseg.environment import has_gpu
from sagemaker_semseg.errors import ArtifactError, Fault, UserError

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]

_Provider = tuple[str, dict[str, str]]
_CUDA: _Provider = (
    "CUDAExecutionProvider",
    {"cudnn_conv_algo_search": "HEURISTIC"},
)  # the default tries all for each new size
_TENSORRT: _Provider = ("TensorrtExecutionProvider", {})
_NAMES = {"CUDAExecutionProvider": "CUDA", "TensorrtExecutionProvider": "TensorRT"}

# glibc's mallopt, and what it is set to: while a graph loads, and after that, as where glibc itself ends up
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LOADING_BYTES, _LOADED_BYTES = 2**20, 2**25

_LARGE = 3 * 2**19  # values of an image of half a million pixels, which needs 200 MB


class InferenceCancelled(Exception):
    """The work was given up because its ``CancellationToken`` was cancelled."""


class CancellationToken:
    """Cancels inference from any thread; a token stays cancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._interrupt: Callable[[], None] | None = None

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._interrupt:
                self._interrupt()

    def raise_if_cancelled(self) -> None:
        """Raises ``InferenceCancelled`` if it is cancelled."""
        if self._cancelled:
            raise InferenceCancelled

    @contextlib.contextmanager
    def on_cancel(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Within the block, ``cancel`` calls ``interrupt``. Raises ``InferenceCancelled`` if it is cancelled."""
        with self._lock:
            self.raise_if_cancelled()
            self._interrupt = interrupt
        try:
            yield
        finally:
            with self._lock:
                self._interrupt = None


@dataclass(frozen=True)
class LoadedGraph:
    """A cut graph in a runtime.

    Attributes:
        run: (h, w, 3) uint8 -> (C, ceil(h / 8), ceil(w / 8)) float32; smaller at another output stride.
        note: Whether a GPU runs it, or why it doesn't though it was to; empty where there was no question.
    """

    run: Callable[[Pixels, CancellationToken], Logits]
    note: str = ""

    def __call__(self, image: Pixels, token: CancellationToken) -> Logits:
        return self.run(image, token)


def gpu_providers(tensorrt: bool = False) -> list[_Provider]:
    """Returns the providers of ONNX Runtime for this machine's GPU, the preferred one first; none without a GPU."""
    if not has_gpu():
        return []
    available = onnxruntime.get_available_providers()
    return [provider for provider in ([_TENSORRT] if tensorrt else []) + [_CUDA] if provider[0] in available]


def tensorrt(graph: Path | bytes, threads: int) -> LoadedGraph:
    """As ``onnx_runtime``, by TensorRT where it can be used. It builds an engine for each size of images: minutes."""
    return onnx_runtime(graph, threads, tensorrt=True)


def onnx_runtime(graph: Path | bytes, threads: int, *, tensorrt: bool = False) -> LoadedGraph:
    """Loads a cut graph in ONNX Runtime. Raises ``ArtifactError`` if it can't be loaded."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 4  # errors are raised
    wanted = gpu_providers(tensorrt)
    providers = [*wanted, ("CPUExecutionProvider", {})]
    try:
        with _freed_memory_returned():
            session = onnxruntime.InferenceSession(_path_or_bytes(graph), settings, providers=providers)
            session._model_bytes = None  # the whole graph once more, kept for a change of providers that we don't make
    except Exception as error:  # the library's exceptions have no common class
        raise unusable(error) from None

    def run(image: Pixels, token: CancellationToken) -> Logits:
        options = onnxruntime.RunOptions()
        if image.size > _LARGE:  # else the memory that it needed stays with the process
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        with token.on_cancel(lambda: setattr(options, "terminate", True)):
            try:
                (logits,) = session.run(["coarse_logits"], {"image": image[None]}, options)
            except Exception as error:
                token.raise_if_cancelled()
                raise _out_of_memory(error) from error
        return np.asarray(logits[0])

    return LoadedGraph(run, _gpu_note([name for name, _ in wanted], session.get_providers(), tensorrt))


def _gpu_note(wanted: list[str], used: list[str], tensorrt: bool) -> str:
    names = [_NAMES[name] for name in wanted]
    if tensorrt and "TensorRT" not in names:
        names.insert(0, "TensorRT")
    failed = [name for name in names if name not in [_NAMES.get(provider) for provider in used]]
    running = _NAMES.get(used[0])
    if failed:
        remedy = "needs onnxruntime-gpu, NVIDIA's driver and the libraries that this onnxruntime was built with"
        return f"{' and '.join(failed)} can't be used ({remedy}), so {running or 'the CPU'} runs it"
    return f"{running} runs it" if running else ""


def openvino(graph: Path | bytes, threads: int) -> LoadedGraph:
    """Loads a cut graph in OpenVINO, in float32. Raises ``UserError`` where it is not installed."""
    try:
        import openvino as ov
    except ImportError as error:
        raise UserError(f"OpenVINO can't be loaded: {error}\nInstall it with: pip install openvino") from None
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    try:
        with _freed_memory_returned():
            core = ov.Core()
            request = core.compile_model(core.read_model(_path_or_bytes(graph)), "CPU", settings).create_infer_request()
    except Exception as error:
        raise unusable(error) from None

    def run(image: Pixels, token: CancellationToken) -> Logits:
        with token.on_cancel(request.cancel):
            try:
                request.infer({"image": image[None]})
            except Exception as error:
                token.raise_if_cancelled()
                raise _out_of_memory(error) from error
        return np.array(request.get_output_tensor().data[0])  # the next image overwrites the tensor

    return LoadedGraph(run)


RUNTIMES: dict[str, Callable[[Path | bytes, int], LoadedGraph]] = {
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
    "tensorrt": tensorrt,
}


def _path_or_bytes(graph: Path | bytes) -> str | bytes:
    return str(graph) if isinstance(graph, Path) else graph


@contextlib.contextmanager
def _freed_memory_returned() -> Iterator[None]:
    """Returns what is freed in the block to the system; glibc would keep more than half of the graph's size.

    It keeps freed blocks for the next ones, up to the size of the largest that was freed, and 32 MiB.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        set_option, return_free_memory = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):  # another system, or another C library
        yield
        return
    set_option(_MMAP_THRESHOLD, _LOADING_BYTES)
    try:
        yield
    finally:
        set_option(_MMAP_THRESHOLD, _LOADED_BYTES)
        set_option(_TRIM_THRESHOLD, 2 * _LOADED_BYTES)
        return_free_memory(0)


def unusable(error: Any) -> ArtifactError:
    """Returns the error for a graph that a runtime can't load."""
    fault = Fault("model.onnx", f"can't be run: {str(error).strip()[:300]}", "export the model again")
    return ArtifactError("the runtime graph can't be used:", [fault])


def _out_of_memory(error: Exception) -> BaseException:
    text = str(error)
    return MemoryError(text) if "alloc" in text.lower() or isinstance(error, MemoryError) else error
