"""Admits invocations: refuses, queues, runs or cancels each one.

A request is refused as early as possible: for lack of room, for its header, for its size, for its rate. A worker gets
only what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Coroutine, Iterator
from typing import Any

from starlette.datastructures import Headers

from sagemaker_semseg.serving.content_negotiation import check_content_type, choose_response_format
from sagemaker_semseg.serving.http_errors import BadRequest, Overloaded
from sagemaker_semseg.serving.limits import Limits
from sagemaker_semseg.serving.middleware import check_echoed_headers
from sagemaker_semseg.serving.pool import InferenceResponse, WorkerPool
from sagemaker_semseg.serving.request_body import ClientDisconnected, RequestBody


class AdmissionControl:
    """The invocations in flight and the room for more. accept: the default Accept header."""

    def __init__(self, pool: WorkerPool, limits: Limits, accept: str):
        self.pool, self.limits, self.accept = pool, limits, accept
        self.draining = False
        """The server shuts down: invocations in flight are answered, new ones are refused."""
        self._count = self._bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def healthy(self) -> bool:
        return self.pool.ready > 0 and not self.draining

    async def wait_until_idle(self) -> None:
        """Returns when no invocation is in flight."""
        await self._idle.wait()

    @contextlib.contextmanager
    def in_flight(self) -> Iterator[Invocation]:
        """Counts an invocation until its response has been sent. Raises ``Overloaded`` if there is no room for it."""
        if self.draining or not self.pool.model or self.pool.full or self._count >= self.limits.invocations:
            raise Overloaded()
        invocation = Invocation(self)
        self._count += 1
        self._idle.clear()
        try:
            yield invocation
        finally:
            invocation.reserve(-invocation.bytes)
            self._count -= 1
            if not self._count:
                self._idle.set()

    def reserve(self, size: int) -> None:
        """Counts bytes in memory. Raises ``Overloaded`` if there are too many."""
        self._bytes += size
        if size > 0 and self._bytes > self.limits.held_bytes:
            raise Overloaded()


class Invocation:
    """One invocation in flight and the bytes that it keeps in memory."""

    def __init__(self, admission: AdmissionControl):
        self._admission = admission
        self.bytes = 0

    def reserve(self, size: int) -> None:
        self.bytes += size
        self._admission.reserve(size)

    async def run(self, headers: Headers, body: RequestBody) -> InferenceResponse:
        """Checks the request and has a worker process it.

        Raises ``SemSegError`` with an HTTP status, and ``ClientDisconnected``.
        """
        check_echoed_headers(headers)
        check_content_type(headers.get("content-type"))
        accept = ",".join(headers.getlist("accept"))
        response_format = choose_response_format(accept or None, self._admission.accept)
        body.check_declared_length()
        image = await body.read(self.reserve)
        if not any(image):
            raise BadRequest("The body is empty; a JPEG or PNG is expected.")
        work = self._admission.pool.run(dataclasses.asdict(response_format), image)
        response = await _unless_disconnected(body, work)
        # the work is done: its response is sent even if there is no room for it
        with contextlib.suppress(Overloaded):
            self.reserve(sum(map(len, response.body)))
        return response


async def _unless_disconnected(body: RequestBody, work: Coroutine[Any, Any, InferenceResponse]) -> InferenceResponse:
    """The result of ``work``, which is cancelled when the client disconnects. Raises ``ClientDisconnected`` then."""
    working, gone = asyncio.create_task(work), asyncio.create_task(body.wait_for_disconnect())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnected
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)
