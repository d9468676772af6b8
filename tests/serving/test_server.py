"""A server as a process of its own, and clients on bare sockets: good ones, slow ones, broken ones, hostile ones."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PROGRAM = Path(__file__).with_name("serve_stand_in.py")
PATIENCE = 300
"""Seconds: what takes longer hangs."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


class Server:
    def __init__(self, folder, limits, settings):
        self.port, self.folder = free_port(), folder
        options = {"folder": str(folder.path), **settings.pop("options", {})}
        settings = {"port": self.port, "workers": 1, "threads": 1, "options": options, **settings}
        given = json.dumps({"settings": settings, "limits": limits})
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, str(PROGRAM), given], **pipes)

    def connect(self):
        return Client(socket.create_connection(("127.0.0.1", self.port), PATIENCE))

    def ask(self, *request, **more):
        with contextlib.closing(self.connect()) as client:
            return client.ask(*request, **more)

    def ping(self):
        try:
            return self.ask("GET", "/ping")[0]
        except OSError:
            return 0

    def metric(self, line):
        text = self.ask("GET", "/metrics")[2].decode()
        return next((float(found.rpartition(" ")[2]) for found in text.splitlines() if found.startswith(line)), 0.0)

    def end(self, number=signal.SIGTERM):
        """(exit status, standard output, standard error), after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


class _Kept(io.BufferedReader):
    """What has been read ahead belongs to the next reply, so one reply doesn't close it."""

    def close(self):
        pass


class Client:
    """A connection on which a test writes what it likes."""

    def __init__(self, sock):
        self.sock = sock
        self.file = _Kept(socket.SocketIO(sock, "r"))

    def makefile(self, mode):
        return self.file

    def close(self):
        self.sock.close()

    def send(self, *parts):
        for part in parts:
            self.sock.sendall(part)

    def begin(self, image, **headers):
        """An invocation that is sent and not answered yet."""
        self.send(head("POST", "/invocations", **{"Content-Length": len(image), **headers}), image)

    def reply(self, method="POST"):
        """(status, headers, body)"""
        response = http.client.HTTPResponse(self, method=method)
        response.begin()
        return response.status, response.headers, response.read()

    def ask(self, method, path, body=b"", **headers):
        self.send(head(method, path, **{"Content-Length": len(body), **headers}), body)
        return self.reply(method)

    def ended(self):
        """Whether the server has closed the connection, after what it still sends."""
        try:
            while self.file.read1(1 << 16):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


def head(method, path, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def error_of(reply):
    status, headers, body = reply
    assert headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert error["status"] == status
    return status, error["type"]


def mask_of(reply):
    assert (reply[0], reply[1]["content-type"]) == (200, "image/png"), reply
    with Image.open(io.BytesIO(reply[2])) as mask:
        return np.asarray(mask)


@pytest.fixture
def start(folder):
    """Start servers, ready ones by default. Afterwards none of their processes is left."""
    servers = []

    def start(*, ready=True, limits=None, **settings):
        servers.append(server := Server(folder, limits or {}, settings))
        if ready:
            until(lambda: server.process.poll() is not None or server.ping() == 200)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()
    until(lambda: not [process for process in folder.events("started") if alive(process)])


@pytest.fixture(scope="module")
def server(make_folder):
    """One for all tests that leave it as it was. It waits for clients on a busy machine."""
    patient = ("header", "idle", "stall", "grace", "write", "discard", "finish")
    limits = {f"{name}_seconds": PATIENCE for name in patient}
    yield from running(make_folder(), {"body_bytes": 40_000_000, **limits})


@pytest.fixture(scope="module")
def impatient_server(make_folder):
    """One that doesn't wait for slow clients."""
    yield from running(make_folder(), {"header_seconds": 2, "stall_seconds": 2})


def running(folder, limits):
    server = Server(folder, limits, {"queue": 100})
    try:
        until(lambda: server.process.poll() is not None or server.ping() == 200)
        yield server
        assert server.ping() == 200
        assert server.metric("semseg_worker_restarts_total") == 0
        status, _, err = server.end()
        assert status == 0
        assert "Traceback" not in err
    finally:
        server.process.kill()
        server.process.communicate()


# ---- good requests


def test_masks_over_one_connection(server, images):
    with contextlib.closing(server.connect()) as client:
        for seed in range(3):
            image = images.png(seed=seed, height=100, width=300)
            assert np.array_equal(mask_of(client.ask("POST", "/invocations", image)), images.labels(image))
        assert client.ask("GET", "/ping")[::2] == (200, b"")


def test_probabilities(server, images):
    image = images.png(height=600, width=800)
    status, headers, body = server.ask("POST", "/invocations", image, Accept="application/x-npy")
    assert (status, headers["content-type"]) == (200, "application/x-npy")
    assert np.array_equal(np.load(io.BytesIO(body))[0].argmax(0), images.labels(image))


def test_a_chunked_body(server, images):
    image = images.png(height=50, width=50)
    parts = [image[:1], image[1:100], image[100:]]
    chunks = [f"{len(part):X};x=y\r\n".encode() + part + b"\r\n" for part in parts]
    with contextlib.closing(server.connect()) as client:
        for _ in range(2):
            client.send(head("POST", "/invocations", **{"Transfer-Encoding": "chunked"}), *chunks, b"0\r\n\r\n")
            assert np.array_equal(mask_of(client.reply()), images.labels(image))


def test_requests_sent_before_the_first_is_answered(server, images):
    several = [images.png(seed=seed) for seed in range(5)]
    with contextlib.closing(server.connect()) as client:
        client.send(b"".join(head("POST", "/invocations", **{"Content-Length": len(i)}) + i for i in several))
        for image in several:
            assert np.array_equal(mask_of(client.reply()), images.labels(image))


def test_a_client_that_waits_to_be_asked_for_the_body(server, images):
    image = images.png()
    with contextlib.closing(server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Content-Length": len(image), "Expect": "100-continue"}))
        assert client.sock.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        client.send(image)
        assert np.array_equal(mask_of(client.reply()), images.labels(image))
    with contextlib.closing(server.connect()) as client:
        headers = {"Content-Length": len(image), "Expect": "100-continue", "Accept": "text/html"}
        client.send(head("POST", "/invocations", **headers))
        assert error_of(client.reply()) == (406, "NotAcceptable")
        assert client.ended()


def test_http_1_0(server, images):
    image = images.png()
    with contextlib.closing(server.connect()) as client:
        client.send(f"POST /invocations HTTP/1.0\r\nContent-Length: {len(image)}\r\n\r\n".encode(), image)
        assert np.array_equal(mask_of(client.reply()), images.labels(image))
        assert client.ended()


def test_in_parallel_as_one_after_another(server, images):
    several = [images.png(seed=seed, height=10 + seed, width=90 - seed) for seed in range(64)]

    def ask(image):
        return server.ask("POST", "/invocations", image)

    one_by_one = [ask(image)[2] for image in several]
    with concurrent.futures.ThreadPoolExecutor(64) as executor:
        at_once = list(executor.map(ask, several))
    assert [status for status, _, _ in at_once] == [200] * 64
    assert [body for _, _, body in at_once] == one_by_one
    assert len(set(one_by_one)) == 64


# ---- bodies and lengths


def test_a_length_that_is_too_small(server, images):
    """What follows is taken for the next request, and isn't one."""
    image = images.png()
    with contextlib.closing(server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Content-Length": len(image) - 20}), image, b"\r\n\r\n")
        assert error_of(client.reply()) == (400, "DataError")
        assert error_of(client.reply()) == (400, "BadRequest")
        assert client.ended()


def test_a_length_that_is_too_large(server, impatient_server, images):
    image = images.png()
    with contextlib.closing(impatient_server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Content-Length": len(image) + 1}), image)
        assert error_of(client.reply()) == (408, "RequestTimeout")
    with contextlib.closing(server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Content-Length": len(image) + 1}), image)
        client.sock.shutdown(socket.SHUT_WR)  # it says that there is no more
        assert error_of(client.reply()) == (400, "BadRequest")
        assert client.ended()


def test_a_body_that_ends_after_the_reply(server):
    with contextlib.closing(server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Content-Length": 1000, "Content-Type": "text/plain"}), bytes(10))
        client.sock.shutdown(socket.SHUT_WR)
        assert error_of(client.reply()) == (415, "UnsupportedMediaType")
        assert client.ended()
    with contextlib.closing(server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Transfer-Encoding": "chunked", "Accept": "text/html"}), b"zz\r\n")
        assert error_of(client.reply())[0] in (400, 406)
        assert client.ended()


@pytest.mark.parametrize("length", ["abc", "-5", "1.5", "0x10", "5, 6", "", "9" * 5000, "٣"])
def test_lengths_that_are_none(server, length):
    with contextlib.closing(server.connect()) as client:
        client.send(f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n12345".encode())
        assert client.reply()[0] in (400, 413)


def test_two_lengths(server):
    twice = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345"
    both = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    for request in (twice, both):
        with contextlib.closing(server.connect()) as client:
            client.send(request)
            assert error_of(client.reply()) == (400, "BadRequest")
            assert client.ended()


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\nx\r\n", b"5\r\n1234567\r\n", b"F" * 99 + b"\r\n", bytes(50_000)])
def test_chunks_that_are_none(server, chunk):
    with contextlib.closing(server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Transfer-Encoding": "chunked"}), b"2\r\nab\r\n", chunk)
        assert error_of(client.reply())[0] in (400, 413, 431)
        assert client.ended()


def test_a_body_without_end(server):
    with contextlib.closing(server.connect()) as client:
        client.send(head("POST", "/invocations", **{"Transfer-Encoding": "chunked"}))
        chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 10_000:
                client.send(chunk)
                sent += 1
        assert 40 <= sent < 1000  # four times the limit, and what the system's buffers hold


@pytest.mark.parametrize("more", [{}, {"Connection": "close"}])
def test_a_large_body_that_is_refused_for_its_header(server, more):
    """The client sends all of it before it reads: it gets the reply and no broken connection."""
    with contextlib.closing(server.connect()) as client:
        headers = {"Content-Type": "text/plain", **more}
        assert error_of(client.ask("POST", "/invocations", bytes(30_000_000), **headers))[0] == 415
        if not more:
            assert client.ask("GET", "/ping")[0] == 200
    with contextlib.closing(server.connect()) as client:
        assert error_of(client.ask("POST", "/invocations", bytes(60_000_000), **more)) == (413, "PayloadTooLarge")
    with contextlib.closing(server.connect()) as client:
        assert error_of(client.ask("POST", "/nowhere", bytes(10_000_000), **more)) == (404, "NotFound")


# ---- what is no HTTP, or too much of it


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"\r\n\r\n\r\n\0\0\r\n\r\n",
        b"GET /ping\r\n\r\n",
        b"GET  /ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /pi\0ng HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost : x\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_http(server, request_bytes):
    with contextlib.closing(server.connect()) as client:
        client.send(request_bytes)
        assert error_of(client.reply())[0] in (400, 501)
        assert client.ended()


@pytest.mark.parametrize("size", [33_000, 60_000, 100_000])
def test_headers_that_are_huge_and_complete(server, size):
    """All of it may be there when the server looks, and then the HTTP library takes it."""
    with contextlib.closing(server.connect()) as client:
        with contextlib.suppress(ConnectionError):
            client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"x" * size + b"\r\n\r\n")
        assert error_of(client.reply())[0] == 431


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_headers_that_are_huge(server, size):
    with contextlib.closing(server.connect()) as client:
        client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: ")
        with contextlib.suppress(ConnectionError):
            client.send(b"x" * size)
        assert error_of(client.reply())[0] == 431
    with contextlib.closing(server.connect()) as client:
        client.send(b"GET /" + b"x" * size)
        assert error_of(client.reply())[0] == 431


@pytest.mark.parametrize(
    "path",
    [
        "/endpoints/../invocations",
        "/endpoints/%2e%2e/invocations",
        "/endpoints/a%00b/invocations",
        "/endpoints/a%0d%0ab/invocations",
        "/endpoints/" + "a" * 20_000 + "/invocations",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/../../etc/passwd",
        "//etc/passwd",
        "/ping%2f..%2fmetrics%ff%zz",
        "http://169.254.169.254/latest",
        "*",
    ],
)
def test_paths_lead_nowhere_else(server, path):
    assert error_of(server.ask("POST", path)) == (404, "NotFound")


def test_an_upgrade_is_not_taken_up(server):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": 13}
    assert server.ask("GET", "/ping", **headers)[0] == 200


# ---- clients that take their time, or go


def test_a_header_that_trickles(impatient_server):
    def trickle():
        for letter in itertools.chain("GET /ping HTTP/1.1\r\nX: ", itertools.repeat("x", 20_000)):
            client.send(letter.encode())
            time.sleep(0.1)

    with contextlib.closing(impatient_server.connect()) as client, pytest.raises(ConnectionError):
        trickle()


def test_a_connection_on_which_nothing_comes(impatient_server):
    with contextlib.closing(impatient_server.connect()) as client:
        assert client.ended()


def test_a_client_that_does_not_read(start, images):
    """Its response doesn't stay in memory for long, and its place is free again."""
    server, image = start(limits={"write_seconds": 2}), images.png(height=1500, width=1500)
    with contextlib.closing(server.connect()) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.begin(image, Accept="application/x-npy")
        until(lambda: server.metric('semseg_invocations_total{reply="application/x-npy"'))
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            client.reply()


def test_a_client_that_reads_slowly_gets_everything(start, images):
    """In more time than a client may take without reading anything."""
    server, image = start(limits={"write_seconds": 5}), images.png(height=1200, width=1200)
    with contextlib.closing(server.connect()) as client:
        client.begin(image, Accept="application/x-npy")
        received = bytearray()
        while len(received) < 5 * 4 * 1200 * 1200:
            received += client.sock.recv(500_000)
            time.sleep(0.1)
        assert received.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_goes_in_the_middle_of_its_body(server, images):
    image = images.png()
    for _ in range(20):
        with contextlib.closing(server.connect()) as client:
            client.send(head("POST", "/invocations", **{"Content-Length": len(image)}), image[:-5])
    assert server.ask("POST", "/invocations", image)[0] == 200


def test_more_connections_than_there_is_room_for(start, images):
    """Those that have asked for nothing for longest give way."""
    server = start(limits={"connections": 8, "header_seconds": 600, "idle_seconds": 600})
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(contextlib.closing(server.connect())) for _ in range(30)]
        assert server.ping() == 200
        assert server.ask("POST", "/invocations", images.png())[0] == 200
        assert all(client.ended() for client in crowd[:22])
        assert crowd[-1].ask("GET", "/ping")[0] == 200


# ---- busy workers


def test_a_client_that_goes_while_its_image_is_worked_on(start, images):
    server = start()
    with contextlib.closing(server.connect()) as client:
        client.begin(images.blocks)
        server.folder.await_events("begun")
    server.folder.await_events("cancelled")
    assert server.ask("POST", "/invocations", images.png())[0] == 200


def test_a_client_that_goes_while_its_image_waits(start, images):
    server = start()
    with contextlib.closing(server.connect()) as running, contextlib.closing(server.connect()) as waiting:
        for client, image in ((running, images.blocks), (waiting, images.blocks)):
            client.begin(image)
            server.folder.await_events("begun")
        until(lambda: server.metric("semseg_queue_length") == 1)
        waiting.close()
        until(lambda: server.metric("semseg_queue_length") == 0)
        server.folder.release()
        assert running.reply()[0] == 200
    assert server.ask("POST", "/invocations", images.png())[0] == 200
    assert len(server.folder.events("begun")) == 1


def test_overload(start, images):
    server = start(queue=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(server.connect())) for _ in range(3)]
        for client in clients:
            client.begin(images.blocks)
        until(lambda: server.metric("semseg_queue_length") == 2)
        for _ in range(3):
            reply = server.ask("POST", "/invocations", images.png())
            assert error_of(reply) == (503, "Overloaded")
            assert int(reply[1]["retry-after"]) >= 1
            assert server.ping() == 200
        # one that sends much before it reads
        assert error_of(server.ask("POST", "/invocations", bytes(20_000_000))) == (503, "Overloaded")
        status, _, body = server.ask("POST", "/endpoints/e/invocations", images.png())
        assert (status, json.loads(body)["OriginalStatusCode"]) == (424, 503)
        server.folder.release()
        for client in clients:
            assert client.reply()[0] == 200
    assert server.ask("POST", "/invocations", images.png())[0] == 200


def test_a_worker_that_is_killed_is_replaced(start, images):
    server = start(log=False)
    with contextlib.closing(server.connect()) as client:
        client.begin(images.blocks)
        (process,) = server.folder.await_events("begun")
        os.kill(process, signal.SIGKILL)
        server.folder.release()
        assert client.reply()[0] == 200
    assert server.ping() == 200
    assert server.metric("semseg_worker_restarts_total") == 1
    status, _, err = server.end()
    assert (status, err) == (0, f"worker {process} was ended by SIGKILL\n")


def test_a_request_that_kills_is_answered(start, images):
    server = start()
    assert error_of(server.ask("POST", "/invocations", images.dies)) == (500, "AlgorithmError")
    assert server.ask("POST", "/invocations", images.png())[0] == 200


def test_workers_do_not_hang_on_to_what_they_do_not_need(start, images):
    server = start()
    (worker,) = server.folder.events("started")
    sockets = [os.readlink(path) for path in Path(f"/proc/{worker}/fd").iterdir()]
    assert len([target for target in sockets if target.startswith("socket:")]) == 1


# ---- from start to end


def test_from_start_to_ready(start, images):
    server = start(ready=False, options={"start": "wait"})
    until(lambda: server.ping() == 503)
    assert error_of(server.ask("POST", "/invocations", images.png())) == (503, "Overloaded")
    port = server.folder.path / "port"
    assert not port.exists()
    (server.folder.path / "go").touch()
    until(lambda: server.ping() == 200)
    until(lambda: port.exists() and port.read_text() == str(server.port))
    assert server.ask("POST", "/invocations", images.png())[0] == 200
    status, out, err = server.end()
    assert (status, out) == (0, f"serving a model at http://127.0.0.1:{server.port}/ (Ctrl-C ends it)\n")
    assert "POST /invocations 200 " in err


def test_a_server_on_any_free_port_reports_it(start):
    server = start(ready=False, port=0)
    port = server.folder.path / "port"
    server.port = int(until(lambda: port.exists() and port.read_text()))
    assert server.ping() == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_accepted_requests_be_answered(start, images, number):
    server = start(limits={"finish_seconds": 10 * PATIENCE})
    with contextlib.closing(server.connect()) as running, contextlib.closing(server.connect()) as waiting:
        for client, image in ((running, images.blocks), (waiting, images.png())):
            client.begin(image)
            server.folder.await_events("begun")
        until(lambda: server.metric("semseg_queue_length") == 1)
        server.process.send_signal(number)
        until(lambda: server.ping() == 503)
        assert error_of(server.ask("POST", "/invocations", images.png())) == (503, "Overloaded")
        server.folder.release()
        assert running.reply()[0] == waiting.reply()[0] == 200
    assert server.process.wait(PATIENCE) == 0  # and not when the time for finishing is over


def test_a_signal_does_not_wait_for_ever(start, images):
    server = start(limits={"finish_seconds": 0.5})
    with contextlib.closing(server.connect()) as client:
        client.begin(images.blocks)
        server.folder.await_events("begun")
        server.process.send_signal(signal.SIGTERM)
        assert error_of(client.reply()) == (503, "Overloaded")
        assert server.process.wait(PATIENCE) == 0


def test_a_second_signal_does_not_wait_at_all(start, images):
    server = start(limits={"finish_seconds": 10 * PATIENCE})
    with contextlib.closing(server.connect()) as client:
        client.begin(images.blocks)
        server.folder.await_events("begun")
        server.process.send_signal(signal.SIGINT)
        until(lambda: server.ping() == 503)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0


def test_a_signal_while_the_model_is_being_loaded(start):
    server = start(ready=False, options={"start": "wait"})
    server.folder.await_events("started")
    assert server.end()[:2] == (0, "")


def test_no_worker_outlives_a_server_that_is_killed(start, images):
    server = start(workers=2)
    with contextlib.closing(server.connect()) as client:
        client.begin(images.blocks)
        server.folder.await_events("begun")
        server.process.kill()
        until(lambda: not [process for process in server.folder.events("started") if alive(process)])


def test_a_model_that_can_not_be_used(start):
    server = start(log=False, options={"start": "refuse"})
    status, out, err = server.end()
    assert (status, out) == (2, "")
    assert err == "the model is no good:\n  - model.onnx: is missing (export it)\n"


def test_workers_that_can_not_start(start):
    status, out, err = start(options={"start": "die"}).end()
    assert (status, out) == (1, "")
    assert err.count("ended with status 3") == 4
    assert "3 workers in a row died" in err


def test_an_address_that_can_not_be_had(start, server):
    for settings, expected in (
        ({"port": server.port}, "another program listens there"),
        ({"host": "256.1.1.1"}, "256.1.1.1"),
        ({"host": "192.0.2.1"}, "give an address of this machine"),
    ):
        status, _, err = start(**settings).end()
        assert status == 2
        assert expected in err
        assert err.startswith("No connections can be taken at ")
