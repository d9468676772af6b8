"""Both ends of a socket read what the other has written."""

import asyncio
import socket

import pytest

from sagemaker_semseg.serving import worker_protocol

LARGE = bytes(range(256)) * 20_000


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


@pytest.mark.parametrize("payload", [[], [b""], [b"abc", b"", b"d"], [LARGE, LARGE[:7]]])
def test_from_one_end_to_the_other_and_back(pair, payload):
    near, far = pair

    async def exchange():
        loop = asyncio.get_running_loop()
        stream = far.makefile("rb")
        reading = loop.run_in_executor(None, worker_protocol.read, stream)
        await worker_protocol.send(near, {"id": 1, "name": "ü"}, payload)
        header, body = await reading
        # an array's bytes go out as they are, whatever its shape
        parts = [memoryview(part).cast("H") if len(part) % 2 == 0 and part else part for part in payload]
        writing = loop.run_in_executor(None, worker_protocol.write, far, header, parts)
        again = await worker_protocol.receive(near)
        await writing
        stream.close()
        return header, body, again

    header, body, (header_again, pieces) = asyncio.run(exchange())
    assert header == header_again == {"id": 1, "name": "ü"}
    assert body == b"".join(pieces) == b"".join(payload)


@pytest.mark.parametrize("cut", [0, 5, 12, 20, 200])
def test_an_end_in_the_middle(pair, cut):
    near, far = pair
    whole = bytearray()

    class Recorder:
        sendall = staticmethod(whole.extend)

    worker_protocol.write(Recorder(), {"id": 1, "text": "x" * 50}, [b"y" * 500])
    far.sendall(whole[:cut])
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        asyncio.run(worker_protocol.receive(near))

    near.setblocking(True)
    near.sendall(whole[:cut])
    near.shutdown(socket.SHUT_WR)
    with far.makefile("rb") as stream, pytest.raises(EOFError):
        worker_protocol.read(stream)
