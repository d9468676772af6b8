"""The runtime graph carried out: pixels of an image or a tile come in, coarse logits go out.

ONNX Runtime on the CPU, or on a GPU where ``onnxruntime-gpu`` finds one; OpenVINO where it is asked for. Called by
``segmenter``.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from sagemaker_semseg.errors import ArtifactError, Fault, UserError

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Engine = Callable[[Pixels, "CancellationToken | None"], Logits]
"""(h, w, 3) uint8 -> (C, ceil(h / 8), ceil(w / 8)) float32."""

_LARGE = 3 * 2**19  # values of an image of half a million pixels, which needs 200 MB


class InferenceCancelled(Exception):
    """The work was given up because its ``Stop`` was set."""


class CancellationToken:
    """Ends work that is being done for it: ``set`` may be called from any thread, once or more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._interrupt: Callable[[], None] | None = None

    def set(self) -> None:
        with self._lock:
            self._set = True
            if self._interrupt:
                self._interrupt()

    def check(self) -> None:
        """Raises ``Stopped`` if it is set."""
        if self._set:
            raise InferenceCancelled

    def watch(self, interrupt: Callable[[], None] | None) -> None:
        """Have ``interrupt`` called when it is set; None ends that. Raises ``Stopped`` if it is set already."""
        with self._lock:
            self._interrupt = interrupt
            if interrupt:
                self.check()


def onnx_runtime(graph: bytes, threads: int) -> Engine:
    """The graph in ONNX Runtime. Raises ``ArtifactError`` if it can't be loaded."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 4  # what goes wrong is raised
    available = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    try:
        session = onnxruntime.InferenceSession(graph, settings, providers=providers)
    except Exception as error:  # the library's exceptions have no common class
        raise _unusable(error) from None
    session._model_bytes = None  # the whole graph once more, kept for a change of providers that we don't make
    _return_free_memory()

    def run(image: Pixels, stop: CancellationToken | None) -> Logits:
        options = onnxruntime.RunOptions()
        if image.size > _LARGE:  # else what it needed stays with the process for good
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        options.only_execute_path_to_fetches = True  # without the resizing, which ``finish`` does in bounded memory
        watch = stop.watch if stop else lambda interrupt: None
        watch(lambda: setattr(options, "terminate", True))
        try:
            (logits,) = session.run(["coarse_logits"], {"image": image[None]}, options)
        except Exception as error:
            if stop:
                stop.check()
            raise _out_of_memory(error) from error
        finally:
            watch(None)
        return np.asarray(logits[0])

    return run


def openvino(graph: bytes, threads: int) -> Engine:
    """The graph in OpenVINO, in float32. Raises ``UserError`` where it is not installed."""
    try:
        import openvino as ov
    except ImportError as error:
        raise UserError(f"OpenVINO can't be loaded: {error}\nInstall it with: pip install openvino") from None
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    try:
        whole = ov.Core().read_model(bytes(graph))
        coarse = ov.Model([whole.output("coarse_logits")], whole.get_parameters())
        request = ov.Core().compile_model(coarse, "CPU", settings).create_infer_request()
    except Exception as error:
        raise _unusable(error) from None

    def run(image: Pixels, stop: CancellationToken | None) -> Logits:
        watch = stop.watch if stop else lambda interrupt: None
        watch(request.cancel)
        try:
            request.infer({"image": image[None]})
        except Exception as error:
            if stop:
                stop.check()
            raise _out_of_memory(error) from error
        finally:
            watch(None)
        return np.array(request.get_output_tensor().data[0])  # the tensor is written again by the next image

    return run


RUNTIMES: dict[str, Callable[[bytes, int], Engine]] = {"onnxruntime": onnx_runtime, "openvino": openvino}


def _return_free_memory() -> None:
    """Give the system what loading a graph needed and freed: with glibc, more than the graph's own size."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _unusable(error: Any) -> ArtifactError:
    fault = Fault("model.onnx", f"can't be run: {str(error).strip()[:300]}", "export the model again")
    return ArtifactError("the runtime graph can't be used:", [fault])


def _out_of_memory(error: Exception) -> BaseException:
    text = str(error)
    return MemoryError(text) if "alloc" in text.lower() or isinstance(error, MemoryError) else error
