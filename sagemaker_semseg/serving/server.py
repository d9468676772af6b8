"""The server: settings come in, requests are answered until a signal comes. ``sagemaker-semseg serve`` calls ``serve``.

This process speaks HTTP and keeps the queue; it stays small and never works on an image. The workers (``pool``) are
started first, so that they load the model while this process loads what it needs itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagemaker_semseg.environment import cpu_count, worker_variables
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.serving.limits import MEGABYTE, Limits
from sagemaker_semseg.serving.pool import Pool

if TYPE_CHECKING:
    import uvicorn

    from sagemaker_semseg.serving.admission import Invocations

CORES_PER_WORKER = 4
"""An image on four cores takes little more than a quarter of its time on one, and one model's memory."""

MOST_PAYLOAD_MB = 1024
"""Where no limit is asked for."""

_LIBRARIES = ("starlette", "uvicorn", "h11", "prometheus_client")


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    model: a model.tar.gz or a folder with its files. port: 0 is any free one. workers, threads (of each worker), queue
    (invocations that wait): None is what suits the machine. accept: the reply for a request that names none.
    max_payload_mb: 0 is no limit. options: fields of ``InferenceOptions``. batch: SageMaker's batch transform, which
    sees to its own pace. log: tell every request on standard error.
    """

    model: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int | None = None
    threads: int | None = None
    queue: int | None = None
    accept: str = "image/png"
    max_payload_mb: int = 100
    options: dict[str, Any] = field(default_factory=dict)
    batch: bool = False
    log: bool = True

    def pool_sizes(self) -> tuple[int, int, int]:
        """Returns the number of workers, of the threads of each, and of the invocations that may wait."""
        workers = self.workers or max(1, cpu_count() // CORES_PER_WORKER)
        threads = self.threads or max(1, cpu_count() // workers)
        queue = (100 if self.batch else max(4, 2 * workers)) if self.queue is None else self.queue
        return workers, threads, queue

    def limits(self) -> Limits:
        import resource  # not on Windows

        body_bytes = (self.max_payload_mb or MOST_PAYLOAD_MB) * MEGABYTE
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Limits(
            body_bytes=body_bytes,
            held_bytes=max(Limits.held_bytes, 4 * body_bytes),
            connections=min(Limits.connections, files // 2),  # with none left, not even a health check is let in
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
        on_ready: Called with the port once the first worker has answered a warm-up. It must not block.
        limits: Others than ``settings.limits()``, for tests.
        command: Another program than ``worker``, for tests.

    Raises:
        UserError: The address, the model or a setting can't be used.
        AlgorithmError: Workers keep dying.
    """
    if sys.platform == "win32":
        raise UserError("The server needs Linux or macOS.\nOn Windows, run it in WSL or in the container.")
    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise UserError(f"The server needs {', '.join(missing)}.\nInstall with: pip install 'sagemaker-semseg[serve]'")
    with listen(settings.host, settings.port) as sock:
        asyncio.run(_Server(settings, on_ready, limits or settings.limits(), command).run(sock))


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for connections. Raises ``UserError`` if it can't be had."""
    remedies = {
        errno.EADDRINUSE: "another program listens there; end it, or give another port (--port 0: any free one)",
        errno.EACCES: "ports below 1024 are the system's; give another one",
        errno.EADDRNOTAVAIL: "give an address of this machine",
    }
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:  # also of a name that can't be resolved
        remedy = remedies.get(error.errno or 0, "give an address of this machine")
        raise UserError(f"No connections can be taken at {host}, port {port}: {error.strerror} ({remedy})") from None


class _Server:
    """The parts, put together."""

    def __init__(
        self, settings: Settings, on_ready: Callable[[int], None] | None, limits: Limits, command: Sequence[str]
    ):
        self._settings, self._on_ready, self._limits = settings, on_ready, limits
        workers, threads, queue = settings.pool_sizes()
        self._pool = Pool(
            {"model": str(settings.model), "options": {**settings.options, "threads": threads}},
            workers=workers,
            queue=queue,
            variables=worker_variables(threads),
            tell=_tell,
            command=command,
        )
        self._told_to_end, self._hurried = asyncio.Event(), asyncio.Event()

    async def run(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        keeping = asyncio.create_task(self._pool.keep())
        ending = asyncio.create_task(self._told_to_end.wait())
        telling = asyncio.create_task(self._announce(sock))
        try:
            # in a thread: the workers are being started meanwhile
            listener, invocations = await asyncio.to_thread(self._load)
            serving = asyncio.create_task(listener.serve(sockets=[sock]))
            await asyncio.wait({keeping, ending, serving}, return_when=asyncio.FIRST_COMPLETED)
            if not keeping.done():
                await self._finish(invocations)
            await self._pool.close()
            listener.should_exit = True
            await serving
        finally:
            for task in (ending, telling):
                task.cancel()
            await self._pool.close()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        if telling.done() and not telling.cancelled():
            telling.result()

    def _load(self) -> tuple[uvicorn.Server, Invocations]:
        from sagemaker_semseg.serving.admission import Invocations
        from sagemaker_semseg.serving.app import application
        from sagemaker_semseg.serving.connection import listener
        from sagemaker_semseg.serving.request_metrics import Monitor

        invocations = Invocations(self._pool, self._limits, self._settings.accept)
        monitor = Monitor(self._pool, _tell if self._settings.log else lambda line: None)
        return listener(application(invocations, monitor), self._limits), invocations

    async def _announce(self, sock: socket.socket) -> None:
        await self._pool.prepared.wait()
        host, port = sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        with contextlib.suppress(OSError):  # nobody reads it
            print(f"serving {self._settings.model} at http://{shown}:{port}/ (Ctrl-C ends it)", flush=True)
        if self._on_ready:
            self._on_ready(port)

    async def _finish(self, invocations: Invocations) -> None:
        """Answer what is in hand, unless that takes too long or a second signal comes."""
        invocations.draining = True
        waiting = [asyncio.create_task(invocations.finished()), asyncio.create_task(self._hurried.wait())]
        await asyncio.wait(waiting, timeout=self._limits.finish_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    def _signalled(self) -> None:
        (self._hurried if self._told_to_end.is_set() else self._told_to_end).set()


def _tell(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        print(line, file=sys.stderr, flush=True)
