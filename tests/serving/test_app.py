"""The application in process, with a pool that answers at once: statuses, headers, and in which order things happen."""

from __future__ import annotations

import asyncio
import gc
import json
import selectors
import weakref
from types import SimpleNamespace

import httpx
import pytest

from sagemaker_semseg.errors import AlgorithmError
from sagemaker_semseg.serving.admission import AdmissionControl
from sagemaker_semseg.serving.app import create_app
from sagemaker_semseg.serving.http_errors import Overloaded
from sagemaker_semseg.serving.limits import MEGABYTE, Limits
from sagemaker_semseg.serving.pool import InferenceResponse
from sagemaker_semseg.serving.request_metrics import RequestMetrics

CUSTOM, INFERENCE_ID = "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id"
MODEL = {"name": "m", "num_classes": 2, "class_names": ["a", "b"], "palette": [[0, 0, 0], [1, 1, 1]]}


class Pool:
    """Answers with what it was asked for, or with what a test has put there."""

    def __init__(self):
        self.size, self.ready, self.busy, self.waiting, self.restarts = 2, 2, 0, 0, 0
        self.full, self.model = False, {**MODEL, "algorithm": "fcn", "backbone": "resnet-50"}
        self.answer, self.asked = None, []

    async def run(self, reply, body):
        self.asked.append((reply, b"".join(body)))
        if callable(self.answer):
            return await self.answer()
        if isinstance(self.answer, Exception):
            raise self.answer
        seconds = {"queue": 0.0, "decode": 0.01, "inference": 0.1, "encode": 0.02}
        return self.answer or InferenceResponse(200, reply["media_type"], [b"re", b"ply"], seconds)


@pytest.fixture
def server():
    """The application and its parts; ``ask`` sends it a request."""

    class Server(SimpleNamespace):
        def ask(self, method, path, **more):
            async def send():
                transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                    return await client.request(method, path, **more)

            return asyncio.run(send())

        def post(self, body=b"image", headers=(), path="/invocations"):
            return self.ask("POST", path, content=body, headers={"Content-Type": "image/jpeg", **dict(headers)})

    def make(limits=None, accept="image/png"):
        pool, lines = Pool(), []
        admission = AdmissionControl(pool, limits or Limits(), accept)
        app = create_app(admission, RequestMetrics(pool, lines.append))
        return Server(pool=pool, lines=lines, admission=admission, app=app)

    return make


class VirtualTime(selectors.SelectSelector):
    """Lets an event loop's time jump to its next timer, so that no test waits, and none depends on the machine."""

    now = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            self.now += timeout or 0
        return ready


def run_in_virtual_time(coroutine):
    selector = VirtualTime()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def call(app, incoming, headers=(), method="POST", path="/invocations"):
    """The messages that the application sends, and how many of ``incoming`` it has taken. A number is a pause."""
    taken, sent = [], []

    async def receive():
        if len(taken) == len(incoming):
            await asyncio.sleep(3600)
        message = incoming[len(taken)]
        if isinstance(message, float):
            await asyncio.sleep(message)
        taken.append(message)
        return await receive() if isinstance(message, float) else message

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    run_in_virtual_time(asyncio.wait_for(app(scope, receive, send), 60))
    return sent, len(taken)


def piece(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


def error_of(reply, status, kind):
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert (reply.status_code, error["status"], error["type"]) == (status, status, kind)
    assert error["message"]
    return error


# ---- health and the other routes


def test_ping(server):
    served = server()
    assert (served.ask("GET", "/ping").status_code, served.ask("GET", "/ping").content) == (200, b"")
    assert served.ask("HEAD", "/ping").status_code == 200
    served.pool.full = True
    assert served.ask("GET", "/ping").status_code == 200
    served.pool.ready = 0
    assert (served.ask("GET", "/ping").status_code, served.ask("GET", "/ping").content) == (503, b"")
    served.pool.ready, served.admission.draining = 1, True
    assert served.ask("GET", "/ping").status_code == 503


@pytest.mark.parametrize(
    ("workers", "megabytes", "concurrent", "payload"),
    [(1, 100, 1, 100), (2, 100, 2, 50), (3, 100, 3, 33), (4, 6, 4, 6), (200, 100, 100, 1), (1, 1024, 1, 100)],
)
def test_execution_parameters(server, workers, megabytes, concurrent, payload):
    served = server(Limits(body_bytes=megabytes * MEGABYTE))
    served.pool.size = workers
    expected = {"MaxConcurrentTransforms": concurrent, "BatchStrategy": "SingleRecord", "MaxPayloadInMB": payload}
    assert served.ask("GET", "/execution-parameters").json() == expected
    assert concurrent * payload <= 100


def test_the_page(server):
    served = server()
    reply = served.ask("GET", "/")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    served.pool.model = {}
    error_of(served.ask("GET", "/"), 503, "Overloaded")


def test_no_icon(server):
    assert server().ask("GET", "/favicon.ico").status_code == 204


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/invocations/",
        "/invocations/x",
        "/endpoints//invocations",
        "/endpoints/invocations",
        "/endpoints/a/b/invocations",
        "/endpoints/a%2Fb/invocations",
        "/endpoints/%2e%2e/invocations",
        "/endpoints/a%00b/invocations",
        "/endpoints/-a/invocations",
        f"/endpoints/{'a' * 64}/invocations",
        f"/endpoints/{'a' * 9000}/invocations",
        "/endpoints/ü/invocations",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_no_such_path(server, path):
    served = server()
    error_of(served.post(path=path), 404, "NotFound")
    assert served.pool.asked == []


@pytest.mark.parametrize("path", ["/endpoints/../invocations", "//invocations", "/./invocations", "", "*"])
def test_paths_are_taken_as_they_are(server, path):
    """httpx would resolve them."""
    sent, _ = call(server().app, [piece(b"image")], path=path)
    assert sent[0]["status"] == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/invocations", {"POST"}),
        ("PUT", "/endpoints/a/invocations", {"POST"}),
        ("POST", "/ping", {"GET", "HEAD"}),
        ("DELETE", "/", {"GET", "HEAD"}),
        ("OPTIONS", "/invocations", {"POST"}),
    ],
)
def test_methods(server, method, path, allowed):
    reply = server().ask(method, path)
    error_of(reply, 405, "MethodNotAllowed")
    assert set(reply.headers["allow"].split(", ")) == allowed


# ---- invocations


def test_an_invocation(server):
    served = server()
    reply = served.post(b"image", {"Accept": "application/x-npy, image/png;q=0.5"})
    assert (reply.status_code, reply.content) == (200, b"reply")
    assert reply.headers["content-type"] == "application/x-npy"
    assert reply.headers["content-length"] == "5"
    assert served.pool.asked == [({"media_type": "application/x-npy", "dtype": "float32"}, b"image")]


def test_the_reply_for_those_who_name_none(server):
    for accept in ("image/png", "application/x-npy"):
        assert server(accept=accept).post(headers={"Accept": "*/*"}).headers["content-type"] == accept


def test_several_accept_headers_are_one(server):
    headers = [("content-length", "5"), ("accept", "text/html"), ("accept", "application/x-npy")]
    sent, _ = call(server().app, [piece(b"image")], headers)
    assert (b"content-type", b"application/x-npy") in sent[0]["headers"]


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Content-Type": "text/plain"}, 415, "UnsupportedMediaType"),
        ({"Accept": "text/html"}, 406, "NotAcceptable"),
        ({CUSTOM: "x" * 1025}, 400, "BadRequest"),
        ({CUSTOM: "a\tb"}, 400, "BadRequest"),
        ({CUSTOM: "ü".encode()}, 400, "BadRequest"),
        ({INFERENCE_ID: "x" * 65}, 400, "BadRequest"),
        ({"Content-Length": str(100 * MEGABYTE + 1)}, 413, "PayloadTooLarge"),
    ],
)
def test_refused_for_the_header_alone(server, headers, status, kind):
    served = server()
    error_of(served.post(headers=headers), status, kind)
    assert served.pool.asked == []
    # the reply is complete before a byte of the body is taken
    given = {"content-length": "7", **{name.lower(): _text(value) for name, value in headers.items()}}
    app, order = server().app, []

    async def receive():
        order.append("receive")
        return piece(b"")

    async def send(message):
        order.append(message.get("body", b"")[-2:])

    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": raw}
    asyncio.run(app(scope, receive, send))
    assert order == [b"", b"}}", "receive", b""]


def _text(value):
    return value if isinstance(value, str) else value.decode("latin-1")


def test_an_empty_body(server):
    served = server()
    error_of(served.post(b""), 400, "BadRequest")
    assert call(served.app, [piece(b"", True), piece(b"")], [("transfer-encoding", "chunked")])[0][0]["status"] == 400
    assert served.pool.asked == []


def test_a_body_that_is_larger_than_announced_limits(server):
    """A chunked body is counted while it comes, and what is left of it is thrown away within bounds."""
    served = server(Limits(body_bytes=10))
    chunked = [("transfer-encoding", "chunked")]
    sent, taken = call(served.app, [piece(b"12345", True)] * 3 + [piece(b"1")], chunked)
    assert (sent[0]["status"], taken) == (413, 4)
    sent, taken = call(served.app, [piece(b"12345", True)] * 100, chunked)
    assert (sent[0]["status"], taken) == (413, 8)
    sent, _ = call(served.app, [piece(b"12345", True), piece(b"12345")], chunked)
    assert sent[0]["status"] == 200


@pytest.mark.parametrize("incoming", [[], [piece(b"1", True)], [0.05, piece(b"1", True), 0.05, piece(b"1", True)]])
def test_a_body_that_stops(server, incoming):
    served = server(Limits(stall_seconds=0.2, grace_seconds=3600, discard_seconds=0.1))
    sent, _ = call(served.app, incoming, [("content-length", "100")])
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["type"] == "RequestTimeout"


def test_a_body_that_trickles(server):
    """Each byte arrives in time, the whole body doesn't."""
    served = server(Limits(stall_seconds=0.5, grace_seconds=0.3, body_rate=1000, discard_seconds=0.01))
    sent, taken = call(served.app, [0.02, piece(b"1", True)] * 100, [("content-length", "100")])
    assert sent[0]["status"] == 408
    assert taken < 150
    # fast enough
    incoming = [0.02, piece(b"1" * 100, True)] * 30 + [piece(b"1")]
    sent, _ = call(served.app, incoming, [("content-length", "3001")])
    assert sent[0]["status"] == 200


def test_a_client_that_waits_to_be_asked(server):
    """It may never send what it wasn't asked for, so the server does not wait for that."""
    waits = [("content-length", "7"), ("expect", "100-continue")]
    sent, taken = call(server().app, [], [*waits, ("accept", "text/html")])
    assert (sent[0]["status"], taken) == (406, 0)
    assert (b"connection", b"close") in sent[0]["headers"]
    sent, _ = call(server().app, [piece(b"image")], waits)
    assert sent[0]["status"] == 200
    assert (b"connection", b"close") not in sent[0]["headers"]


# ---- headers that come back


def test_echoed_on_success_and_error(server):
    served = server()
    headers = {CUSTOM: "trace=1, user=~", INFERENCE_ID: "7"}
    for more, status in (({}, 200), ({"Accept": "text/html"}, 406)):
        for path in ("/invocations", "/endpoints/a/invocations"):
            reply = served.post(headers={**headers, **more}, path=path)
            assert reply.status_code == (status if status == 200 or path == "/invocations" else 424)
            assert (reply.headers[CUSTOM], reply.headers[INFERENCE_ID]) == ("trace=1, user=~", "7")
    assert CUSTOM not in served.post().headers


def test_what_can_not_be_echoed_is_not(server):
    reply = server().post(headers={CUSTOM: "x" * 1025, INFERENCE_ID: "7"})
    assert reply.status_code == 400
    assert CUSTOM not in reply.headers
    assert reply.headers[INFERENCE_ID] == "7"


# ---- no room


def test_overloaded_before_the_body_is_read(server):
    served = server()
    served.pool.full = True
    reply = served.post()
    error_of(reply, 503, "Overloaded")
    assert int(reply.headers["retry-after"]) >= 1
    assert served.pool.asked == []


def test_not_ready_yet_and_draining(server):
    served = server()
    served.pool.model = {}
    error_of(served.post(), 503, "Overloaded")
    served.pool.model, served.admission.draining = MODEL, True
    error_of(served.post(), 503, "Overloaded")


def test_the_queue_fills_while_a_body_comes(server):
    served = server()
    served.pool.answer = Overloaded()
    reply = served.post()
    error_of(reply, 503, "Overloaded")
    assert "retry-after" in reply.headers


def test_memory_is_bounded_over_all_requests(server):
    served = server(Limits(held_bytes=10))
    error_of(served.post(b"12345678901"), 503, "Overloaded")
    assert served.post(b"1234567890").status_code == 200
    # an answer is sent even so, and nothing is left counted
    served.pool.answer = InferenceResponse(200, "image/png", [b"x" * 100], {})
    for _ in range(3):
        assert served.post(b"1234567890").status_code == 200


def test_so_many_at_a_time(server):
    served = server(Limits(invocations=2))
    with served.admission.in_flight(), served.admission.in_flight():
        error_of(served.post(), 503, "Overloaded")
        assert served.ask("GET", "/ping").status_code == 200
    assert served.post().status_code == 200


def test_waiting_until_idle(server):
    served = server()

    async def check():
        await served.admission.wait_until_idle()
        with served.admission.in_flight():
            waiting = asyncio.create_task(served.admission.wait_until_idle())
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting

    run_in_virtual_time(check())


# ---- what goes wrong


def test_a_workers_refusal_is_the_reply(server):
    served = server()
    served.pool.answer = InferenceResponse(400, "application/json", [b'{"error": ', b"{}}"], {})
    reply = served.post()
    assert (reply.status_code, reply.json()) == (400, {"error": {}})
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("fault", [AlgorithmError("secret"), ZeroDivisionError("secret"), MemoryError("secret")])
def test_an_internal_error_shows_no_details(server, fault):
    served = server()
    served.pool.answer = fault
    reply = served.post()
    error_of(reply, 500, "AlgorithmError")
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text


def test_a_client_that_hangs_up_while_it_sends(server):
    served = server()
    sent, _ = call(served.app, [piece(b"12", True), GONE], [("content-length", "7")])
    assert (sent, served.pool.asked) == ([], [])
    assert " 499 " in served.lines[0]


def test_a_client_that_hangs_up_while_it_waits(server):
    served, ended = server(), []

    async def work():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("stopped")
            raise

    served.pool.answer = work
    sent, _ = call(served.app, [piece(b"image"), GONE], [("content-length", "5")])
    assert (sent, ended) == ([], ["stopped"])
    with served.admission.in_flight() as invocation:
        assert invocation.bytes == 0


def test_nothing_of_an_answered_request_is_kept(server):
    """Not until the garbage collector comes by, either: a reply may have 500 MB."""
    served, kept = server(), []

    async def work():
        answer = InferenceResponse(200, "image/png", [b"reply"], {})
        kept.append(weakref.ref(answer))
        return answer

    class Exchange:
        """As the HTTP library has it, which leads from ``receive`` to ``scope``."""

        def __init__(self):
            self.incoming = [piece(b"image")]
            self.scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b""}
            self.scope["headers"] = [(b"content-length", b"5")]

        async def receive(self):
            if not self.incoming:
                await asyncio.sleep(3600)
            return self.incoming.pop()

        async def send(self, message):
            pass

    served.pool.answer = work
    exchange = Exchange()
    gc.disable()
    try:
        asyncio.run(served.app(exchange.scope, exchange.receive, exchange.send))
        assert kept[0]() is None
    finally:
        gc.enable()


# ---- as SageMaker's runtime


def test_an_endpoint_of_any_name(server):
    for name in ("a", "my-endpoint-2024", "a" * 63):
        reply = server().post(path=f"/endpoints/{name}/invocations")
        assert (reply.status_code, reply.content) == (200, b"reply")
        assert reply.headers["x-amzn-requestid"]


@pytest.mark.parametrize(("given", "status"), [("text/html", 406), ("image/png", 503), ("*/*", 503)])
def test_errors_as_sagemakers_runtime_reports_them(server, given, status):
    served = server()
    served.pool.answer = Overloaded()
    reply = served.post(headers={"Accept": given}, path="/endpoints/mine/invocations")
    assert (reply.status_code, reply.headers["x-amzn-errortype"]) == (424, "ModelError")
    content = reply.json()
    assert set(content) == {"Message", "OriginalMessage", "OriginalStatusCode", "LogStreamArn"}
    assert content["OriginalStatusCode"] == status
    assert json.loads(content["OriginalMessage"])["error"]["status"] == status


def test_faults_as_sagemakers_runtime_reports_them(server):
    served = server()
    for answer, status in (
        (InferenceResponse(400, "application/json", [b"{}"], {}), 400),
        (ZeroDivisionError("secret"), 500),
    ):
        served.pool.answer = answer
        reply = served.post(path="/endpoints/mine/invocations")
        assert (reply.status_code, reply.json()["OriginalStatusCode"]) == (424, status)
        assert "secret" not in reply.text


# ---- what a client reads


def test_metrics(server):
    served = server()
    served.pool.waiting, served.pool.busy, served.pool.restarts = 3, 2, 1
    served.post(b"image")
    served.post(b"image", {"Accept": "application/x-npy"})
    served.post(b"image", {"Accept": "text/html"})
    reply = served.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    for line in (
        'semseg_invocations_total{reply="image/png",status="200"} 1.0',
        'semseg_invocations_total{reply="application/x-npy",status="200"} 1.0',
        'semseg_invocations_total{reply="application/json",status="406"} 1.0',
        'semseg_seconds_count{stage="inference"} 2.0',
        'semseg_seconds_bucket{le="0.01",stage="decode"} 2.0',
        'semseg_seconds_count{stage="total"} 3.0',
        "semseg_received_bytes_total 15.0",
        "semseg_queue_length 3.0",
        "semseg_workers_ready 2.0",
        "semseg_workers_busy 2.0",
        "semseg_worker_restarts_total 1.0",
    ):
        assert line in reply.text.splitlines()


def test_a_line_for_each_request_but_healthy_pings(server):
    served = server()
    served.post(b"image")
    served.ask("GET", "/ping")
    served.pool.ready = 0
    served.ask("GET", "/ping")
    served.ask("GET", "/a%0ab" + "x" * 1000)
    assert served.lines[0].startswith("POST /invocations 200 ")
    assert served.lines[0].endswith(" ms, 5 bytes in, 5 bytes out")
    assert [line.split()[:3] for line in served.lines[1:]] == [
        ["GET", "/ping", "503"],
        ["GET", "/a%0ab" + "x" * 194, "404"],
    ]
