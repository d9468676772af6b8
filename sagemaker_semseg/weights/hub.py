"""A file from a hub: an address and a path come in; the file appears at the path, whole and checked, or not at all.
Called by ``sources``.

What has arrived of an interrupted download stays beside the path, as ``NAME.part``, and the next attempt asks for the
rest of it, if it is still the same file (by its entity tag). Only https is spoken, but with this machine itself.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, NoReturn

from sagemaker_semseg import __version__
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.storage import atomic_write

MAX_BYTES = 2**30
_CHUNK = 2**18
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WORTH_ANOTHER = (408, 429, 500, 502, 503, 504)

Move = Callable[[int, int], None]


@dataclass(frozen=True)
class Fetched:
    """What was fetched. revision: the commit that the hub names, or nothing. stated: whether it named the digest."""

    url: str
    sha256: str
    size: int
    revision: str
    stated: bool


class _AgainError(Exception):
    """The attempt has failed in a way that makes another one worth while."""


def fetch(
    url: str, path: Path, *, sha256: str = "", move: Move = lambda done, total: None,
    timeout: float = 30, attempts: int = 5, pause: float = 1,
) -> Fetched:  # fmt: skip
    """Fetch ``url`` to ``path``. sha256: the digest it must have; without one, that which the hub states, if it does.

    move: called with bytes (done, in all). timeout: seconds without a byte. pause: seconds before the second of the
    attempts, doubled before each further one. Raises UserError; OSError where the disk is at fault.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    for attempt in range(attempts):
        try:
            said = _receive(url, part, move, timeout)
            break
        except _AgainError as error:
            if attempt + 1 == attempts:
                _fail(url, f"can't be fetched: {error}", "try again: what has arrived is kept")
        time.sleep(pause * 2**attempt)
    found, expected = digest(part, "sha256"), sha256 or said.sha256
    if expected and found != expected:
        part.unlink()
        _fail(url, f"has the SHA-256 {found}, {expected} is expected", "try again, and don't trust that file")
    with atomic_write(path) as temporary:
        part.replace(temporary)
    _tag(part).unlink(missing_ok=True)
    return Fetched(url, found, path.stat().st_size, said.revision, bool(said.sha256))


def digest(path: Path, kind: str) -> str:
    """The digest of a file's bytes, in hexadecimal digits. kind: of ``hashlib``."""
    state = hashlib.new(kind)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _fail(url: str, what: str, remedy: str = "") -> NoReturn:
    raise UserError("Weights can't be fetched:", [Fault(url, what, remedy)])


def _tag(part: Path) -> Path:
    """Where the entity tag of a partial file is kept."""
    return part.with_name(part.name + ".tag")


def _receive(url: str, part: Path, move: Move, timeout: float) -> _Said:
    """One attempt to get the bytes that are missing in ``part``."""
    start, headers = 0, {"User-Agent": f"sagemaker-semseg/{__version__}", "Accept-Encoding": "identity"}
    if part.is_file() and _tag(part).is_file():
        start = part.stat().st_size
        headers |= {"Range": f"bytes={start}-", "If-Range": _tag(part).read_text(encoding="latin-1")}
    with _answer(url, headers, timeout, part) as (answer, said):
        if answer.status != 206 or not (answer.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
            start = 0
        length = answer.headers["Content-Length"] or ""
        total = start + int(length) if re.fullmatch("[0-9]{1,15}", length) else -1
        _keep_tag(part, answer.headers["ETag"] or "")
        with open(part, "ab" if start else "wb") as file:
            done = _copy(answer, file, start, max(total, 0), url, move)
    if done < total:
        raise _AgainError(f"the connection ended after {done} of {total} bytes")
    return said


def _keep_tag(part: Path, tag: str) -> None:
    if re.fullmatch(r'"[!-~]{1,200}"', tag):  # weak ones promise too little
        _tag(part).write_text(tag, encoding="latin-1")
    else:
        _tag(part).unlink(missing_ok=True)


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], done: int, total: int, url: str, move: Move) -> int:
    while True:
        if max(done, total) > MAX_BYTES:
            _fail(url, f"has {max(done, total)} bytes or more, {MAX_BYTES} are the limit")
        try:
            chunk = answer.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _AgainError(_reason(error)) from None
        if not chunk:
            return done
        file.write(chunk)
        done += len(chunk)
        move(done, total)


@contextmanager
def _answer(
    url: str, headers: dict[str, str], timeout: float, part: Path
) -> Iterator[tuple[http.client.HTTPResponse, _Said]]:
    """The answer with the file's bytes, and what was said about it on the way there."""
    said = _Said()
    if not _allowed(url, url):
        _fail(url, "is not an address that is fetched from", "give one that begins with https://")
    opener = urllib.request.build_opener(_Redirects(said))
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is no part of what is there now
            part.unlink(missing_ok=True)
        if error.code in (416, *_WORTH_ANOTHER):
            raise _AgainError(f"the hub answers {error.code} {error.reason}") from None
        _fail(url, f"can't be fetched: the hub answers {error.code} {error.reason}")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None)
        if isinstance(reason, socket.gaierror):
            host = urllib.parse.urlsplit(url).hostname
            _fail(url, f"can't be fetched: there is no way to {host} ({reason.strerror})")
        raise _AgainError(_reason(error)) from None
    with answer:
        said.take(answer.headers)
        yield answer, said


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__


@dataclass
class _Said:
    """What a hub says about a file: its digest and its commit. Hugging Face says it before it redirects."""

    sha256: str = ""
    revision: str = ""

    def take(self, headers: Message) -> None:
        linked = (headers["X-Linked-ETag"] or "").strip('"')
        commit = headers["X-Repo-Commit"] or ""
        self.sha256 = linked if re.fullmatch("[0-9a-f]{64}", linked) else self.sha256
        self.revision = commit if re.fullmatch("[0-9a-f]{40}", commit) else self.revision


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, said: _Said):
        self.said = said

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not _allowed(newurl, req.full_url):
            _fail(req.full_url, f"leads to {newurl[:200]!a}, which is not https")
        self.said.take(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _allowed(url: str, origin: str) -> bool:
    """https; and http on this machine, which never leads there from elsewhere."""
    there, here = urllib.parse.urlsplit(url), urllib.parse.urlsplit(origin)
    return there.scheme == "https" or (there.scheme == "http" and {there.hostname, here.hostname} <= set(_LOOPBACK))
