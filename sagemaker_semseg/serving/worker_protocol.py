"""Messages between the server and its workers: a small JSON object and bytes, over a socket.

    4 bytes, length of the JSON · 8 bytes, length of the payload · JSON · payload

    server -> worker  {model, options}                       first
    worker -> server  {model: {...}}                         when it is ready, after a warm-up
                      {error, faults, user_error}            or when the model can't be used; then it exits
    server -> worker  {id, response_format} and a request's body
    worker -> server  {id, status, content_type, seconds} and the response's body, or {id} if it was cancelled
    server -> worker  {cancel: id}                           at any time

Both ends are this package's own, so a message is only checked for being complete.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

Bytes = bytes | bytearray | memoryview
Header = dict[str, Any]

_LENGTHS = struct.Struct(">IQ")
_PIECE = 1 << 18


def read(stream: BinaryIO) -> tuple[Header, bytes]:
    """Reads the next message. Raises ``EOFError`` where the other end has closed the socket."""
    header_bytes, payload_bytes = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    header: Header = json.loads(_exactly(stream, header_bytes))
    return header, _exactly(stream, payload_bytes)


def write(sock: socket.socket, header: Header, payload: Sequence[Bytes] = ()) -> None:
    """Writes a message to a blocking socket."""
    sock.sendall(_head(header, sum(memoryview(part).nbytes for part in payload)))
    for part in payload:
        sock.sendall(part)


async def receive(sock: socket.socket) -> tuple[Header, list[bytes]]:
    """Reads the next message from a non-blocking socket; the payload stays in the pieces received."""
    header_bytes, payload_bytes = _LENGTHS.unpack(b"".join(await _pieces(sock, _LENGTHS.size)))
    header: Header = json.loads(b"".join(await _pieces(sock, header_bytes)))
    return header, await _pieces(sock, payload_bytes)


async def send(sock: socket.socket, header: Header, payload: Sequence[bytes] = ()) -> None:
    """Writes a message to a non-blocking socket."""
    loop = asyncio.get_running_loop()
    for part in (_head(header, sum(map(len, payload))), *payload):
        await loop.sock_sendall(sock, part)


def _head(header: Header, payload_bytes: int) -> bytes:
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), payload_bytes) + text


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


async def _pieces(sock: socket.socket, count: int) -> list[bytes]:
    loop, pieces = asyncio.get_running_loop(), []
    while count:
        piece = await loop.sock_recv(sock, min(count, _PIECE))
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return pieces
