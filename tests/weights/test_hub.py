"""Fetching against a server in this process: what arrives is whole, checked and resumed, whatever the network does."""

from __future__ import annotations

import hashlib
import http.server
import threading
from dataclasses import dataclass, field

import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.weights import hub
from sagemaker_semseg.weights.hub import fetch

DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()
COMMIT = "0123456789abcdef" * 2 + "01234567"


@dataclass
class Script:
    """What the server does: ``cut``: after how many bytes each answer ends; ``codes``: answers before the file's."""

    data: bytes = DATA
    cut: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    linked: str = SHA256
    tag: str = '"one"'
    ranges: bool = True
    redirect: str = ""
    stall: bool = False
    length: bool = True
    claim: int | None = None
    seen: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def url(script):
    release = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            script.seen.append(dict(self.headers))
            self.close_connection = True
            if script.codes:
                return self.reply(script.codes.pop(0), {"Content-Length": "0"})
            if self.path == "/start":
                headers = {"X-Linked-ETag": f'"{script.linked}"', "X-Repo-Commit": COMMIT, "Content-Length": "0"}
                return self.reply(302, {**headers, "Location": script.redirect or "/file"})
            wanted = self.headers.get("Range")
            start = 0
            if script.ranges and wanted and self.headers.get("If-Range", script.tag) == script.tag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(script.data):
                    return self.reply(416, {"Content-Length": "0"})
            size = len(script.data)
            headers = {"ETag": script.tag}
            if script.length:
                headers["Content-Length"] = str(script.claim or size - start)
            if start:
                headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            self.reply(206 if start else 200, headers)
            self.wfile.write(script.data[start:][: script.cut.pop(0) if script.cut else None])
            if script.stall:
                release.wait(600)
            return None

        def reply(self, code, headers):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/start"
        release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "x.safetensors"


def get(url, path, **options):
    return fetch(url, path, **{"pause": 0, "timeout": 600, **options})


def test_a_file_over_a_redirect(url, path, script):
    moves = []
    fetched = get(url, path, on_progress=lambda done, total: moves.append((done, total)))
    assert path.read_bytes() == DATA
    assert (fetched.sha256, fetched.size, fetched.revision, fetched.stated) == (SHA256, len(DATA), COMMIT, True)
    assert moves[-1] == (len(DATA), len(DATA))
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert script.seen[0]["User-Agent"].startswith("sagemaker-semseg/")


def test_resumed_where_it_broke_off(url, path, script):
    script.cut = [100_000, 200_000]
    get(url, path)
    assert path.read_bytes() == DATA
    ranges = [seen.get("Range") for seen in script.seen]
    assert ranges == [None, None, "bytes=100000-", "bytes=100000-", "bytes=300000-", "bytes=300000-"]


def test_resumed_by_a_later_call(url, path, script):
    script.cut = [100_000]
    with pytest.raises(UserError, match=r"the connection ended after 100000 of 1024000 bytes \(try again"):
        get(url, path, attempts=1)
    assert not path.exists()
    get(url, path)
    assert path.read_bytes() == DATA
    assert script.seen[-1]["Range"] == "bytes=100000-"


def test_another_file_is_not_the_rest_of_this_one(url, path, script):
    script.cut = [100_000]
    with pytest.raises(UserError):
        get(url, path, attempts=1)
    script.data, script.tag = DATA[::-1], '"two"'
    script.linked = hashlib.sha256(script.data).hexdigest()
    get(url, path)
    assert path.read_bytes() == DATA[::-1]


def test_a_server_without_ranges(url, path, script):
    script.ranges, script.cut = False, [100_000]
    get(url, path)
    assert path.read_bytes() == DATA


def test_without_a_strong_tag_nothing_is_resumed(url, path, script):
    script.tag, script.cut = 'W/"one"', [100_000]
    get(url, path)
    assert path.read_bytes() == DATA
    assert all("Range" not in seen for seen in script.seen)


def test_a_part_that_is_longer_than_the_file(url, path, script):
    path.parent.mkdir()
    path.with_name("x.safetensors.part").write_bytes(DATA + b"more")
    path.with_name("x.safetensors.part.tag").write_text('"one"')
    get(url, path)
    assert path.read_bytes() == DATA


def test_wrong_bytes(url, path, script):
    """Against the digest that the hub states."""
    script.data = DATA[:-1] + b"x"
    with pytest.raises(UserError, match=f"has the SHA-256 [0-9a-f]{{64}}, {SHA256} is expected"):
        get(url, path)
    assert list(path.parent.glob("*.safetensors*")) == [path.with_name("x.safetensors.part.tag")]


def test_without_any_digest(url, path, script):
    script.linked = "none"
    assert get(url, path).stated is False


def test_a_hub_that_is_busy(url, path, script):
    script.codes = [503, 429]
    get(url, path)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_hub_that_refuses_is_asked_once(url, path, script, code):
    script.codes = [code, code]
    with pytest.raises(UserError, match=f"the hub answers {code}"):
        get(url, path)
    assert len(script.seen) == 1


def test_a_server_that_stalls(url, path, script):
    script.stall, script.cut = True, [10, 10]
    with pytest.raises(UserError, match="timed out"):
        get(url, path, timeout=0.2, attempts=2)


def test_a_file_that_is_too_large(url, path, script, monkeypatch):
    monkeypatch.setattr(hub, "MAX_BYTES", 500_000)
    with pytest.raises(UserError, match="has 1024000 bytes or more, 500000 are the limit"):
        get(url, path)
    assert not path.with_name("x.safetensors.part").stat().st_size
    script.length = False
    with pytest.raises(UserError, match="are the limit"):
        get(url, path)
    assert path.with_name("x.safetensors.part").stat().st_size < 1_000_000


@pytest.mark.parametrize("target", ["http://example.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_redirects_to_elsewhere(url, path, script, target):
    script.redirect = target
    with pytest.raises(UserError, match=r"which is not https|is not allowed"):
        get(url, path)


def test_a_redirect_to_itself(url, path, script):
    script.redirect = "/start"
    with pytest.raises(UserError, match="302"):
        get(url, path, attempts=2)


@pytest.mark.parametrize("address", ["http://example.com/x", "file:///etc/passwd", "x"])
def test_addresses_that_are_not_fetched(path, address):
    with pytest.raises(UserError, match="begins with https"):
        get(address, path)


def test_no_network(path):
    with pytest.raises(UserError, match=r"there is no way to no-such-host\.invalid"):
        get("https://no-such-host.invalid/x", path)


def test_nobody_listens(path):
    with pytest.raises(UserError, match="refused"):
        get("http://127.0.0.1:9/x", path, attempts=2)
