"""Worker processes, restarted when one crashes, and the queue of invocations before them.

A crashed worker's invocation is given to another worker once; an invocation that crashes two workers fails. Everything
runs on one asyncio loop without blocking it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagemaker_semseg.errors import AlgorithmError, Fault, SemSegError, UserError
from sagemaker_semseg.serving import worker_protocol
from sagemaker_semseg.serving.http_errors import Overloaded

MAX_ATTEMPTS = 2
"""Workers that one invocation may crash."""

MAX_FAILED_STARTS = 3
"""Consecutive workers that may crash before they are ready."""

CANCEL_SECONDS = 60.0
"""How long a worker may continue a cancelled invocation before it is killed."""

EXIT_SECONDS = 2.0
"""How long a worker may take to exit once its socket is closed; it needs milliseconds."""

# Workers import from this process's module path. With -m, the current folder would come first.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from sagemaker_semseg.serving.worker import main; main()"


@dataclass(frozen=True)
class InferenceResponse:
    """A worker's response: HTTP status, Content-Type, the body in pieces, and seconds by stage, including ``queue``."""

    status: int
    content_type: str
    body: list[bytes]
    seconds: dict[str, float]


@dataclass(eq=False)
class InferenceTask:
    """A request's body, the fields of the ``ResponseFormat``, and the future response."""

    id: int
    response_format: dict[str, str]
    body: list[bytes]
    response: asyncio.Future[InferenceResponse]
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0
    attempts: int = 0


class WorkerProcess:
    """A worker process and this side of its socket."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket):
        self.process, self._sock = process, sock
        self.task: InferenceTask | None = None
        self._writing = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, command: Sequence[str], variables: Mapping[str, str]) -> WorkerProcess:
        near, far = socket.socketpair()
        near.setblocking(False)
        with far:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    str(far.fileno()),
                    pass_fds=[far.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    env=variables,
                    start_new_session=True,  # Ctrl-C in a terminal goes to the server alone
                )
            except BaseException:
                near.close()
                raise
        return cls(process, near)

    def send(self, header: worker_protocol.Header, payload: Sequence[bytes] = ()) -> None:
        """Sends a message in the background; messages keep their order."""
        task = asyncio.create_task(self._send(header, payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, header: worker_protocol.Header, payload: Sequence[bytes]) -> None:
        async with self._writing:
            # ``receive`` notices that the worker has crashed
            with contextlib.suppress(OSError):
                await worker_protocol.send(self._sock, header, payload)

    async def receive(self) -> tuple[worker_protocol.Header, list[bytes]]:
        """Raises ``EOFError`` when the worker has crashed."""
        try:
            return await worker_protocol.receive(self._sock)
        except OSError as error:
            raise EOFError from error

    async def terminate(self) -> str:
        """Closes the socket, upon which a worker exits; returns how it exited."""
        for task in self._sending:  # the loop must not wait for a closed descriptor
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._sock.close()
        try:
            await asyncio.wait_for(self.process.wait(), EXIT_SECONDS)
        except asyncio.TimeoutError:
            self.kill()
            await self.process.wait()
        status = self.process.returncode or 0
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def kill_if_running(self, task_id: int) -> None:
        if self.task and self.task.id == task_id:
            self.kill()


class WorkerPool:
    """Workers with the same model, and the tasks that wait for one.

    Args:
        first: The first message to each worker, with the model and its options.
        workers: Their number.
        queue: How many tasks may wait.
        variables: The workers' environment.
        log: Writes a line to the log.
        command: Another program than ``worker``, for tests.
    """

    def __init__(
        self,
        first: worker_protocol.Header,
        *,
        workers: int,
        queue: int,
        variables: Mapping[str, str],
        log: Callable[[str], None],
        command: Sequence[str] = (),
    ):
        self.size, self.queue = workers, queue
        self.model: dict[str, Any] = {}  # its description, once a worker is ready
        self.first_ready = asyncio.Event()
        self.restarts = 0
        self._first, self._variables, self._log = first, variables, log
        self._command = command or (sys.executable, "-c", _PROGRAM.format(path=sys.path))
        self._ids = itertools.count(1)
        self._waiting: deque[InferenceTask] = deque()
        self._ready: list[WorkerProcess] = []
        self._supervisors: list[asyncio.Task[None]] = []
        self._terminations: set[asyncio.Task[str]] = set()
        self._closed = False

    @property
    def ready(self) -> int:
        """The number of workers that have completed a warm-up."""
        return len(self._ready)

    @property
    def busy(self) -> int:
        return sum(worker.task is not None for worker in self._ready)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a new task would have to wait and the queue has no room."""
        return self.waiting >= self.queue and all(worker.task for worker in self._ready)

    async def supervise(self) -> None:
        """Starts the workers and restarts those that crash, until ``close``.

        Raises ``UserError`` if the model can't be used, ``AlgorithmError`` if workers crash before they are ready.
        """
        self._supervisors = [asyncio.create_task(self._supervise()) for _ in range(self.size)]
        done, _ = await asyncio.wait(self._supervisors, return_when=asyncio.FIRST_EXCEPTION)
        for supervisor in done:
            if not supervisor.cancelled():
                supervisor.result()

    async def run(self, response_format: dict[str, str], body: list[bytes]) -> InferenceResponse:
        """Queues a request's body and returns a worker's response. Cancelling the caller cancels the task.

        Args:
            response_format: The fields of a ``ResponseFormat``.
            body: The body in pieces.

        Raises:
            Overloaded: The queue is full, or the server shuts down.
            AlgorithmError: The body crashed ``MAX_ATTEMPTS`` workers.
        """
        if self.full or self._closed:
            raise Overloaded()
        task = InferenceTask(next(self._ids), response_format, body, asyncio.get_running_loop().create_future())
        self._waiting.append(task)
        self._assign_tasks()
        try:
            return await task.response
        finally:
            if task.response.cancelled():
                self._cancel(task)

    async def close(self) -> None:
        """Terminates the workers; unfinished tasks raise ``Overloaded``."""
        self._closed = True
        for task in [*self._waiting, *(worker.task for worker in self._ready if worker.task)]:
            _fail(task, Overloaded())
        self._waiting.clear()
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        await asyncio.gather(*self._terminations, return_exceptions=True)

    async def _supervise(self) -> None:
        """Keeps one worker running: starts it, dispatches tasks to it, and starts another when it crashes."""
        failed, how = 0, ""
        while failed < MAX_FAILED_STARTS:
            worker = await WorkerProcess.start(self._command, self._variables)
            reason = ""
            try:
                worker.send(self._first)
                self._handshake((await worker.receive())[0])
                self._ready.append(worker)
                failed = -1
                await self._dispatch(worker)
            except EOFError:
                pass
            except AlgorithmError as error:
                reason = f": {error.message}"
            finally:
                how = await self._terminate(worker)
            failed += 1
            self.restarts += 1
            self._log(f"worker {worker.process.pid} {how}{reason}")
        raise AlgorithmError(f"{failed} workers in a row died before they were ready; the last one {how}")

    def _handshake(self, header: worker_protocol.Header) -> None:
        if "error" in header:
            faults = [Fault(*fault) for fault in header["faults"]]
            raise (UserError if header["user_error"] else AlgorithmError)(header["error"], faults)
        if self.model and header["model"] != self.model:
            raise UserError("the model was replaced by another one while it was being served; start the server again")
        self.model = header["model"]
        self.first_ready.set()

    async def _dispatch(self, worker: WorkerProcess) -> None:
        """Dispatches tasks to a ready worker until it crashes (``EOFError``)."""
        while True:
            self._assign_tasks()
            _complete(worker, *await worker.receive())  # a name would keep the last body in memory

    async def _terminate(self, worker: WorkerProcess) -> str:
        with contextlib.suppress(ValueError):
            self._ready.remove(worker)
        task, worker.task = worker.task, None
        if task and not task.response.done():
            if task.attempts < MAX_ATTEMPTS and not self._closed:
                self._waiting.appendleft(task)
                self._assign_tasks()
            else:
                _fail(task, AlgorithmError("the process that worked on the request has died"))
        termination = asyncio.create_task(worker.terminate())  # also if the supervisor is cancelled meanwhile
        self._terminations.add(termination)
        termination.add_done_callback(self._terminations.discard)
        return await asyncio.shield(termination)

    def _assign_tasks(self) -> None:
        for worker in self._ready:
            if not self._waiting:
                return
            if worker.task is None:
                task = worker.task = self._waiting.popleft()
                task.started_at, task.attempts = time.monotonic(), task.attempts + 1
                worker.send({"id": task.id, "response_format": task.response_format}, task.body)

    def _cancel(self, task: InferenceTask) -> None:
        if task in self._waiting:
            self._waiting.remove(task)
        for worker in self._ready:
            if worker.task is task:
                worker.send({"cancel": task.id})
                # the id only: the task would keep its body in memory
                asyncio.get_running_loop().call_later(CANCEL_SECONDS, worker.kill_if_running, task.id)


def _complete(worker: WorkerProcess, header: worker_protocol.Header, body: list[bytes]) -> None:
    """Sets the response of the worker's task, unless the task was cancelled."""
    task, worker.task = worker.task, None
    assert task is not None
    assert task.id == header["id"]
    if not task.response.done():
        seconds = {"queue": task.started_at - task.queued_at, **header["seconds"]}
        task.response.set_result(InferenceResponse(header["status"], header["content_type"], body, seconds))


def _fail(task: InferenceTask, error: SemSegError) -> None:
    if not task.response.done():
        task.response.set_exception(error)
