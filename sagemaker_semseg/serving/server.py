"""Serves a model over HTTP until a signal comes.

This process speaks HTTP and keeps the queue; it stays small and never processes an image. The workers start first, so
that they load the model while this process imports what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagemaker_semseg.environment import cpu_count, memory_limit, worker_variables
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.serving.limits import MEGABYTE, Limits
from sagemaker_semseg.serving.pool import WorkerPool
from sagemaker_semseg.signals import catch_signals

if TYPE_CHECKING:
    from sagemaker_semseg.serving.admission import AdmissionControl
    from sagemaker_semseg.serving.connection import HTTPServer

MEMORY_SHARE = 0.8
"""Of the memory that workers may take together, by the estimate for their largest image or tile."""

MAX_PAYLOAD_MB = 1024
"""Where the settings have no limit."""

_LIBRARIES = ("starlette", "uvicorn", "h11", "prometheus_client")


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    Attributes:
        model: A ``model.tar.gz`` or a folder with its files.
        host: The address to listen at.
        port: 0 is any free one.
        workers: Processes. None: one for each CPU, as many as memory holds: single threads waste nothing on each other.
        worker_bytes: Memory of a worker, for this; None: it isn't known.
        threads: Of each worker. None: the CPUs, divided among the workers.
        queue: Invocations that may wait. None: twice the workers, at least 4; 100 for batch transform.
        accept: The Accept header of requests without one.
        max_payload_mb: Largest body in MiB; 0 is no limit of yours.
        options: Arguments of ``Segmenter``.
        batch: Whether this is SageMaker's batch transform, which paces its own requests.
        log: Whether each request is a line on standard error.
    """

    model: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int | None = None
    worker_bytes: int | None = None
    threads: int | None = None
    queue: int | None = None
    accept: str = "image/png"
    max_payload_mb: int = 100
    options: dict[str, Any] = field(default_factory=dict)
    batch: bool = False
    log: bool = True

    def pool_sizes(self) -> tuple[int, int, int]:
        """Returns the number of workers, of the threads of each, and of the invocations that may wait."""
        workers = self.workers or self._default_workers()
        threads = self.threads or max(1, cpu_count() // workers)
        queue = (100 if self.batch else max(4, 2 * workers)) if self.queue is None else self.queue
        return workers, threads, queue

    def _default_workers(self) -> int:
        memory = memory_limit()
        if memory is None or not self.worker_bytes:
            return cpu_count()
        return max(1, min(cpu_count(), int(MEMORY_SHARE * memory / self.worker_bytes)))

    def limits(self) -> Limits:
        import resource  # not on Windows

        body_bytes = (self.max_payload_mb or MAX_PAYLOAD_MB) * MEGABYTE
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Limits(
            body_bytes=body_bytes,
            held_bytes=max(Limits.held_bytes, 4 * body_bytes),
            connections=min(Limits.connections, files // 2),  # without free descriptors, health checks would fail too
        )


def serve(
    settings: Settings,
    on_ready: Callable[[int], None] | None = None,
    *,
    limits: Limits | None = None,
    command: Sequence[str] = (),
) -> None:
    """Serves a model until SIGTERM or Ctrl-C; accepted invocations are answered before it returns.

    Args:
        settings: The model and how it is served.
        on_ready: Called with the port once the first worker has completed a warm-up. It must not block.
        limits: Others than ``settings.limits()``, for tests.
        command: Another program than ``worker``, for tests.

    Raises:
        UserError: The address, the model or a setting can't be used.
        AlgorithmError: Workers keep crashing.
    """
    if sys.platform == "win32":
        raise UserError("The server needs Linux or macOS.\nOn Windows, run it in WSL or in the container.")
    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise UserError(f"The server needs {', '.join(missing)}.\nInstall with: pip install 'sagemaker-semseg[serve]'")
    with listen(settings.host, settings.port) as sock:
        asyncio.run(_Server(settings, on_ready, limits or settings.limits(), command).run(sock))


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. Raises ``UserError`` if the address can't be used."""
    remedies = {
        errno.EADDRINUSE: "another program listens there; end it, or give another port (--port 0: any free one)",
        errno.EACCES: "ports below 1024 are the system's; give another one",
        errno.EADDRNOTAVAIL: "give an address of this machine",
    }
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:  # also when the name can't be resolved
        remedy = remedies.get(error.errno or 0, "give an address of this machine")
        raise UserError(f"No connections can be taken at {host}, port {port}: {error.strerror} ({remedy})") from None


class _Server:
    """The pool of workers and the HTTP server, from start to shutdown."""

    def __init__(
        self, settings: Settings, on_ready: Callable[[int], None] | None, limits: Limits, command: Sequence[str]
    ):
        self._settings, self._on_ready, self._limits = settings, on_ready, limits
        workers, threads, queue = settings.pool_sizes()
        self._pool = WorkerPool(
            {"model": str(settings.model), "options": {**settings.options, "threads": threads}},
            workers=workers,
            queue=queue,
            variables=worker_variables(threads),
            log=_log,
            command=command,
        )
        self._shutdown_requested, self._force_shutdown = asyncio.Event(), asyncio.Event()

    async def run(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with catch_signals(callback=lambda number: loop.call_soon_threadsafe(self._on_signal)):
            workers = asyncio.create_task(self._pool.supervise())
            shutdown = asyncio.create_task(self._shutdown_requested.wait())
            announcement = asyncio.create_task(self._announce(sock))
            try:
                # in a thread: the workers start meanwhile
                http, admission = await asyncio.to_thread(self._create_http_server)
                serving = asyncio.create_task(http.serve(sockets=[sock]))
                await asyncio.wait({workers, shutdown, serving}, return_when=asyncio.FIRST_COMPLETED)
                if not workers.done():
                    await self._drain(admission)
                await self._pool.close()
                http.exit()
                await serving
            finally:
                for task in (shutdown, announcement):
                    task.cancel()
                await self._pool.close()
            with contextlib.suppress(asyncio.CancelledError):
                await workers
            if announcement.done() and not announcement.cancelled():
                announcement.result()

    def _create_http_server(self) -> tuple[HTTPServer, AdmissionControl]:
        from sagemaker_semseg.serving.admission import AdmissionControl
        from sagemaker_semseg.serving.app import create_app
        from sagemaker_semseg.serving.connection import create_http_server
        from sagemaker_semseg.serving.request_metrics import RequestMetrics

        admission = AdmissionControl(self._pool, self._limits, self._settings.accept)
        metrics = RequestMetrics(self._pool, _log if self._settings.log else lambda line: None)
        return create_http_server(create_app(admission, metrics), self._limits), admission

    async def _announce(self, sock: socket.socket) -> None:
        await self._pool.first_ready.wait()
        host, port = sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        with contextlib.suppress(OSError):  # standard output is closed
            if choice := self._pool.model.get("choice"):
                _log(choice)
            print(f"serving {self._settings.model} at http://{shown}:{port}/ (Ctrl-C ends it)", flush=True)
        if self._on_ready:
            self._on_ready(port)

    async def _drain(self, admission: AdmissionControl) -> None:
        """Waits for the invocations in flight, but not too long, and not after a second signal."""
        admission.draining = True
        waiting = [asyncio.create_task(admission.wait_until_idle()), asyncio.create_task(self._force_shutdown.wait())]
        await asyncio.wait(waiting, timeout=self._limits.finish_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    def _on_signal(self) -> None:
        (self._force_shutdown if self._shutdown_requested.is_set() else self._shutdown_requested).set()


def _log(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # standard error is closed
        print(line, file=sys.stderr, flush=True)
