"""An invocation from its header to its answer: refused, queued, worked on, or given up when the client has gone.

It is refused as early as can be: for want of room, for its header, for its size, for its pace. Only what is left
reaches a worker. Called by ``app`` for both paths that invoke the model, by ``server`` when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Coroutine, Iterator
from typing import Any

from starlette.datastructures import Headers

from sagemaker_semseg.serving.body import Body, ClientDisconnected
from sagemaker_semseg.serving.content_negotiation import choose_reply, request_kind
from sagemaker_semseg.serving.http_errors import BadRequest, Overloaded
from sagemaker_semseg.serving.limits import Limits
from sagemaker_semseg.serving.middleware import check_echoed
from sagemaker_semseg.serving.pool import Answer, Pool


class Invocations:
    """The invocations in hand: begun and not yet answered. accept: the reply for a request that names none."""

    def __init__(self, pool: Pool, limits: Limits, accept: str):
        self.pool, self.limits, self.accept = pool, limits, accept
        self.draining = False
        """The server is about to end: what is in hand is answered, nothing new is taken."""
        self._count = self._bytes = 0
        self._none_in_hand = asyncio.Event()
        self._none_in_hand.set()

    @property
    def healthy(self) -> bool:
        return self.pool.ready > 0 and not self.draining

    async def finished(self) -> None:
        """Returns when none is in hand."""
        await self._none_in_hand.wait()

    @contextlib.contextmanager
    def in_hand(self) -> Iterator[Invocation]:
        """An invocation, until its reply has been sent. Raises ``Overloaded`` if there is no room for it."""
        if self.draining or not self.pool.model or self.pool.full or self._count >= self.limits.invocations:
            raise Overloaded()
        invocation = Invocation(self)
        self._count += 1
        self._none_in_hand.clear()
        try:
            yield invocation
        finally:
            invocation.hold(-invocation.bytes)
            self._count -= 1
            if not self._count:
                self._none_in_hand.set()

    def hold(self, size: int) -> None:
        """Count bytes in memory. Raises ``Overloaded`` if those are too many."""
        self._bytes += size
        if size > 0 and self._bytes > self.limits.held_bytes:
            raise Overloaded()


class Invocation:
    def __init__(self, among: Invocations):
        self._among = among
        self.bytes = 0

    def hold(self, size: int) -> None:
        self.bytes += size
        self._among.hold(size)

    async def answer(self, headers: Headers, body: Body) -> Answer:
        """What a worker makes of the request. Raises ``SemSegError`` with an HTTP status, and ``HungUp``."""
        check_echoed(headers)
        request_kind(headers.get("content-type"))
        accept = ",".join(headers.getlist("accept"))
        reply = choose_reply(accept or None, self._among.accept)
        body.check_declared()
        image = await body.read(self.hold)
        if not any(image):
            raise BadRequest("The body is empty; a JPEG or PNG is expected.")
        answer = await _unless_hung_up(body, self._among.pool.run(dataclasses.asdict(reply), image))
        # the work is done: its reply is sent whatever the room
        with contextlib.suppress(Overloaded):
            self.hold(sum(map(len, answer.body)))
        return answer


async def _unless_hung_up(body: Body, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What comes of ``work``, which is given up when the client goes. Raises ``HungUp`` then."""
    working, gone = asyncio.create_task(work), asyncio.create_task(body.hang_up())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnected
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)
