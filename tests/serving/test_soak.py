"""The soak test itself, and that it would notice: against a server that is wrong in one way at a time."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ERROR = {"status": 400, "type": "BadRequest", "message": "no"}


@pytest.fixture
def soak(monkeypatch):
    """The clients' module, with a few of the hostile requests."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import soak_attacks
    import soak_clients

    # those that a server of a few lines can judge
    monkeypatch.setattr(soak_attacks, "BAD_MANNERS", {})
    monkeypatch.setattr(soak_attacks, "BAD_REQUESTS", {"empty body": soak_attacks.BAD_REQUESTS["empty body"]})
    monkeypatch.setattr(soak_clients, "PATIENCE_SECONDS", 0.3)
    return soak_clients


class Right:
    """Stands in for ``soak_offline.Offline``: the right reply to a sample is its own bytes."""

    def __init__(self, module):
        self.samples = [module.Sample("one", "image/png", b"x" * 50)]

    def fault(self, sample, accept, reply):
        return "" if reply.body == sample.data else "other bytes"


def served(status, body, **headers):
    fields = {"Content-Length": len(body), **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def refusal(**other):
    return served(400, json.dumps({"error": {**ERROR, **other}}).encode())


def replies_of(module, answer):
    """What the clients say of a server that answers each request's body with the bytes ``answer(body)``."""

    async def client(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length:"))
                reply = answer(await reader.readexactly(length))
                if reply is None:
                    return
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def run():
        server = await asyncio.start_server(client, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await module.run_clients(port, Right(module), 0.4, 4, 0, print)
        finally:
            server.close()

    return asyncio.run(run())


def test_a_server_without_fault_has_none(soak):
    tally = replies_of(soak, lambda body: served(200, body) if body else refusal())
    assert tally.faults == 0, tally.first_faults
    assert tally.number(good=True) > 20
    assert tally.counts["empty body", "400"] > 0
    assert 0.1 < tally.number(good=False) / tally.counts.total() < 0.3


def test_a_client_that_is_refused_asks_again(soak):
    answers = iter([served(503, b"{}", Retry_After=0)] * 3)
    tally = replies_of(soak, lambda body: next(answers, None) or (served(200, body) if body else refusal()))
    assert tally.faults == 0, tally.first_faults
    assert tally.number(good=True, overloaded=True) + tally.counts["empty body", "503"] == 3


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (lambda body: served(200, body[:-1] + b"y"), refusal, "other bytes"),
        (lambda body: served(500, b"{}"), refusal, "500, (200,) are expected"),
        (lambda body: served(503, b"{}"), refusal, "503 without Retry-After"),
        (lambda body: None, refusal, "closed without a reply"),
        (lambda body: served(200, body)[:-1], refusal, "no answer"),
        (lambda body: served(200, body), lambda: served(500, b"{}"), "500, (400,) are expected"),
        (lambda body: served(200, body), lambda: served(200, b""), "200, (400,) are expected"),
        (lambda body: served(200, body), lambda: served(400, b"oops"), "no error"),
        (lambda body: served(200, body), lambda: refusal(message="Traceback"), "no error"),
        (lambda body: served(200, body), lambda: refusal(status=404), "no error"),
    ],
)
def test_what_is_wrong_is_noticed(soak, good, bad, message):
    tally = replies_of(soak, lambda body: good(body) if body else bad())
    assert tally.faults > 0
    assert message in tally.first_faults[0]


@pytest.mark.parametrize(("per_second", "flat"), [(0.0, True), (0.01, True), (0.5, False)])
def test_memory_that_grows_is_noticed(soak, per_second, flat):
    from soak_memory import Memory

    memory = Memory(list)
    memory.samples[1] = [(float(second), 100 + per_second * second + 30 * (second < 10)) for second in range(120)]
    assert memory.flat(1) == flat
    assert memory.slope(1) == pytest.approx(3600 * per_second)


@pytest.mark.slow
def test_soak_of_two_minutes(tmp_path):
    command = [sys.executable, BENCHMARKS / "soak.py", "--minutes", "2", "--output", tmp_path / "page.md"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "no**" not in (tmp_path / "page.md").read_text()
