"""A worker process: loads the model, then answers one request at a time over a socket.

``worker_protocol`` has the messages. A thread reads the socket, so that a cancellation arrives while the model runs.
The worker exits when its socket is closed, whatever it is computing, so no worker outlives the server.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sagemaker_semseg.data.images import Pixels, decode_image, encode_mask, palette
from sagemaker_semseg.errors import SemSegError, UserError
from sagemaker_semseg.inference import CancellationToken, InferenceCancelled, Segmenter
from sagemaker_semseg.serving import worker_protocol
from sagemaker_semseg.serving.content_negotiation import ResponseFormat
from sagemaker_semseg.serving.http_errors import error_body
from sagemaker_semseg.serving.request_validation import check_image_body
from sagemaker_semseg.serving.response_encoding import check_response_size, encode_response
from sagemaker_semseg.signals import catch_signals


class Model(Protocol):
    """The part of ``inference.Segmenter`` that a worker uses."""

    num_classes: int

    def labels(self, image: Pixels, token: CancellationToken | None = None) -> Pixels: ...

    def probabilities(self, image: Pixels, dtype: Any = ..., token: CancellationToken | None = None) -> Any: ...


Load = Callable[[worker_protocol.Header], tuple[Model, worker_protocol.Header]]
"""From the first message to a model and its description."""


def main(load: Load | None = None) -> None:
    """Runs a worker; the process's argument is the number of the socket's descriptor."""
    with contextlib.suppress(OSError):  # where memory runs out, the system kills a worker rather than the server
        Path("/proc/self/oom_score_adj").write_text("500")
    # Ctrl-C and a container's SIGTERM reach every process; workers ignore them, the server decides when they exit.
    # A broken pipe means that the server has exited.
    with catch_signals(), contextlib.suppress(BrokenPipeError):
        InferenceWorker(socket.socket(fileno=int(sys.argv[1])), load or load_segmenter).run()


def load_segmenter(first: worker_protocol.Header) -> tuple[Model, worker_protocol.Header]:
    """Loads the model at the path ``model`` with ``options``; returns its description for the page too."""
    segmenter = Segmenter(first["model"], **first["options"])
    about = {
        "name": Path(first["model"]).name,
        "num_classes": segmenter.num_classes,
        "class_names": segmenter.class_names,
        "palette": palette(segmenter.num_classes).tolist(),
        "algorithm": segmenter.hyperparameters["algorithm"],
        "backbone": segmenter.hyperparameters["backbone"],
        "precision": segmenter.precision,
        "runtime": segmenter.runtime,
        "choice": segmenter.choice,
        # shows the server that a worker which started later has found another model at the same path
        "checksum": segmenter.checksum,
    }
    return segmenter, about


class InferenceWorker:
    """Reads tasks from a socket and writes a response for each."""

    def __init__(self, sock: socket.socket, load: Load):
        self._sock, self._load = sock, load
        self._inbox: queue.SimpleQueue[tuple[worker_protocol.Header, bytes, CancellationToken]] = queue.SimpleQueue()
        self._last = 0, CancellationToken()

    def run(self) -> None:
        """Answers requests until the socket is closed, which ends the process."""
        threading.Thread(target=self._read, daemon=True).start()
        first, _, _ = self._inbox.get()
        try:
            model, about = self._load(first)
            warm_up = encode_mask(np.zeros((64, 64), np.uint8))
            respond(model, ResponseFormat("image/png"), warm_up, CancellationToken())
        except Exception as error:
            worker_protocol.write(self._sock, _failure(error))
            return
        worker_protocol.write(self._sock, {"model": about})
        while True:
            self._process(model, *self._inbox.get())

    def _process(self, model: Model, task: worker_protocol.Header, body: bytes, token: CancellationToken) -> None:
        head: worker_protocol.Header = {"id": task["id"]}
        parts: list[Any] = []
        try:
            response_format = ResponseFormat(**task["response_format"])
            parts, seconds = respond(model, response_format, body, token)
            head.update(status=200, content_type=response_format.content_type, seconds=seconds)
        except InferenceCancelled:
            pass
        except Exception as error:
            if not isinstance(error, SemSegError):
                traceback.print_exc()
            status = error.http_status if isinstance(error, SemSegError) else 500
            parts = [error_body(error)]
            head.update(status=status, content_type="application/json", seconds={})
        worker_protocol.write(self._sock, head, parts)

    def _read(self) -> None:
        """Receives messages. Exits the process when the socket is closed."""
        try:
            stream = self._sock.makefile("rb")
            while True:
                self._receive(*worker_protocol.read(stream))  # a name would keep the last body in memory
        except (EOFError, OSError):
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _receive(self, header: worker_protocol.Header, body: bytes) -> None:
        """Queues a task; cancels one at once."""
        if "cancel" not in header:
            self._last = header.get("id", 0), CancellationToken()
            self._inbox.put((header, body, self._last[1]))
        elif header["cancel"] == self._last[0]:
            self._last[1].cancel()


def respond(
    model: Model, response_format: ResponseFormat, body: bytes, token: CancellationToken
) -> tuple[list[Any], dict[str, float]]:
    """Decodes an image, runs the model and encodes the result.

    Returns:
        The response's body in parts, and the seconds of each stage.

    Raises:
        DataError: The body isn't one readable image.
        PayloadTooLarge: The response would be too large; raised before any pixel is decoded.
        InferenceCancelled: ``token`` was cancelled.
    """
    seconds, since = {}, time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal since
        now = time.perf_counter()
        seconds[stage], since = now - since, now

    encoded = check_image_body(body)
    check_response_size(response_format, model.num_classes, *encoded.size)
    image = decode_image(encoded)
    lap("decode")
    if response_format.is_mask:
        array = model.labels(image, token)
    else:
        array = model.probabilities(image, np.dtype(response_format.dtype), token)
    lap("inference")
    parts = encode_response(response_format, array)
    lap("encode")
    return parts, seconds


def _failure(error: Exception) -> worker_protocol.Header:
    if not isinstance(error, SemSegError):
        traceback.print_exc()
        return {
            "error": f"the model can't be loaded: {type(error).__name__}: {error}"[:1000],
            "faults": [],
            "user_error": False,
        }
    faults = [[fault.where, fault.what, fault.remedy] for fault in error.faults]
    return {"error": error.message, "faults": faults, "user_error": isinstance(error, UserError)}
