"""The workers: a request's body comes in, the reply of whichever worker is free first goes out.

``worker`` has the messages and what the processes do. Here is when they are started, which job each gets, and what
happens when one dies: another takes its place and its job, once; a job that has cost two workers fails. Called by
``invocations`` and ``server``, on one asyncio loop; nothing here blocks.
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

MAX_TRIES = 2
"""Workers that may die of one job."""

MAX_FAILED_STARTS = 3
"""Workers in a row that may die before they are ready."""

STOP_SECONDS = 60.0
"""How long a worker may go on with a job that nobody wants before it is killed."""

END_SECONDS = 2.0
"""How long a worker has to end itself once its socket is closed; it needs milliseconds."""

# The path of modules is this process's own, wherever that has it from. With -m the current folder would be its first.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from sagemaker_semseg.serving.worker import main; main()"


@dataclass(frozen=True)
class Answer:
    """What a worker made of a job.

    status, content_type, body (in pieces): of the HTTP reply. seconds: by stage, ``queue`` among them.
    """

    status: int
    content_type: str
    body: list[bytes]
    seconds: dict[str, float]


@dataclass(eq=False)
class InferenceTask:
    number: int
    reply: dict[str, str]
    body: list[bytes]
    answer: asyncio.Future[Answer]
    came: float = field(default_factory=time.monotonic)
    begun: float = 0.0
    tries: int = 0


class Worker:
    """The near end of one worker process."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket):
        self.process, self._sock = process, sock
        self.job: InferenceTask | None = None
        self._writing = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, command: Sequence[str], variables: Mapping[str, str]) -> Worker:
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
        """Messages go out in order, while the caller goes on."""
        task = asyncio.create_task(self._send(header, payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, header: worker_protocol.Header, payload: Sequence[bytes]) -> None:
        async with self._writing:
            # that it has died is noticed where its answer is awaited
            with contextlib.suppress(OSError):
                await worker_protocol.send(self._sock, header, payload)

    async def receive(self) -> tuple[worker_protocol.Header, list[bytes]]:
        """Raises ``EOFError`` when the worker has died."""
        try:
            return await worker_protocol.receive(self._sock)
        except OSError as error:
            raise EOFError from error

    async def end(self) -> str:
        """Closes the socket, at which a worker ends; returns how it ended."""
        for task in self._sending:  # the loop must not be left waiting for a descriptor that is closed
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._sock.close()
        try:
            await asyncio.wait_for(self.process.wait(), END_SECONDS)
        except asyncio.TimeoutError:
            self.kill()
            await self.process.wait()
        status = self.process.returncode or 0
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def kill_over(self, number: int) -> None:
        """Kill it if it is still at the job with this number."""
        if self.job and self.job.number == number:
            self.kill()


class Pool:
    """Workers with the same model, and the jobs that wait for one.

    first: the first message to each worker. variables: their environment. queue: how many jobs may wait.
    tell: takes a line for the log. command: another program than ``worker``, for tests.
    """

    def __init__(
        self,
        first: worker_protocol.Header,
        *,
        workers: int,
        queue: int,
        variables: Mapping[str, str],
        tell: Callable[[str], None],
        command: Sequence[str] = (),
    ):
        self.size, self.queue = workers, queue
        self.model: dict[str, Any] = {}  # what the workers say about it, once one is ready
        self.prepared = asyncio.Event()
        """Set when the first worker is ready."""
        self.restarts = 0
        self._first, self._variables, self._tell = first, variables, tell
        self._command = command or (sys.executable, "-c", _PROGRAM.format(path=sys.path))
        self._numbers = itertools.count(1)
        self._waiting: deque[InferenceTask] = deque()
        self._ready: list[Worker] = []
        self._places: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def ready(self) -> int:
        """Workers that have answered a warm-up."""
        return len(self._ready)

    @property
    def busy(self) -> int:
        return sum(worker.job is not None for worker in self._ready)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """A job would have to wait, and there is no room for that."""
        return self.waiting >= self.queue and all(worker.job for worker in self._ready)

    async def keep(self) -> None:
        """Starts the workers and replaces those that die, until ``close``.

        Raises ``UserError`` if the model can't be used, ``AlgorithmError`` if workers die before they are ready.
        """
        self._places = [asyncio.create_task(self._keep_one()) for _ in range(self.size)]
        done, _ = await asyncio.wait(self._places, return_when=asyncio.FIRST_EXCEPTION)
        for place in done:
            if not place.cancelled():
                place.result()

    async def run(self, reply: dict[str, str], body: list[bytes]) -> Answer:
        """The answer to a request's body, given in pieces; ``reply`` are the fields of a ``negotiate.Reply``.

        Raises ``Overloaded`` if the queue is full or the server ends, ``AlgorithmError`` if workers die of it. When
        the caller is cancelled, the job leaves the queue or is stopped.
        """
        if self.full or self._closed:
            raise Overloaded()
        job = InferenceTask(next(self._numbers), reply, body, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._dispatch()
        try:
            return await job.answer
        finally:
            if job.answer.cancelled():
                self._abandon(job)

    async def close(self) -> None:
        """Ends the workers; jobs that are not answered yet raise ``Overloaded``."""
        self._closed = True
        jobs = [*self._waiting, *(worker.job for worker in self._ready if worker.job)]
        for job in jobs:
            _fail(job, Overloaded())
        self._waiting.clear()
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)

    async def _keep_one(self) -> None:
        """One place among the workers, and whoever holds it."""
        failed, how = 0, ""
        while failed < MAX_FAILED_STARTS:
            worker = await Worker.start(self._command, self._variables)
            reason = ""
            try:
                worker.send(self._first)
                self._welcome(await worker.receive())
                self._ready.append(worker)
                failed = -1
                await self._employ(worker)
            except EOFError:
                pass
            except AlgorithmError as error:
                reason = f": {error.message}"
            finally:
                how = await self._dismiss(worker)
            failed += 1
            self.restarts += 1
            self._tell(f"worker {worker.process.pid} {how}{reason}")
        raise AlgorithmError(f"{failed} workers in a row died before they were ready; the last one {how}")

    def _welcome(self, greeting: tuple[worker_protocol.Header, list[bytes]]) -> None:
        header, _ = greeting
        if "error" in header:
            faults = [Fault(*fault) for fault in header["faults"]]
            raise (UserError if header.get("users") else AlgorithmError)(header["error"], faults)
        if self.model and header["model"] != self.model:
            raise UserError("the model was replaced by another one while it was being served; start the server again")
        self.model = header["model"]
        self.prepared.set()

    async def _employ(self, worker: Worker) -> None:
        """Jobs for a worker that is ready, until it dies (``EOFError``)."""
        while True:
            self._dispatch()
            _settle(worker, *await worker.receive())  # no name here: it would hold the last body until the next

    async def _dismiss(self, worker: Worker) -> str:
        with contextlib.suppress(ValueError):
            self._ready.remove(worker)
        job, worker.job = worker.job, None
        if job and not job.answer.done():
            if job.tries < MAX_TRIES and not self._closed:
                self._waiting.appendleft(job)
                self._dispatch()
            else:
                _fail(job, AlgorithmError("the process that worked on the request has died"))
        return await worker.end()

    def _dispatch(self) -> None:
        for worker in self._ready:
            if not self._waiting:
                return
            if worker.job is None:
                job = worker.job = self._waiting.popleft()
                job.begun, job.tries = time.monotonic(), job.tries + 1
                worker.send({"id": job.number, "reply": job.reply}, job.body)

    def _abandon(self, job: InferenceTask) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
        for worker in self._ready:
            if worker.job is job:
                worker.send({"stop": job.number})
                asyncio.get_running_loop().call_later(STOP_SECONDS, worker.kill_over, job.number)


def _settle(worker: Worker, header: worker_protocol.Header, body: list[bytes]) -> None:
    """A worker's answer to its job, which is handed on if somebody still waits for it."""
    job, worker.job = worker.job, None
    assert job is not None
    assert job.number == header["id"]
    if not job.answer.done():
        seconds = {"queue": job.begun - job.came, **header["seconds"]}
        job.answer.set_result(Answer(header["status"], header["content_type"], body, seconds))


def _fail(job: InferenceTask, error: SemSegError) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)
