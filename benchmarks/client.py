"""HTTP/1.1 by hand over asyncio streams: a client that can be polite, and can be as rude as a test needs.

Input: bytes to send, whatever they are. Output: the reply, with the times at which it came.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
LINE_BYTES = 2**16


class Closed(Exception):
    """The server closed the connection before a whole reply had come."""


@dataclass(frozen=True)
class Reply:
    """`waited`: seconds from the end of the request to the reply's first byte; `taken`: to its last."""

    status: int
    headers: dict[str, str]
    body: bytes
    waited: float
    taken: float


def request(
    path: str = "/invocations",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    length: object = None,
) -> bytes:
    """A whole request; `length` stands in Content-Length in place of the true one, "" leaves it out."""
    fields = {"Host": HOST, "Content-Length": str(len(body) if length is None else length), **(headers or {})}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


class Connection:
    """One connection, opened at the first use and again after it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, steps: Sequence[bytes | float], pace: float = 0.0) -> Reply:
        """Send bytes and wait seconds, as the steps say, and read one reply, with a pause of `pace` between pieces.

        Raises `Closed`. Where the server answers before all was sent, its reply counts.
        """
        try:
            await self.send(steps)
        except OSError:
            pass  # it may have answered nevertheless
        return await self.reply(pace)

    async def send(self, steps: Sequence[bytes | float]) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=LINE_BYTES)
        writer = self._streams[1]
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)

    async def reply(self, pace: float = 0.0) -> Reply:
        """The next reply. Raises `Closed`."""
        if self._streams is None:
            raise Closed
        begun = time.perf_counter()
        try:
            return await self._reply(self._streams[0], begun, pace)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            self.close()
            raise Closed(repr(error)) from error

    async def _reply(self, reader: asyncio.StreamReader, begun: float, pace: float) -> Reply:
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            waited = time.perf_counter() - begun
            status = int(lines[0].split(" ")[1])
            if status != 100:
                break
        fields = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        if headers.get("transfer-encoding") == "chunked":
            body = await _chunks(reader)
        else:
            body = await _exactly(reader, int(headers.get("content-length", 0)), pace)
        if headers.get("connection") == "close":
            self.close()
        return Reply(status, headers, body, waited, time.perf_counter() - begun)

    def close(self) -> None:
        """At once, unread bytes or not; safe to call at any time."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _exactly(reader: asyncio.StreamReader, count: int, pace: float) -> bytes:
    if not pace:
        return await reader.readexactly(count)
    body = bytearray()
    while len(body) < count:
        await asyncio.sleep(pace)
        body += await reader.readexactly(min(LINE_BYTES, count - len(body)))
    return bytes(body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return bytes(body)


def parts(body: bytes, count: int, seconds: float) -> list[Any]:
    """`body` in `count` pieces over so many seconds, as steps to send."""
    size = -(-len(body) // count)
    steps: list[Any] = []
    for first in range(0, len(body), size):
        steps += [body[first : first + size], seconds / count]
    return steps
