"""A worker: a process of its own with one model; images come in over a socket, replies go out. ``pool`` starts it.

    receives  {model, options}                       once, first
    sends     {model: {...}}                         when it is ready, after a warm-up
              {error, faults}                        or when the model can't be used; then it ends
    receives  {id, reply} and the request's body
    sends     {id, status, content_type, seconds} and the reply's body, or {id} if it was stopped
    receives  {stop: id}                             at any time: nobody wants that reply any more

One image at a time. A thread reads the socket, so that a stop is heard while the model is at work. A worker ends when
its socket does, whatever it is doing: when the server has gone, however that came about, no worker stays.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sagemaker_semseg.artifact import read_inference_artifact
from sagemaker_semseg.data.images import Pixels, decode_image, encode_mask, palette
from sagemaker_semseg.errors import SemSegError, UserError
from sagemaker_semseg.inference import CancellationToken, InferenceCancelled, Segmenter
from sagemaker_semseg.serving import http_errors, worker_protocol
from sagemaker_semseg.serving.content_negotiation import ResponseFormat
from sagemaker_semseg.serving.request_validation import check_body
from sagemaker_semseg.serving.response_encoding import check_size, encode


class Model(Protocol):
    """What a worker needs of ``inference.Segmenter``."""

    num_classes: int

    def labels(self, image: Pixels, token: CancellationToken | None = None) -> Pixels: ...

    def probabilities(self, image: Pixels, dtype: Any = ..., token: CancellationToken | None = None) -> Any: ...


Load = Callable[[worker_protocol.Header], tuple[Model, worker_protocol.Header]]
"""From the first message to a model and what the server is told about it."""


def main(load: Load | None = None) -> None:
    """The process: its argument is the number of the socket's descriptor."""
    # Ctrl-C and a stopping container reach every process; the server decides when a worker ends
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where memory runs out, the system shall end a worker and not the server
        Path("/proc/self/oom_score_adj").write_text("500")
    with contextlib.suppress(BrokenPipeError):  # the server has gone
        Worker(socket.socket(fileno=int(sys.argv[1])), load or load_segmenter).run()


def load_segmenter(first: worker_protocol.Header) -> tuple[Model, worker_protocol.Header]:
    """The model at the path ``model``, used with ``options``; what a page for people and the log say about it."""
    artifact = read_inference_artifact(first["model"])
    segmenter = Segmenter(artifact, **first["options"])
    about = {
        "name": Path(first["model"]).name,
        "num_classes": segmenter.num_classes,
        "class_names": segmenter.class_names,
        "palette": palette(segmenter.num_classes).tolist(),
        "algorithm": artifact.hyperparameters["algorithm"],
        "backbone": artifact.hyperparameters["backbone"],
        # by it the server notices that a worker, started later, has found another model at the same path
        "checksum": zlib.crc32(artifact.graph),
    }
    return segmenter, about


class Worker:
    def __init__(self, sock: socket.socket, load: Load):
        self._sock, self._load = sock, load
        self._inbox: queue.SimpleQueue[tuple[worker_protocol.Header, bytes, CancellationToken]] = queue.SimpleQueue()
        self._last = 0, CancellationToken()

    def run(self) -> None:
        """Answers until the socket ends, and the process with it."""
        threading.Thread(target=self._read, daemon=True).start()
        first, _, _ = self._inbox.get()
        try:
            model, about = self._load(first)
            warm_up = encode_mask(np.zeros((64, 64), np.uint8))
            answer(model, ResponseFormat("image/png"), warm_up, CancellationToken())
        except Exception as error:
            worker_protocol.write(self._sock, _failure(error))
            return
        worker_protocol.write(self._sock, {"model": about})
        while True:
            self._work(model, *self._inbox.get())

    def _work(self, model: Model, job: worker_protocol.Header, body: bytes, token: CancellationToken) -> None:
        head: worker_protocol.Header = {"id": job["id"]}
        parts: list[Any] = []
        try:
            parts, seconds = answer(model, reply := ResponseFormat(**job["reply"]), body, token)
            head.update(status=200, content_type=reply.content_type, seconds=seconds)
        except InferenceCancelled:
            pass
        except Exception as error:
            if not isinstance(error, SemSegError):
                traceback.print_exc()
            status = error.http_status if isinstance(error, SemSegError) else 500
            parts = [http_errors.body(error)]
            head.update(status=status, content_type="application/json", seconds={})
        worker_protocol.write(self._sock, head, parts)

    def _read(self) -> None:
        """Takes what comes. Ends the process when the socket ends."""
        try:
            stream = self._sock.makefile("rb")
            while True:
                self._take(*worker_protocol.read(stream))  # no name here: it would hold the last body until the next
        except (EOFError, OSError):
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _take(self, header: worker_protocol.Header, body: bytes) -> None:
        """A job is put with those to be done, one at a time; a stop has its effect at once."""
        if "stop" not in header:
            self._last = header.get("id", 0), CancellationToken()
            self._inbox.put((header, body, self._last[1]))
        elif header["stop"] == self._last[0]:
            self._last[1].cancel()


def answer(
    model: Model, reply: ResponseFormat, body: bytes, token: CancellationToken
) -> tuple[list[Any], dict[str, float]]:
    """The reply's body in parts, and the seconds that decoding, inference and encoding took.

    Raises ``DataError``, ``PayloadTooLarge`` before any pixel is decoded where that can be known, and ``Stopped``.
    """
    seconds, since = {}, time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal since
        now = time.perf_counter()
        seconds[stage], since = now - since, now

    check_size(reply, model.num_classes, *check_body(body))
    image = decode_image(body)
    lap("decode")
    if reply.is_mask:
        array = model.labels(image, token)
    else:
        array = model.probabilities(image, np.dtype(reply.dtype), token)
    lap("inference")
    parts = encode(reply, array)
    lap("encode")
    return parts, seconds


def _failure(error: Exception) -> worker_protocol.Header:
    if not isinstance(error, SemSegError):
        traceback.print_exc()
        return {"error": f"the model can't be loaded: {type(error).__name__}: {error}"[:1000], "faults": []}
    faults = [[fault.where, fault.what, fault.remedy] for fault in error.faults]
    return {"error": error.message, "faults": faults, "users": isinstance(error, UserError)}
